"""AuditService, which every department serves: its chain for export and proof, and checkpoints of others that it keeps."""

from __future__ import annotations

from typing import Any

from crm.common.v1 import audit_service_pb2
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from chassis.kernel.errors import Conflict, Invalid, NotAllowed
from chassis.kernel.pages import Sort, filter_after, fingerprint, size_of, token_after
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Service
from chassis.storage.chain import BLOCKS, content_of, read_checkpoint
from chassis.storage.changes import AUDIT
from chassis.storage.records import Document

DESCRIPTOR = audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"]
CHECKPOINTS, CHECKPOINT_KEYS = "audit_checkpoints", "audit_checkpoint_keys"
INDEX = IndexModel([("department", ASCENDING), ("number", ASCENDING)], name="by_department", unique=True)
_SORT = Sort("time", -1)
_PAGE, _MOST_CHECKPOINTS, _MOST_STRAY = 5, 1000, 100


def service() -> Service:
    """The handlers."""
    handlers = {"ListAuditBlocks": _list_blocks, "RecordCheckpoint": _record, "ListCheckpoints": _list_checkpoints}
    return Service(DESCRIPTOR, handlers, {})


async def _list_blocks(call: Call, request: Any) -> Any:
    rows = call.database[BLOCKS].find({"_id": {"$gt": request.after_number}}).sort("_id", ASCENDING)
    blocks = await rows.limit(request.page_size or _PAGE).to_list()
    numbers, ids = [block["_id"] for block in blocks], [identity for block in blocks for identity in block["ids"]]
    query = {"$or": [{"_id": {"$in": ids}}, {"block": {"$in": numbers}}]}
    entries = {entry["_id"]: entry async for entry in call.database[AUDIT].find(query)} if blocks else {}
    stray = call.database[AUDIT].find({"block": None, "pending": None}, {"_id": 1}).limit(_MOST_STRAY)
    return audit_service_pb2.ListAuditBlocksResponse(
        blocks=[to_message(_block(block, entries), audit_service_pb2.AuditBlock.DESCRIPTOR) for block in blocks],
        pending_count=await call.database[AUDIT].count_documents({"pending": True}, hint="pending"),
        stray_ids=[entry["_id"] async for entry in stray],
    )


def _block(block: Document, entries: dict[str, Document]) -> Document:
    known = set(block["ids"])
    lines = [
        {"entry_id": identity, "digest": digest, "content": content_of(entries[identity]).decode() if identity in entries else None}
        for identity, digest in zip(block["ids"], block["digests"], strict=True)
    ]
    stray = [identity for identity, entry in entries.items() if entry.get("block") == block["_id"] and identity not in known]
    return {**block, "number": block["_id"], "lines": lines, "stray_ids": stray}


async def _record(call: Call, request: Any) -> Any:
    """Keep a checkpoint. Only a department's own service brings it, under the key that was seen first, and never another hash for a block."""
    department = call.caller.person_id.removeprefix("service-")
    keys = call.database[CHECKPOINT_KEYS]
    try:
        await keys.insert_one({"_id": department, "public_key": request.public_key})
    except DuplicateKeyError:
        stored = await keys.find_one({"_id": department})
        if stored and stored["public_key"] != request.public_key:
            raise NotAllowed(f"checkpoints of {department} are signed by another key; an operator must look at its audit") from None
    try:
        claims = read_checkpoint(request.checkpoint, request.public_key)
    except ValueError as error:
        raise Invalid(str(error), field="checkpoint") from None
    if claims.get("department") != department:
        raise Invalid(f"the checkpoint is one of {claims.get('department')}, not of {department}", field="checkpoint")
    row = {"department": department, "number": claims["number"], "hash": claims["hash"], "checkpoint": request.checkpoint, "time": call.now}
    try:
        await call.database[CHECKPOINTS].insert_one(row)
    except DuplicateKeyError:
        before = await call.database[CHECKPOINTS].find_one({"department": department, "number": claims["number"]})
        if before and before["hash"] != claims["hash"]:
            raise Conflict(f"block {claims['number']} of {department} had another hash; its audit was rewritten", retryable=False) from None
    return audit_service_pb2.RecordCheckpointResponse(number=claims["number"])


async def _list_checkpoints(call: Call, request: Any) -> Any:
    query = {"department": request.department, "number": {"$gt": request.after_number}}
    rows = await call.database[CHECKPOINTS].find(query).sort("number", ASCENDING).limit(_MOST_CHECKPOINTS).to_list()
    key = await call.database[CHECKPOINT_KEYS].find_one({"_id": request.department})
    return audit_service_pb2.ListCheckpointsResponse(
        checkpoints=[row["checkpoint"] for row in rows], public_key=key["public_key"] if key else b""
    )


async def page_of(call: Call, request: Any, kind: str, query: Document) -> tuple[list[Document], dict[str, Any]]:
    """A page of audit entries about a record, the newest first, and the tokens of the answer. `kind` keeps tokens of other lists out."""
    mark, size = fingerprint(call.seal, kind, request.resource, request.record_id), size_of(request.page_size)
    parts = [query, filter_after(request.page_token, _SORT, mark)]
    cursor = call.database[AUDIT].find({"$and": [part for part in parts if part]}, max_time_ms=call.milliseconds_left)
    rows = await cursor.sort(_SORT.keys).limit(size + 1).to_list()
    shown = rows[:size]
    return shown, {
        "next_page_token": token_after(shown[-1], _SORT, mark) if len(rows) > size else "",
        "row_tokens": [token_after(row, _SORT, mark) for row in shown] if request.row_tokens else [],
    }
