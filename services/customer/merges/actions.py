"""Making two customers one, and two again. What names them follows by its alias, here and in every department (chassis/runtime/merging.py)."""

from __future__ import annotations

from typing import Any

from crm.customer.v1 import customer_events_pb2
from crm.customer.v1 import customer_merge_events_pb2 as events
from pymongo import UpdateMany

from chassis.kernel import tags
from chassis.kernel.errors import NotFound
from chassis.rpc.call import Call
from chassis.runtime.merging import told_by
from chassis.storage import aliases
from chassis.storage.aliases import CUSTOMER_ALIAS, alias_of
from chassis.storage.encryption import erased
from services.customer.customers.model import DEEPEST, below_itself
from services.customer.customers.store import Customers
from services.customer.merges import model
from services.customer.merges.store import Merges

Document = dict[str, Any]


async def merge(
    merges: Merges, customers: Customers, call: Call, *, survivor_id: str, loser_id: str, survivor_version: int | None = None,
    loser_version: int | None = None, reason: str = "",
) -> Document:  # fmt: skip
    """Make one customer part of another one: it goes out of use, its id leads to the other, and its children stand below that one."""
    survivor = await _customer(customers, call, survivor_id, "merge", "survivor_id")
    loser = await _customer(customers, call, loser_id, "merge", "loser_id")
    for customer in (survivor, loser):
        if customer.get("erase_time"):
            raise erased(customer["_id"])
    model.check_pair(survivor, loser, call.day_of)
    model.check_seen(survivor, survivor_version, "survivor_id")
    model.check_seen(loser, loser_version, "loser_id")
    # Who changes, archives, erases or merges one of both at this moment, or something into it, makes one of both run again.
    for customer in (survivor, loser):
        call.changes.guard(customers.resource, {"_id": customer["_id"], "version": customer["version"], "touch": customer.get("touch")})
    model.check_size(2 + len(await customers.parts_of(call, survivor_id)) + len(await customers.parts_of(call, loser_id)))
    line = await customers.line_above(call, survivor_id, DEEPEST)
    model.check_line(loser_id, line, await customers.levels_below(call, loser_id, DEEPEST))
    values = {"archive_time": call.now, "merged_into_id": survivor_id}
    customers.change(call, loser, values, customer_events_pb2.CustomerAbsorbed, action="merge")
    _unite_tags(customers, call, survivor, loser)
    alias = alias_of("parent_id")
    child = {"$set": {"parent_id": survivor_id, alias: {"$ifNull": [f"${alias}", "$parent_id"]}}}
    call.changes.write(customers.resource, UpdateMany({"parent_id": loser_id}, [child]))
    made = {
        "customer_id": survivor_id, "survivor_id": survivor_id, "loser_id": loser_id, "loser_name": loser["name"], "state": model.DONE,
        "reason": reason or None, "create_time": model.later(call.now, await merges.latest(call)),
    }  # fmt: skip
    document = merges.create(call, made, events.CustomerMergeDone, action="read", owner_of=survivor)
    call.changes.write(aliases.COLLECTION, told_by(document))
    return document


async def unmerge(
    merges: Merges, customers: Customers, call: Call, *, customer_merge_id: str, version: int | None = None, reason: str = ""
) -> Document:
    """Make two of them again. Later merges of either stay as they are: of A→B and B→C each can be undone, in any order."""
    before = await merges.get(call, customer_merge_id)
    survivor = await _customer(customers, call, before["survivor_id"], "unmerge", "customer_merge_id")
    loser = await _customer(customers, call, before["loser_id"], "unmerge", "customer_merge_id")
    merges.checked_version(before, version)
    model.check_undo(before, survivor, loser, call.day_of)
    if loser.get("parent_id"):
        await _stay_above(customers, call, loser)
    call.changes.guard(customers.resource, {"_id": survivor["_id"], "erase_time": None})
    values = {"archive_time": None, "merged_into_id": None}
    customers.change(call, loser, values, customer_events_pb2.CustomerRestored, action="unmerge")
    # What is said of the other one, its name first, goes back to it: it is sealed under its key again, and swept to it with all the rest.
    undone = {"state": model.UNDONE, "undo_time": call.now, "undo_reason": reason or None, CUSTOMER_ALIAS: loser["_id"]}
    document = merges.change(call, before, undone, events.CustomerMergeUndone)
    call.changes.write(aliases.COLLECTION, told_by(document))
    return document


def _unite_tags(customers: Customers, call: Call, survivor: Document, loser: Document) -> None:
    """The one that stays gets the tags of the other, and keeps them when the merge is undone. The other one keeps its own."""
    kept = survivor.get("tags") or []
    if (after := tags.changed(kept, loser.get("tags") or (), field="loser_id")) != kept:
        customers.change(call, survivor, {"tags": after}, customer_events_pb2.CustomerUpdated, action="merge")


async def _customer(customers: Customers, call: Call, identity: str, action: str, field: str) -> Document:
    """A customer whom the caller may merge, whatever it is part of; the refusal names the field that named it."""
    try:
        return await customers.whole(call, identity, action)
    except NotFound as absent:
        raise NotFound(absent.message, field=field, params=absent.params) from absent


async def _stay_above(customers: Customers, call: Call, loser: Document) -> None:
    """Refuse where the customer's parent came to stand below its own children while these stood below somebody else."""
    line = await customers.line_above(call, loser["parent_id"], DEEPEST)
    own = {alias_of("parent_id"): loser["_id"], "_id": {"$in": line}}
    if loser["_id"] in line or await call.database[customers.resource].find_one(own, {"_id": 1}):
        raise below_itself()
