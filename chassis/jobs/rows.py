"""The rows of a job: stored as they were sent, up to 500 a document, each sealed under the job's own key; after their turn only what became of
them is kept, and of refused ones what they say, so that they can be tried again. What a row says is forgotten with its customer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from crm.common.v1 import job_pb2, outcome_pb2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import DESCENDING

from chassis.jobs.store import ROWS, place, span
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.encryption import open_bytes, open_value, seal, seal_bytes
from chassis.storage.records import Document

REFUSED = "REFUSED"
MOST_OF_BATCH = 500
LONGEST_TEXT = 500  # of a refusal, which may quote a row
_RESULTS = outcome_pb2.UpsertResult
_PREFIX = "UPSERT_RESULT_"


def name_of(result: int) -> str:
    """CREATED for UPSERT_RESULT_CREATED."""
    return str(_RESULTS.Name(result)).removeprefix(_PREFIX)


def digest(rows: Iterable[bytes]) -> str:
    """What tells rows that were sent from others."""
    found = hashlib.sha256()
    for row in rows:
        found.update(len(row).to_bytes(4, "big") + row)
    return found.hexdigest()[:32]


async def keep(call: Call, job_id: str, first: int, rows: Sequence[bytes], customers: Sequence[str]) -> None:
    """Store rows with the commit, each with the customer of whom it tells; of who was erased nothing is kept."""
    key = (await call.changes.keys_of([job_id]))[job_id]
    gone, identity = await call.vault.destroyed(customers), place(job_id, first)
    waiting = [
        ({"customer_id": customer} if customer else {}) | ({} if customer in gone else {"row": seal_bytes(key, row, f"{identity}:{index}")})
        for index, (row, customer) in enumerate(zip(rows, customers, strict=True))
    ]
    batch: Document = {
        "_id": identity, "job_id": job_id, "first": first, "count": len(rows), "filled": 0, "refused": 0, "tries": 0,
        "digest": call.vault.blind(digest(rows)), "waiting": waiting, "results": [], "create_time": call.now,
    }  # fmt: skip
    call.changes.insert(ROWS, batch | ({"customer_ids": named} if (named := sorted(set(customers) - {""})) else {}))


def sent(batch: Mapping[str, Any], key: AESGCM) -> list[bytes]:
    """The rows of a batch as they were sent; b"" for those that were forgotten."""
    return [_opened(key, one.get("row"), batch["_id"], index) for index, one in enumerate(batch["waiting"])]


def _opened(key: AESGCM, value: bytes | None, batch_id: str, index: int) -> bytes:
    try:
        return open_bytes(key, value, f"{batch_id}:{index}") if value else b""
    except InvalidTag:
        return b""


def result_of(outcome: Any, batch_id: str, index: int, row: bytes, customer_id: str, key: AESGCM | None) -> Document:
    """What is kept of a row after its turn; `key` is needed for refused ones."""
    result = name_of(outcome.result)
    if result != REFUSED or key is None:
        return {"r": result, "id": outcome.id} | ({"f": list(outcome.changed_fields)} if outcome.changed_fields else {})
    context = f"{batch_id}:{index}"
    found: Document = {"r": REFUSED, "code": outcome.error_code, "field": outcome.error_field}
    found["text"] = seal(key, outcome.error_message[:LONGEST_TEXT], f"{context}:text")
    params = json.dumps(dict(outcome.error_params), ensure_ascii=False)
    if outcome.error_params and len(params) <= LONGEST_TEXT:
        found["params"] = seal(key, params, f"{context}:params")
    if row:
        found["kept"] = seal_bytes(key, row, context)
    return found | ({"customer_id": customer_id} if customer_id else {})


def message_of(batch: Mapping[str, Any], index: int, key: AESGCM | None) -> job_pb2.JobRow:
    """A row with its outcome; the words of a refusal only with the key."""
    number = batch["first"] + index
    if index >= len(batch["results"]):
        return job_pb2.JobRow(number=number)
    found = batch["results"][index]
    text, params = (_words(key, found, f"{batch['_id']}:{index}", name) for name in ("text", "params"))
    return job_pb2.JobRow(
        number=number, result=_RESULTS.Value(_PREFIX + found["r"]), record_id=found.get("id", ""), changed_fields=found.get("f", ()),
        error_code=found.get("code", ""), error_field=found.get("field", ""), error_message=text,
        error_params=json.loads(params or "{}"),
    )  # fmt: skip


def _words(key: AESGCM | None, found: Mapping[str, Any], context: str, name: str) -> str:
    """What a result keeps sealed; "" without the key, and where it was forgotten."""
    return (open_value(key, found[name], f"{context}:{name}") if key and found.get(name) else None) or ""


# What a step needs of a batch; what its rows say is read apart.
_STEP = dict.fromkeys(("first", "count", "filled", "tries", "forgotten", "again", "customer_ids", "results.customer_id"), 1)


def _told(key: AESGCM | None) -> Document:
    """What is read of a batch to tell of its rows."""
    return {"waiting": 0, "customer_ids": 0, "results.kept": 0, "results.customer_id": 0} | (
        {} if key else {"results.text": 0, "results.params": 0}
    )


async def batch_at(database: Database, job_id: str, number: int) -> Document | None:
    """The batch in which a row stands."""
    query = {"_id": {"$gt": f"{job_id}:", "$lte": place(job_id, number)}}
    found = await database[ROWS].find(query, _STEP).sort("_id", DESCENDING).limit(1).to_list()
    return found[0] if found and number < found[0]["first"] + found[0]["count"] else None


async def waiting_of(database: Database, batch: Mapping[str, Any], key: AESGCM) -> tuple[list[bytes], list[str]]:
    """What the rows of a batch that waits say, and of which customers; none where it was forgotten."""
    whole = await database[ROWS].find_one({"_id": batch["_id"], "forgotten": batch.get("forgotten")}, {"waiting": 1})
    if not whole or "waiting" not in whole:
        return [], []
    return sent(whole, key), [one.get("customer_id", "") for one in whole["waiting"]]


async def next_again(database: Database, job_id: str, most: int, key: AESGCM) -> tuple[Document, list[int], list[bytes], list[str]] | None:
    """The batch with the next rows to be tried again: their places, what they say, and of which customers."""
    query = {"job_id": job_id, "again": {"$exists": True}}
    found = await database[ROWS].find(query, _STEP).hint("again").sort("_id", 1).limit(1).to_list()
    if not found:
        return None
    batch = found[0]
    indexes = batch["again"][:most]
    results = {"$map": {"input": indexes, "as": "at", "in": {"$arrayElemAt": ["$results", "$$at"]}}}
    same = {"_id": batch["_id"], "forgotten": batch.get("forgotten")}
    whole = await database[ROWS].find_one(same, {"chosen": results})
    if whole is None:
        return None
    said = [_opened(key, one.get("kept"), batch["_id"], index) for one, index in zip(whole["chosen"], indexes, strict=True)]
    return batch, indexes, said, [one.get("customer_id", "") for one in whole["chosen"]]


async def page(call: Call, job_id: str, result: str, start: int, size: int, key: AESGCM | None) -> tuple[list[Any], int | None]:
    """Rows from a number on, of one outcome or all; and the number from which to go on, None at the end."""
    here = await batch_at(call.database, job_id, start)
    query = span(job_id) | {"_id": {"$gte": here["_id"] if here else place(job_id, start), "$lt": f"{job_id};"}}
    if result == REFUSED:
        query |= {"job_id": job_id, "refused": {"$gt": 0}}
    cursor = call.database[ROWS].find(query, _told(key), max_time_ms=call.milliseconds_left)
    found: list[Any] = []
    async for batch in cursor.hint("refused" if result == REFUSED else "_id_").sort("_id", 1):
        for index in range(max(0, start - batch["first"]), batch["count"]):
            if result and (index >= len(batch["results"]) or batch["results"][index]["r"] != result):
                continue
            if len(found) == size:
                return found, batch["first"] + index
            found.append(message_of(batch, index, key))
    return found, None


async def refused_batches(call: Call, job_id: str, numbers: Collection[int], behind: str, most: int) -> list[Document]:
    """The next batches with refused rows, those with one of the numbers where there are some: the first number, rows that wait for another try,
    and of each row whether what it said is kept."""
    query: Document = {"job_id": job_id, "refused": {"$gt": 0}, "_id": {"$gt": behind or f"{job_id}:"}}
    if numbers:
        start = place(job_id, max(0, min(numbers) - MOST_OF_BATCH + 1))
        query["_id"] = {"$gt": behind} if behind > start else {"$gte": start}
        query["_id"]["$lte"] = place(job_id, max(numbers))
    kept = {"$map": {"input": "$results", "as": "one", "in": {"$ne": [{"$type": "$$one.kept"}, "missing"]}}}
    cursor = call.database[ROWS].find(query, {"first": 1, "again": 1, "kept": kept}, max_time_ms=call.milliseconds_left)
    return await cursor.hint("refused").sort("_id", 1).limit(most).to_list()


async def outcomes(database: Database, batch_id: str, key: AESGCM | None) -> list[Any]:
    """The rows of a batch, if all have their outcome; none otherwise."""
    batch = await database[ROWS].find_one({"_id": batch_id, "$expr": {"$eq": ["$filled", "$count"]}}, _told(key))
    return [message_of(batch, index, key) for index in range(batch["count"])] if batch else []


async def count_about(database: Database, customer_ids: Sequence[str], milliseconds: int) -> int:
    """How many rows say something of a customer who has these ids: such that wait, and refused ones."""

    def told(rows: Any, *names: str) -> Document:
        says: list[Document] = [{"$ne": [{"$type": f"$$one.{name}"}, "missing"]} for name in names]
        theirs = {"$and": [{"$in": [{"$ifNull": ["$$one.customer_id", ""]}, list(customer_ids)]}, {"$or": says}]}
        return {"$size": {"$filter": {"input": rows, "as": "one", "cond": theirs}}}

    waiting = {"$slice": [{"$ifNull": ["$waiting", []]}, "$filled", MOST_OF_BATCH]}
    counted = {"$add": [told(waiting, "row"), told("$results", "kept", "text", "params")]}
    stages: list[Document] = [
        {"$match": {"customer_ids": {"$in": list(customer_ids)}}}, {"$group": {"_id": None, "count": {"$sum": counted}}},
    ]  # fmt: skip
    cursor = await database[ROWS].aggregate(stages, hint="customers", maxTimeMS=milliseconds)
    return sum([int(row["count"]) async for row in cursor])
