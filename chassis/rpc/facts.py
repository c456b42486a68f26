"""What was announced since a fact, for whoever listens: from the outbox, in the order in which it was first published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from crm.common.v1 import history_service_pb2 as contract

from chassis.kernel.errors import NotAllowed, NotFound
from chassis.kernel.ids import id_at
from chassis.messaging.relay import BATCH, newest_of, under_way
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.service import Handler
from chassis.storage.aliases import Aliases
from chassis.storage.changes import OUTBOX
from chassis.storage.records import Document, Records

# Those of the cursor's own batch are read again and passed over: so it must be more than one of the relay's batches.
MOST = 2 * BATCH
Place = tuple[int, str]  # position and id
_HEADERS = {"position": 1, **{f"headers.ce-{name}": 1 for name in ("type", "aggregate", "subject", "customer", "time")}}


def handler(stores: Sequence[Records]) -> Handler:
    """The handler of ListFacts over the records of these stores."""
    known = {store.noun: store for store in stores}

    async def list_facts(call: Call, request: Any) -> Any:
        position, batch = await under_way(call.database)
        start = await _place(call, request.after_id, position, batch)
        rows = await _since(call, start, position, batch)
        behind = [row for row in rows if (row["position"], row["_id"]) > start]
        facts = [fact for row in behind if _asked(fact := _fact(row, call.aliases), request)]
        seen = await _seen(call, known, facts)
        return contract.ListFactsResponse(
            facts=[to_message(fact, contract.Fact.DESCRIPTOR) for fact in facts if (fact["noun"], fact["record_id"]) in seen],
            position=behind[-1]["_id"] if behind else "", more=len(rows) == MOST,
        )  # fmt: skip

    return list_facts


async def _since(call: Call, start: Place, position: int, batch: Sequence[str]) -> list[Document]:
    """A stretch of the facts from a place on, in their order. Those of the batch under way are asked for first: which is marked meanwhile is
    found among the others. What is published later than that is heard by whoever listens."""
    found = {row["_id"]: {**row, "position": position} for row in await _sent(call, batch)}
    found |= {row["_id"]: row for row in await _marked(call, start[0])}
    return sorted(found.values(), key=lambda row: (row["position"], row["_id"]))[:MOST]


async def _sent(call: Call, batch: Sequence[str]) -> list[Document]:
    query = {"_id": {"$in": batch}, "position": {"$exists": False}}
    return await call.database[OUTBOX].find(query, _HEADERS, max_time_ms=call.milliseconds_left).to_list()


async def _marked(call: Call, position: int) -> list[Document]:
    cursor = call.database[OUTBOX].find({"position": {"$gte": position}}, _HEADERS, max_time_ms=call.milliseconds_left).hint("position")
    return await cursor.sort([("position", 1), ("_id", 1)]).limit(MOST).to_list()


async def _place(call: Call, after: str, position: int, batch: Sequence[str]) -> Place:
    """The place behind which to go on: of a fact, or before the first that was made since a moment."""
    facts, left = call.database[OUTBOX], call.milliseconds_left
    if after.startswith("@"):
        since = {"_id": {"$gte": id_at(int(after[1:]) / 1000)}, "position": {"$exists": True}}
        first = await facts.find(since, {"position": 1}, max_time_ms=left).sort("_id", 1).limit(1).to_list()
        if first:
            return int(first[0]["position"]), ""
        newest = await newest_of(call.database)
        return (int(newest["position"]), newest["_id"]) if newest else (0, "")
    row = await facts.find_one({"_id": after}, {"position": 1}, max_time_ms=left)
    if row and "position" in row:
        return int(row["position"]), after
    if row and after in batch:
        return position, after
    raise NotFound(
        "what happened since is not kept any more; read what you need and subscribe without a cursor", code="CURSOR_EXPIRED", field="after"
    )


def _fact(row: Document, aliases: Aliases) -> Document:
    """What is told of a fact; its customer is the one that counts now, whichever it was when that was announced."""
    headers: Mapping[str, str] = row["headers"]
    return {
        "event_id": row["_id"], "event_type": headers["ce-type"], "noun": headers["ce-aggregate"].rsplit(".", 1)[1],
        "record_id": headers["ce-subject"], "customer_id": aliases.resolve(headers.get("ce-customer", "")), "time": datetime.fromisoformat(headers["ce-time"]),
    }  # fmt: skip


def _asked(fact: Document, request: Any) -> bool:
    if request.record_ids and fact["record_id"] not in request.record_ids:
        return False
    customers = request.customer_ids or [request.customer_id]
    return (customers == [""] or fact["customer_id"] in customers) and all(
        getattr(request, name) in ("", fact[name]) for name in ("noun", "record_id")
    )


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
