"""Outbox → JetStream: publishes committed events in order, woken by the commit, one relay a department by lease."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import NotFoundError
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from pymongo import ASCENDING, IndexModel
from pymongo.errors import PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.messaging.broker import stream_name
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces, traceparent
from chassis.storage.changes import OUTBOX
from chassis.storage.client import Database
from chassis.storage.lease import LEASES, Lease, Together

log = logging.getLogger("crm.relay")
NAME = "relay"
BATCH = 500
# Each commit wakes the relay of its own process. Those of other replicas are found by looking: often while there are any.
IDLE_SECONDS, QUIET_SECONDS, OTHERS_SECONDS = 0.2, 1.0, 60.0
KEEP_DAYS = 90
# An acknowledgement that was lost on its way is missed after this; publishing once more does no harm.
ACK_SECONDS = 3
LOOK_SECONDS = 2.0
INDEXES = [
    IndexModel([("pending", ASCENDING), ("_id", ASCENDING)], name="pending", partialFilterExpression={"pending": True}),
    IndexModel([("publish_time", ASCENDING)], name="expire", expireAfterSeconds=KEEP_DAYS * 86400),
    IndexModel([("headers.ce-customer", ASCENDING)], name="customer", partialFilterExpression={"headers.ce-customer": {"$gt": ""}}),
    IndexModel([("forget", ASCENDING)], name="forget", partialFilterExpression={"forget": True}),
    IndexModel([("position", ASCENDING), ("_id", ASCENDING)], name="position", partialFilterExpression={"position": {"$exists": True}}),
]


class Relay:
    """Moves what was committed to the stream, and again when the broker lost it. `wake` after a commit; `run` until cancelled;
    `make_stream` makes a stream that is gone, or says who must."""

    def __init__(
        self, department: str, database: Database, context: JetStreamContext, metrics: Metrics, traces: Traces,
        make_stream: Callable[[], Awaitable[None]], together: Together | None = None,
    ) -> None:  # fmt: skip
        self.department, self.database, self.context = department, database, context
        self.metrics, self.traces, self.make_stream = metrics, traces, make_stream
        self.woken = asyncio.Event()
        self.lease = Lease(database, NAME, together)
        self._others_until = 0.0
        self._sequence, self._position, self._look_due, self._short = 0, 0, 0.0, False
        self._asking: asyncio.Timeout | None = None  # a batch that waits for its acknowledgements
        self._unmarked: list[str] = []  # the batch under way: somebody may have heard of it

    def wake(self, events: int) -> None:
        """Tell the relay that there is something to publish."""
        self.woken.set()

    def broker_back(self) -> None:
        """Of what was sent to a broker that went away nothing is acknowledged any more: it is sent once more at once."""
        if self._asking:
            self._asking.reschedule(0)

    async def run(self) -> None:
        """Publish until cancelled; failures of database or broker are waited out."""
        while True:
            woken, count = self.woken.is_set(), 0
            self.woken.clear()
            try:
                if await self.lease.hold():
                    count = await self._turn()
            except (PyMongoError, NatsError, TimeoutError, OSError) as error:
                log.warning("relay waits", extra={"reason": str(error)[:200] or type(error).__name__})
                await asyncio.sleep(0.5)
                continue
            if count and not woken:
                self._others_until = time.monotonic() + OTHERS_SECONDS
            if count < BATCH:
                try:
                    async with asyncio.timeout(IDLE_SECONDS if self._others_until > time.monotonic() else QUIET_SECONDS):
                        await self.woken.wait()
                except TimeoutError:
                    continue

    async def _turn(self) -> int:
        if self.lease.begun:
            await self._take_over(self.lease.kept)
            self.lease.begun = False
        await self._look()
        return await self.publish_batch()

    async def _take_over(self, kept: Mapping[str, Any]) -> None:
        """Go on where the relay before us ended. It noted with its last batch how far the stream went until then; how far with that batch
        stands on the rows that it marked."""
        batch, newest = kept.get("batch", []), await newest_of(self.database)
        marked = self.database[OUTBOX].find({"_id": {"$in": batch}, "sequence": {"$exists": True}}, {"sequence": 1})
        self._sequence = max([kept.get("sequence", 0), *[row["sequence"] async for row in marked]])
        self._position = max(kept.get("position", 0), newest["position"] if newest else 0)
        self._unmarked, self._look_due = batch, 0.0

    async def publish_batch(self) -> int:
        """Publish the oldest pending rows, then mark them in one write; how many. A crash in between publishes them again, before any
        others, which the broker and every inbox recognise."""
        rows = await self._next()
        if not rows:
            return 0
        acks = await self._publish(rows)
        # Repeats count too: their first acknowledgements may have been lost, or the write that should have followed.
        if (first := min(ack.seq for ack in acks)) <= self._sequence:
            await self._lost(first - 1)
        last = max(ack.seq for ack in acks)
        if any("position" in row for row in rows):  # whoever takes over looks only at the rows of the last batch for it
            await self.lease.keep(sequence=last)
        await self._mark(rows, last)
        self._sequence, self._unmarked = last, []
        for row in rows:
            self.metrics.events_published.labels(row["headers"]["ce-type"]).inc()
        return len(rows)

    async def _next(self) -> list[dict[str, Any]]:
        """What to publish now: first what may have been published already and was not marked. Whoever hears a fact of a new batch finds
        its place: it is noted before it is published, and only while the lease is ours."""
        if self._unmarked:
            cursor = self.database[OUTBOX].find({"_id": {"$in": self._unmarked}, "pending": True}).sort("_id", ASCENDING)
            if rows := await cursor.to_list():
                return rows
            self._unmarked = []
        cursor = self.database[OUTBOX].find({"pending": True}).sort("_id", ASCENDING).hint("pending").limit(BATCH)
        rows = await cursor.to_list()
        if fresh := [row["_id"] for row in rows if "position" not in row]:
            if not await self.lease.keep(position=self._position + 1, batch=fresh, sequence=self._sequence):
                return []
            self._position, self._unmarked = self._position + 1, fresh
        return rows

    async def _mark(self, rows: list[dict[str, Any]], sequence: int) -> None:
        """Note that these were published, and how far the stream goes with them; where they stand among the others unless they have their
        place already. One that is to be published once more by now is not marked."""
        query = {"pending": True, "headers.Nats-Msg-Id": {"$in": [row["headers"]["Nats-Msg-Id"] for row in rows]}}
        done = {"publish_time": now(), "sequence": sequence}
        for ids, place in (
            ([row["_id"] for row in rows if "position" not in row], {"position": self._position}),
            ([row["_id"] for row in rows if "position" in row], {}),
        ):
            if ids:
                await self.database[OUTBOX].update_many({**query, "_id": {"$in": ids}}, {"$set": done | place, "$unset": {"pending": ""}})

    async def _publish(self, rows: list[dict[str, Any]]) -> list[PubAck]:
        """Every row is a span of the trace that made it, and its trace goes on from there."""
        spans = [self._span(row) for row in rows]
        try:
            sent = [
                await self.context.publish_async(row["subject"], row["payload"], headers=_sendable(row["headers"], span))
                for row, span in zip(rows, spans, strict=True)
            ]
            async with asyncio.timeout(ACK_SECONDS) as self._asking:
                return await asyncio.gather(*sent)
        finally:
            self._asking = None
            for span in spans:
                span.end()

    def _span(self, row: dict[str, Any]) -> Span:
        stream, type_ = stream_name(self.department), row["headers"]["ce-type"]
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": stream,
            "messaging.operation.name": "publish",
            "crm.event": type_,
        }
        return self.traces.start(f"publish {stream}", row["headers"].get("traceparent", ""), SpanKind.PRODUCER, attributes)

    async def _look(self) -> None:
        """See, every two seconds, whether the stream still holds what was published; make it again where it is gone."""
        if time.monotonic() < self._look_due:
            return
        self._look_due = time.monotonic() + LOOK_SECONDS
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                last = (await self.context.stream_info(stream_name(self.department))).state.last_seq
        except NotFoundError:
            if self._sequence:
                await self._lost(0)
            await self.make_stream()
            return
        # A server that stood still and goes on believes for a moment that it leads, and tells how far the stream went then: only what is
        # told twice is believed.
        short = last < self._sequence
        if short and self._short:
            await self._lost(last)
        self._short = short and not self._short

    async def _lost(self, last: int) -> None:
        """The stream ends at `last`, and more was published: the broker lost it. All that came behind is published again."""
        query = {"publish_time": {"$exists": True}, "sequence": {"$gt": last}}
        if count := await publish_again(self.database, query):
            log.error(
                "the stream lost facts; they are published again",
                extra={"stream": stream_name(self.department), "end": last, "count": count},
            )
        self._sequence = last
        await self.lease.keep(sequence=last)


def _sendable(headers: dict[str, str], span: Span) -> dict[str, str]:
    found = {key: value for key, value in headers.items() if value}
    return found | {"traceparent": traceparent(span)} if span is not INVALID_SPAN else found


async def under_way(database: Database) -> tuple[int, list[str]]:
    """Position and ids of the batch that was begun last: where its facts stand that are not marked yet."""
    kept = await database[LEASES].find_one({"_id": NAME}, {"position": 1, "batch": 1}) or {}
    return kept.get("position", 0), kept.get("batch", [])


async def newest_of(database: Database) -> dict[str, Any] | None:
    """Id and position of the fact that was published last; None before there is any."""
    cursor = database[OUTBOX].find({"position": {"$exists": True}}, {"position": 1}).hint("position")
    return next(iter(await cursor.sort([("position", -1), ("_id", -1)]).limit(1).to_list()), None)


async def publish_again(database: Database, query: Mapping[str, Any]) -> int:
    """Have published facts published once more, under new message ids: the broker must not take them for the repeats that they are. How many."""
    fresh: list[dict[str, Any]] = [
        {"$set": {"pending": True, "headers.Nats-Msg-Id": {"$concat": ["$_id", ":", new_id()]}}}, {"$unset": ["publish_time", "sequence"]},
    ]  # fmt: skip
    return (await database[OUTBOX].update_many({**query, "pending": None}, fresh)).modified_count
