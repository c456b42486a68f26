"""Erasing a customer on request: its keys are destroyed everywhere, what hangs on it is emptied, statistics and audit stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.customer.v1 import customer_erasure_events_pb2, customer_events_pb2
from pymongo import UpdateMany

from chassis.kernel.errors import WrongState
from chassis.kernel.ids import new_id
from chassis.messaging.envelope import encode
from chassis.rpc.call import Call
from chassis.runtime.erasure import forget, written_for
from chassis.storage import stars
from chassis.storage.personal import ERASED_NAME
from chassis.storage.records import Records
from services.customer.customers.store import Customers

Document = dict[str, Any]
# What statistics need, and by what an import recognises the record so as not to bring it back.
_STAYS = frozenset((
    "_id", "version", "create_time", "update_time", "creator_id", "updater_id", "source_key", "owner_id", "team_id", "department_id",
    "archive_time", "kind", "lifecycle", "level", "industry", "source", "region", "country_code", "merged_into_id",
))  # fmt: skip


async def erase(
    customers: Customers, stores: Sequence[Records], call: Call, *, customer_id: str, reason: str, version: int | None = None
) -> Document:
    """Erase for good, with all that are part of it; erasing twice changes nothing more. Refused while customers in use stand below."""
    before = await customers.get(call, customer_id, "erase")
    if before.get("erase_time"):
        return before
    customers.checked_version(before, version)
    if await customers.has_below(call, customer_id):
        raise WrongState("other customers stand below this one; move or archive them first", code="CUSTOMER_IN_USE")
    call.changes.reason = reason
    # What is merged into it at this moment makes one of both run again: nothing is left of what is part of it.
    call.changes.guard(customers.resource, {"_id": customer_id, "touch": before.get("touch")})
    for identity in await customers.parts_of(call, customer_id):
        await _forget(customers, stores, call, await customers.whole(call, identity, "erase"))
    return await _forget(customers, stores, call, before)


async def _forget(customers: Customers, stores: Sequence[Records], call: Call, before: Document) -> Document:
    """Erase one record with what was written for it, and order the other departments to do so."""
    customer_id = before["_id"]
    gone: Document = {field.name: None for field in customers.descriptor.fields if field.name != "id" and field.name not in _STAYS}
    values = gone | {"name": ERASED_NAME, "archive_time": before.get("archive_time") or call.now, "erase_time": call.now}
    after = customers.change(call, before, values, customer_events_pb2.CustomerErased, quietly=True)
    call.vault.destroy(call.changes, customer_id)
    _empty(call, customer_id)
    stars.forget_record(call, customers.resource, customer_id)
    await forget(call.database, call.changes, stores, customer_id)
    attributes = {"id": new_id(), "time": call.now, "actor_id": call.caller.person_id, "correlation_id": call.request_id}
    call.changes.emit(encode(customer_erasure_events_pb2.CustomerErasureOrdered, {"_id": customer_id, "version": 1}, **attributes))
    return after


def _empty(call: Call, customer_id: str) -> None:
    """Contacts and notes lose what tells of a person and go out of use; the timeline forgets the names of things."""
    query, used = written_for(customer_id), {"archive_time": call.now, "update_time": call.now}
    gone = dict.fromkeys(("blind", "search_terms", "phone", "email", "title", "decision_role", "preferred_channel", "source_key"), "")
    call.changes.write("contacts", UpdateMany(query, {"$set": used | {"name": ERASED_NAME}, "$unset": gone}))
    call.changes.write("notes", UpdateMany(query, {"$set": used, "$unset": {"text": "", "source_key": ""}}))
    said = dict.fromkeys(("loser_name", "reason", "undo_reason"), "")
    call.changes.write("customer_merges", UpdateMany({"$or": [query, {"loser_id": customer_id}]}, {"$unset": said}))
    call.changes.write("timeline_entries", UpdateMany(query, {"$unset": {"subject": ""}}))
