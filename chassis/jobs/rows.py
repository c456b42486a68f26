"""The rows of a job: stored as they were sent, up to 500 a document, sealed under the job's own key; after their turn only what became of
them is kept, and of refused ones what they say, so that they can be tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm.common.v1 import job_pb2, job_service_pb2, outcome_pb2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import DESCENDING

from chassis.jobs.store import ROWS, place, span
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.encryption import open_bytes, open_value, seal, seal_bytes
from chassis.storage.records import Document

REFUSED = "REFUSED"
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


async def keep(call: Call, job_id: str, first: int, rows: Sequence[bytes]) -> None:
    """Store rows with the commit."""
    key = (await call.changes.keys_of([job_id]))[job_id]
    whole = job_service_pb2.AppendJobRowsRequest(rows=rows).SerializeToString()
    call.changes.insert(ROWS, {
        "_id": place(job_id, first), "job_id": job_id, "first": first, "count": len(rows), "filled": 0, "refused": 0, "tries": 0,
        "digest": digest(rows), "payload": seal_bytes(key, whole, place(job_id, first)), "results": [], "create_time": call.now,
    })  # fmt: skip


def sent(batch: Mapping[str, Any], key: AESGCM) -> list[bytes]:
    """The rows of a batch as they were sent."""
    return list(job_service_pb2.AppendJobRowsRequest.FromString(open_bytes(key, batch["payload"], batch["_id"])).rows)


def kept_row(batch: Mapping[str, Any], index: int, key: AESGCM) -> bytes:
    """A refused row as it was sent; b"" where it was forgotten."""
    value = batch["results"][index].get("kept")
    try:
        return open_bytes(key, value, f"{batch['_id']}:{index}") if value else b""
    except InvalidTag:
        return b""


def result_of(outcome: Any, batch_id: str, index: int, row: bytes, customer_id: str, key: AESGCM | None) -> Document:
    """What is kept of a row after its turn; `key` is needed for refused ones."""
    result = name_of(outcome.result)
    if result != REFUSED or key is None:
        return {"r": result, "id": outcome.id} | ({"f": list(outcome.changed_fields)} if outcome.changed_fields else {})
    context = f"{batch_id}:{index}"
    found: Document = {"r": REFUSED, "code": outcome.error_code, "field": outcome.error_field}
    found |= {"text": seal(key, outcome.error_message[:LONGEST_TEXT], f"{context}:text"), "kept": seal_bytes(key, row, context)}
    return found | ({"customer_id": customer_id} if customer_id else {})


def message_of(batch: Mapping[str, Any], index: int, key: AESGCM | None) -> job_pb2.JobRow:
    """A row with its outcome; the words of a refusal only with the key."""
    number = batch["first"] + index
    if index >= len(batch["results"]):
        return job_pb2.JobRow(number=number)
    found = batch["results"][index]
    text = open_value(key, found["text"], f"{batch['_id']}:{index}:text") if key and found.get("text") else None
    return job_pb2.JobRow(
        number=number, result=_RESULTS.Value(_PREFIX + found["r"]), record_id=found.get("id", ""), changed_fields=found.get("f", ()),
        error_code=found.get("code", ""), error_field=found.get("field", ""), error_message=text or "",
    )  # fmt: skip


async def batch_at(database: Database, job_id: str, number: int, *, payload: bool = False) -> Document | None:
    """The batch in which a row stands."""
    query = {"_id": {"$gt": f"{job_id}:", "$lte": place(job_id, number)}}
    wanted = None if payload else {"payload": 0, "results.kept": 0}
    found = await database[ROWS].find(query, wanted).sort("_id", DESCENDING).limit(1).to_list()
    return found[0] if found and number < found[0]["first"] + found[0]["count"] else None


async def page(call: Call, job_id: str, result: str, start: int, size: int, key: AESGCM | None) -> tuple[list[Any], int | None]:
    """Rows from a number on, of one outcome or all; and the number from which to go on, None at the end."""
    here = await batch_at(call.database, job_id, start)
    query = span(job_id) | {"_id": {"$gte": here["_id"] if here else place(job_id, start), "$lt": f"{job_id};"}}
    if result == REFUSED:
        query |= {"job_id": job_id, "refused": {"$gt": 0}}
    cursor = call.database[ROWS].find(query, {"payload": 0, "results.kept": 0}, max_time_ms=call.milliseconds_left)
    found: list[Any] = []
    async for batch in cursor.hint("refused" if result == REFUSED else "_id_").sort("_id", 1):
        for index in range(max(0, start - batch["first"]), batch["count"]):
            if result and (index >= len(batch["results"]) or batch["results"][index]["r"] != result):
                continue
            if len(found) == size:
                return found, batch["first"] + index
            found.append(message_of(batch, index, key))
    return found, None


async def outcomes(database: Database, batch_id: str, key: AESGCM | None) -> list[Any]:
    """The rows of a batch, if all have their outcome; none otherwise."""
    batch = await database[ROWS].find_one({"_id": batch_id}, {"payload": 0, "results.kept": 0})
    if batch is None or batch["filled"] < batch["count"]:
        return []
    return [message_of(batch, index, key) for index in range(batch["count"])]
