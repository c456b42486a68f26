"""Preferences in MongoDB, sealed under the department's key: one document a person and key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING, DeleteMany, DeleteOne, IndexModel, UpdateOne

from chassis.rpc.call import Call

COLLECTION = "preferences"
INDEXES = [IndexModel([("person_id", ASCENDING), ("key", ASCENDING)], name="unique_person_key", unique=True)]
Document = dict[str, Any]


async def of(call: Call, person_id: str, keys: Sequence[str] = ()) -> list[Document]:
    """The preferences of a person, by key; all where no keys are named."""
    query: Document = {"person_id": person_id} | ({"key": {"$in": list(keys)}} if keys else {})
    rows = await call.database[COLLECTION].find(query, max_time_ms=call.milliseconds_left).sort("key", 1).to_list()
    return [{**row, "value": call.vault.open_own(row["value"], row["_id"])} for row in rows]


async def count(call: Call, person_id: str) -> int:
    """How many a person has."""
    return await call.database[COLLECTION].count_documents({"person_id": person_id}, maxTimeMS=call.milliseconds_left)


async def seat(call: Call, person_id: str) -> None:
    """Let a new one be made only where none was since the person was looked at: who counts them counts again. None is made for who leaves
    at this moment."""
    person = await call.database["people"].find_one({"_id": person_id}, {"touch": 1}, max_time_ms=call.milliseconds_left)
    call.changes.guard("people", {"_id": person_id, "state": "ACTIVE", "touch": (person or {}).get("touch")})


def put(call: Call, before: Document | None, person_id: str, key: str, value: str) -> Document:
    """Set one with the commit."""
    identity = _identity(person_id, key)
    after = {"_id": identity, "key": key, "value": value, "version": (before["version"] if before else 0) + 1, "update_time": call.now}
    stored = {
        "person_id": person_id,
        "key": key,
        "value": call.vault.seal_own(value, identity),
        "version": after["version"],
        "update_time": call.now,
    }
    if before:
        call.changes.must_match(COLLECTION, UpdateOne({"_id": identity, "version": before["version"]}, {"$set": stored}))
    else:
        call.changes.insert(COLLECTION, {"_id": identity, **stored})
    return after


def remove(call: Call, person_id: str, key: str) -> None:
    """Take one away with the commit."""
    call.changes.write(COLLECTION, DeleteOne({"_id": _identity(person_id, key)}))


def forget(call: Call, person_id: str) -> None:
    """Take all of a person's away with the commit."""
    call.changes.write(COLLECTION, DeleteMany({"person_id": person_id}))


def _identity(person_id: str, key: str) -> str:
    return f"{person_id}:{key}"
