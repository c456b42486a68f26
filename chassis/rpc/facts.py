"""What was announced since a fact, for whoever listens: from the outbox, in the order in which it was first published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crm.common.v1 import history_service_pb2 as contract

from chassis.kernel.errors import Conflict, NotAllowed, NotFound
from chassis.messaging.relay import BATCH, newest_of
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Handler
from chassis.storage.changes import OUTBOX
from chassis.storage.records import Document, Records

# Those of the cursor's own batch are read again and passed over: so it must be more than one of the relay's batches.
MOST = 2 * BATCH
_HEADERS = {"position": 1, **{f"headers.ce-{name}": 1 for name in ("type", "aggregate", "subject", "customer", "time")}}


def handler(stores: Sequence[Records]) -> Handler:
    """The handler of ListFacts over the records of these stores."""
    known = {store.noun: store for store in stores}

    async def list_facts(call: Call, request: Any) -> Any:
        start, last = await _place(call, request.after_id)
        cursor = call.database[OUTBOX].find({"position": {"$gte": start}}, _HEADERS, max_time_ms=call.milliseconds_left).hint("position")
        rows = await cursor.sort([("position", 1), ("_id", 1)]).limit(MOST).to_list()
        behind = [row for row in rows if (row["position"], row["_id"]) > (start, last)]
        more = len(rows) == MOST
        coming = [] if more else await _coming(call)
        facts = [fact for row in behind + coming if _asked(fact := _fact(row), request)]
        seen = await _seen(call, known, facts)
        return contract.ListFactsResponse(
            facts=[to_message(fact, contract.Fact.DESCRIPTOR) for fact in facts if (fact["noun"], fact["record_id"]) in seen],
            position=behind[-1]["_id"] if behind else "", more=more,
        )  # fmt: skip

    return list_facts


async def _coming(call: Call) -> list[Document]:
    """What is committed and not marked as published yet: whoever begins to listen now may have missed it."""
    cursor = call.database[OUTBOX].find({"pending": True}, _HEADERS, max_time_ms=call.milliseconds_left).hint("pending")
    return [row for row in await cursor.sort("_id", 1).limit(MOST).to_list() if "position" not in row]


async def _place(call: Call, after: str) -> tuple[int, str]:
    """Position and id behind which to go on: those of a fact, or before the first that was published since a moment."""
    if after.startswith("@"):
        since = {"publish_time": {"$gte": datetime.fromtimestamp(int(after[1:]) / 1000, UTC)}, "position": {"$exists": True}}
        cursor = call.database[OUTBOX].find(since, {"position": 1}, max_time_ms=call.milliseconds_left).hint("expire")
        if first := await cursor.sort("publish_time", 1).limit(1).to_list():
            return int(first[0]["position"]), ""
        newest = await newest_of(call.database)
        return (int(newest["position"]), newest["_id"]) if newest else (0, "")
    row = await call.database[OUTBOX].find_one({"_id": after}, {"position": 1, "pending": 1}, max_time_ms=call.milliseconds_left)
    if row is None or ("position" not in row and "pending" not in row):
        raise NotFound(
            "what happened since is not kept any more; read what you need and subscribe without a cursor",
            code="CURSOR_EXPIRED",
            field="after",
        )
    if "position" not in row:  # it is heard a moment before it is marked
        raise Conflict("the fact is being published at this moment; ask again", code="BUSY")
    return int(row["position"]), after


def _fact(row: Document) -> Document:
    headers: Mapping[str, str] = row["headers"]
    return {
        "event_id": row["_id"], "event_type": headers["ce-type"], "noun": headers["ce-aggregate"].rsplit(".", 1)[1],
        "record_id": headers["ce-subject"], "customer_id": headers.get("ce-customer", ""), "time": datetime.fromisoformat(headers["ce-time"]),
        "coming": "position" not in row,
    }  # fmt: skip


def _asked(fact: Document, request: Any) -> bool:
    return all(getattr(request, name) in ("", fact[name]) for name in ("noun", "record_id", "customer_id"))


async def _seen(call: Call, known: Mapping[str, Records], facts: Sequence[Document]) -> set[tuple[str, str]]:
    """Which of the records the caller may see now, by role and collaboration: nothing of them is opened."""
    found: set[tuple[str, str]] = set()
    for noun in {fact["noun"] for fact in facts} & set(known):
        ids = {fact["record_id"] for fact in facts if fact["noun"] == noun}
        try:
            found |= {(noun, identity) for identity in await known[noun].batch_get(call, ids, ("id",))}
        except NotAllowed:
            continue
    return found
