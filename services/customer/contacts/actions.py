"""What contacts share with notes: they belong to a customer and follow its owner; and that a customer has one main contact."""

from __future__ import annotations

from typing import Any

from crm.customer.v1 import contact_events_pb2 as events
from pymongo import UpdateOne

from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from chassis.rpc.noun import references
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID
from chassis.storage.ownership import OWNER_FIELDS
from services.customer.contacts.store import Contacts
from services.customer.customers.store import Customers

Document = dict[str, Any]
TURN = "main_contact_turn"


async def inherit(customers: Customers, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: the customers must exist; their owners become the owners of what hangs on them.

    The customer is guarded: a change of owner at the same moment makes one of both run again.
    """
    found, refusals = await references(call, batch, customers, CUSTOMER_ID)
    if any(found.get(document.get(CUSTOMER_ID, ""), {}).get("merged_into_id") for document in batch):
        await _lead(customers, call, batch)  # merged a moment ago, and not known to this replica
        found, refusals = await references(call, batch, customers, CUSTOMER_ID)
    touched: set[str] = set()
    for document, refusal in zip(batch, refusals, strict=True):
        if refusal:
            continue
        customer = found[document["customer_id"]]
        document.update({name: customer[name] for name in OWNER_FIELDS if customer.get(name)})
        if customer["_id"] not in touched and not call.method.startswith("BatchUpsert"):
            touched.add(customer["_id"])
            call.changes.guard(customers.resource, {"_id": customer["_id"], "owner_id": customer.get("owner_id")})
    return refusals


async def _lead(customers: Customers, call: Call, batch: list[Document]) -> None:
    """Let documents name, in place, the customers that count, with those for which they are written beside."""
    _, leads = await customers.with_survivors(call, (document[CUSTOMER_ID] for document in batch))
    for document in batch:
        named = document[CUSTOMER_ID]
        if (counts := leads.get(named)) is not None:
            origin = document.get(CUSTOMER_ALIAS) or call.meant.get(named, named)
            document[CUSTOMER_ID], document[CUSTOMER_ALIAS] = counts, origin


async def join(contacts: Contacts, customers: Customers, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch of contacts: they follow their customers, and whoever becomes the main contact takes the mark from who had it, in one commit."""
    refusals = await inherit(customers, call, batch)
    good = [document for document, refusal in zip(batch, refusals, strict=True) if not refusal]
    chosen: dict[str, Document] = {}
    for document in (each for each in good if each.get("is_primary")):
        earlier = chosen.setdefault(document["customer_id"], document)
        if earlier is not document:
            earlier["is_primary"] = False
            chosen[document["customer_id"]] = document
    if chosen:
        await _take_mark(contacts, call, chosen, {document.get("_id") for document in good})
    return refusals


async def _take_mark(contacts: Contacts, call: Call, chosen: dict[str, Document], inside: set[Any]) -> None:
    """Nobody else at these customers stays the main contact; two choices at once do not both hold."""
    for customer_id in chosen:
        row = await call.database["customers"].find_one({"_id": customer_id}, {TURN: 1})
        seen = {"_id": customer_id, TURN: (row or {}).get(TURN)}
        call.changes.must_match("customers", UpdateOne(seen, {"$set": {TURN: call.request_id}}))
    query = {"customer_id": {"$in": list(chosen)}, "is_primary": True}
    rows = call.database[contacts.resource].find(query, max_time_ms=call.milliseconds_left)
    for before in await contacts.opened(call, await rows.to_list()):
        keys = {chosen[before["customer_id"]].get(name) for name in ("_id", "source_key")} - {None}
        if before["_id"] not in inside and not keys & {before["_id"], before.get("source_key")}:
            contacts.change(call, before, {"is_primary": False}, events.ContactUpdated)
