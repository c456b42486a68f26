"""Stars in MongoDB: who wants to find which record again. One document a person and record, found by the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DeleteMany, IndexModel, UpdateOne

from chassis.kernel.criteria import Criteria
from chassis.kernel.errors import WrongState
from chassis.rpc.call import Call
from chassis.storage.aliases import Aliases
from chassis.storage.client import Database

COLLECTION, FIELD = "stars", "starred"
INDEXES = [
    IndexModel([("person_id", ASCENDING), ("resource", ASCENDING), ("record_id", ASCENDING)], name="by_person"),
    IndexModel([("resource", ASCENDING), ("record_id", ASCENDING)], name="by_record"),
]
MOST = 2_000
Document = dict[str, Any]


def group(aliases: Aliases, resource: str, record_id: str) -> list[str]:
    """All ids of a record: of a customer also those of the ones that are part of it."""
    return aliases.group(record_id) if resource == "customers" else [record_id]


def put(call: Call, resource: str, record_id: str) -> None:
    """Star a record with the commit."""
    person_id = call.caller.person_id
    values = {"person_id": person_id, "resource": resource, "record_id": record_id, "create_time": call.now}
    identity = f"{person_id}:{resource}:{record_id}"
    call.changes.write(COLLECTION, UpdateOne({"_id": identity}, {"$setOnInsert": values}, upsert=True))


def remove(call: Call, resource: str, record_id: str) -> None:
    """Take the star of a record with the commit, by whichever id of it that was given."""
    named = {"$in": group(call.aliases, resource, record_id)}
    call.changes.write(COLLECTION, DeleteMany({"person_id": call.caller.person_id, "resource": resource, "record_id": named}))


def forget_person(call: Call, person_id: str, until: datetime) -> None:
    """Take all stars away, with the commit, that somebody had set when they left; those that they set since they came back stay."""
    call.changes.write(COLLECTION, DeleteMany({"person_id": person_id, "create_time": {"$lte": until}}))


def forget_record(call: Call, resource: str, record_id: str) -> None:
    """Take everybody's star of a record away with the commit."""
    call.changes.write(COLLECTION, DeleteMany({"resource": resource, "record_id": record_id}))


async def has_room(call: Call) -> None:
    """Refuse one more star where somebody has as many as may be."""
    rows = call.database[COLLECTION]
    count = await rows.count_documents({"person_id": call.caller.person_id}, limit=MOST, hint="by_person", maxTimeMS=call.milliseconds_left)
    if count >= MOST:
        raise WrongState(f"you have starred {MOST:,} records here; take some stars away first", code="STARS_FULL")


async def among(call: Call, resource: str, record_ids: Sequence[str]) -> list[str]:
    """Those of these records that the caller has starred."""
    wanted = {one: group(call.aliases, resource, one) for one in dict.fromkeys(record_ids)}
    every = [identity for ids in wanted.values() for identity in ids]
    found = await _of(call, {"resource": resource, "record_id": {"$in": every}})
    return [one for one, ids in wanted.items() if not found.isdisjoint(ids)]


async def _of(call: Call, query: Document) -> set[str]:
    database: Database = call.database
    rows = database[COLLECTION].find({"person_id": call.caller.person_id, **query}, {"record_id": 1}, max_time_ms=call.milliseconds_left)
    return {row["record_id"] async for row in rows.hint("by_person")}


# ---- as a condition of lists


def parted(criteria: Criteria | None) -> tuple[Criteria | None, list[bool]]:
    """Criteria without the conditions on `starred` that stand beside all others, and what these want."""
    if not criteria:
        return criteria, []
    if _is_starred(criteria):
        return None, [_wanted(criteria)]
    items = list(criteria["all"].get("items", ())) if "all" in criteria else []
    wanted = [_wanted(one) for one in items if _is_starred(one)]
    if not wanted:
        return criteria, []
    left = [one for one in items if not _is_starred(one)]
    return ({"all": {"items": left}} if left else None), wanted


def _is_starred(node: Mapping[str, Any]) -> bool:
    """Whether it is a condition on `starred` as it may be; any other is refused where criteria are, as an unknown field."""
    condition = node.get("condition") or {}
    values = condition.get("values") or [{}]
    return condition.get("field") == FIELD and condition.get("operator") == "EQUALS" and len(values) == 1 and set(values[0]) == {"flag"}


def _wanted(node: Mapping[str, Any]) -> bool:
    return bool(node["condition"]["values"][0]["flag"])


async def clause(call: Call, resource: str, wanted: Sequence[bool]) -> Document:
    """The MongoDB filter of records that are starred by the caller, or are not."""
    ids = await _of(call, {"resource": resource})
    counts = sorted({call.aliases.resolve(one) for one in ids} if resource == "customers" else ids)
    return {"$and": [{"_id": {"$in" if one else "$nin": counts}} for one in wanted]}
