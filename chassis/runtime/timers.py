"""What happens at a moment that was set: found by an index over the records themselves, so that no second place can lose or repeat it.

The due time is a field of the record. Who sets it, moves it or takes it away writes the record; what fires takes the record out of the
timer's reach in the transaction of its effect. Nothing else is kept, so there is nothing to repair.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import PyMongoError

from chassis.kernel.errors import Conflict, CrmError, NotFound
from chassis.observe.metrics import Metrics
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.records import Records

log = logging.getLogger("crm.timers")
Document = dict[str, Any]
Fire = Callable[[Call, Document], Awaitable[None]]
LOOK_SECONDS = 0.5
BATCH = 100
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Timer:
    """Fires for every record of `store` that has the values `where` and whose field `due` has come.

    `fire` gets the department's own call and the record as it is, and adds its writes to `call.changes`; among them one after which the
    record has other values than `where`, or a later due time. It has its effect once: the record's version guards it.
    """

    name: str
    store: Records
    due: str
    where: Mapping[str, Any]
    fire: Fire

    @property
    def index(self) -> IndexModel:
        """The index that the search for what is due stands on; it holds only records that have a timer."""
        kept = {**self.where, self.due: {"$exists": True}}
        return IndexModel([(self.due, ASCENDING)], name=f"timer_{self.name}", partialFilterExpression=kept)

    def is_due(self, record: Document, moment: datetime) -> bool:
        """Whether it is to fire; another hand may have moved or ended it since it was found."""
        due = record.get(self.due)
        return due is not None and due <= moment and all(record.get(name) == value for name, value in self.where.items())


class Timers:
    """The worker that fires a department's timers, in one replica at a time. What was due while nobody ran fires late, never not."""

    def __init__(self, timers: Sequence[Timer], database: Database, own_call: Callable[[str], Call], metrics: Metrics) -> None:
        self.timers, self.database, self.own_call, self.metrics = timers, database, own_call, metrics
        # When to try again what failed, and how often it did, by timer and record.
        self._again: dict[tuple[str, str], tuple[float, int]] = {}

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        while True:
            busy = False
            try:
                moment = await self._moment()
                for timer in self.timers:
                    busy |= await self.fire_due(timer, moment) == BATCH
            except PyMongoError as error:
                log.warning("timers wait", extra={"reason": str(error)[:200]})
            await asyncio.sleep(0 if busy else LOOK_SECONDS)

    async def _moment(self) -> datetime:
        """The database's time: a department whose clock is wrong must not fire early."""
        found: datetime = (await self.database.client.admin.command("hello"))["localTime"]
        return found.replace(tzinfo=UTC)

    async def fire_due(self, timer: Timer, moment: datetime) -> int:
        """Fire what is due, the longest due first; how many were tried."""
        waiting = {record_id for (name, record_id), (due, _) in self._again.items() if name == timer.name and due > time.monotonic()}
        query = {**timer.where, timer.due: {"$lte": moment}}
        rows = (
            self.database[timer.store.resource]
            .find(query, {"_id": 1}, comment="timers")
            .sort(timer.due, ASCENDING)
            .hint(timer.index.document["name"])
        )
        found = [row["_id"] for row in await rows.limit(BATCH + len(waiting)).to_list() if row["_id"] not in waiting]
        for record_id in found[:BATCH]:
            await self._fire(timer, record_id, moment)
        return len(found[:BATCH])

    async def _fire(self, timer: Timer, record_id: str, moment: datetime) -> None:
        key = (timer.name, record_id)
        try:
            call = self.own_call(f"timer:{timer.name}")
            record = await timer.store.get(call, record_id, "update")
            if not timer.is_due(record, moment):
                return
            await timer.fire(call, record)
            await call.changes.commit()
        except (Conflict, NotFound):  # somebody was faster, and the record tells what is to be done now
            return
        except PyMongoError:
            raise
        except Exception as error:  # one record's trouble must not become another's
            self._failed(key, error)
            return
        self._again.pop(key, None)
        self.metrics.timer_late_seconds.labels(timer.name).observe(max(0.0, (moment - record[timer.due]).total_seconds()))

    def _failed(self, key: tuple[str, str], error: Exception) -> None:
        tries = self._again.get(key, (0.0, 0))[1] + 1
        wait = min(2.0**tries, LONGEST_SECONDS)
        self._again[key] = (time.monotonic() + wait, tries)
        found = {"timer": key[0], "record": key[1], "tries": tries, "seconds": wait}
        if isinstance(error, CrmError):
            log.warning("timer waits", extra={**found, "reason": error.message})
        else:
            log.error("timer failed", extra=found, exc_info=error)
