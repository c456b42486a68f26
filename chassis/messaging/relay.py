"""Outbox → JetStream: publishes committed events in order, woken by the commit, one relay a department by lease."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.observe.metrics import Metrics
from chassis.storage.changes import OUTBOX
from chassis.storage.client import Database

log = logging.getLogger("crm.relay")
BATCH = 500
IDLE_SECONDS = 0.2
LEASE_SECONDS = 5
KEEP_DAYS = 90
INDEXES = [
    IndexModel([("pending", ASCENDING), ("_id", ASCENDING)], name="pending", partialFilterExpression={"pending": True}),
    IndexModel([("publish_time", ASCENDING)], name="expire", expireAfterSeconds=KEEP_DAYS * 86400),
]


class Relay:
    """Moves what was committed to the stream. `wake` after a commit; `run` until cancelled."""

    def __init__(self, database: Database, context: JetStreamContext, metrics: Metrics) -> None:
        self.database, self.context, self.metrics = database, context, metrics
        self.woken = asyncio.Event()
        self.holder = new_id()
        self._lease_until = 0.0

    def wake(self, events: int) -> None:
        """Tell the relay that there is something to publish."""
        self.woken.set()

    async def run(self) -> None:
        """Publish until cancelled; failures of database or broker are waited out."""
        while True:
            self.woken.clear()
            try:
                busy = await self._hold_lease() and await self.publish_batch() == BATCH
            except (PyMongoError, NatsError, TimeoutError, OSError) as error:
                log.warning("relay waits", extra={"reason": str(error)[:200]})
                await asyncio.sleep(0.5)
                continue
            if not busy:
                try:
                    await asyncio.wait_for(self.woken.wait(), IDLE_SECONDS)
                except TimeoutError:
                    continue

    async def publish_batch(self) -> int:
        """Publish the oldest pending rows, then mark them in one write; how many. A crash in between publishes them again,
        which the broker and every inbox recognise."""
        cursor = self.database[OUTBOX].find({"pending": True}).sort("_id", ASCENDING).hint("pending").limit(BATCH)
        rows: list[dict[str, Any]] = await cursor.to_list()
        self.metrics.outbox_pending.set(len(rows))
        if not rows:
            return 0
        acks = [await self.context.publish_async(row["subject"], row["payload"], headers=_sendable(row["headers"])) for row in rows]
        await asyncio.wait_for(asyncio.gather(*acks), 10)
        await self.database[OUTBOX].update_many(
            {"_id": {"$in": [row["_id"] for row in rows]}}, {"$set": {"publish_time": now()}, "$unset": {"pending": ""}}
        )
        for row in rows:
            self.metrics.events_published.labels(row["headers"]["ce-type"]).inc()
        return len(rows)

    async def _hold_lease(self) -> bool:
        moment = now()
        if self._lease_until > moment.timestamp():
            return True
        until = moment + timedelta(seconds=LEASE_SECONDS)
        try:
            mine = {"_id": "relay", "$or": [{"holder": self.holder}, {"until": {"$lt": moment}}]}
            await self.database["leases"].find_one_and_update(mine, {"$set": {"holder": self.holder, "until": until}}, upsert=True)
        except DuplicateKeyError:
            return False
        self._lease_until = until.timestamp() - LEASE_SECONDS / 2
        return True

    async def release(self) -> None:
        """Let another replica take over at once."""
        await self.database["leases"].delete_one({"_id": "relay", "holder": self.holder})


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if value}
