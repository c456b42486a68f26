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
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import ConnectionFailure, PyMongoError

from chassis.access.caller import refused
from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.ids import from_source
from chassis.observe.metrics import Metrics
from chassis.rpc.call import Call
from chassis.storage.client import Database
from chassis.storage.records import Records

log = logging.getLogger("crm.timers")
Document = dict[str, Any]
Fire = Callable[[Call, Document], Awaitable[None]]
Prepare = Callable[[Call, Sequence[Document]], Awaitable[Fire]]
# Another replica may have set a time that lies so near.
LOOK_SECONDS = 1.0
# So long we believe to know how far the database's clock is from ours; before anything fires it is asked.
CLOCK_SECONDS = 30.0
BATCH = 100
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Timer:
    """Fires for every record of `store` that has the values `where` and whose field `due` has come.

    `fire` gets a call of the department and the record as it is, and adds its writes to `call.changes`; among them one after which the
    record has other values than `where`, or a later due time. It has its effect once: the record's version guards it. Up to 100 records
    are fired with one commit, so it must not count on what it wrote for another one, nor do anything outside of the database. In place of
    `fire` one may give `prepare`, which reads at once what the records of a commit need and gives what fires each of them. Where neither reads
    or announces what of the record is personal, it need not be `opened`.
    """

    name: str
    store: Records
    due: str
    where: Mapping[str, Any]
    fire: Fire | None = None
    prepare: Prepare | None = None
    opened: bool = True

    @property
    def index_name(self) -> str:
        """What that index is called."""
        return f"timer_{self.name}"

    @property
    def index(self) -> IndexModel:
        """The index that the search for what is due stands on; it holds only records that have a timer."""
        kept = {**self.where, self.due: {"$exists": True}}
        return IndexModel([(self.due, ASCENDING)], name=self.index_name, partialFilterExpression=kept)

    def is_due(self, record: Document, moment: datetime) -> bool:
        """Whether it is to fire; another hand may have moved or ended it since it was found."""
        due = record.get(self.due)
        return due is not None and due <= moment and all(record.get(name) == value for name, value in self.where.items())

    async def firing(self, call: Call, records: Sequence[Document]) -> Fire:
        """What fires these records."""
        if self.prepare:
            return await self.prepare(call, records)
        if self.fire is None:
            raise RuntimeError(f"the timer «{self.name}» does nothing; give it fire or prepare")
        return self.fire


class Timers:
    """The worker that fires a department's timers, in one replica at a time. What was due while nobody ran fires late, never not.

    `passed` tells seconds since any moment, and never goes back: by it what failed is tried again.
    """

    def __init__(
        self,
        timers: Sequence[Timer],
        database: Database,
        own_call: Callable[[str], Call],
        metrics: Metrics,
        passed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timers, self.database, self.own_call, self.metrics, self.passed = timers, database, own_call, metrics, passed
        # When to try again what failed, and how often it did, by timer and record.
        self._again: dict[tuple[str, str], tuple[float, int]] = {}
        self._clock: tuple[float, datetime] | None = None

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        while True:
            rest = LOOK_SECONDS
            for timer in self.timers:
                try:
                    rest = min(rest, await self._look(timer))
                except PyMongoError as error:
                    log.warning("timers wait", extra={"timer": timer.name, "reason": str(error)[:200]})
                    if isinstance(error, ConnectionFailure):
                        break
            await asyncio.sleep(rest)

    async def _look(self, timer: Timer) -> float:
        """Fire what is due of a timer; seconds until the next look. While nothing is due it costs one key of an index."""
        first = await self._first(timer)
        if first is None:
            return LOOK_SECONDS
        moment = await self._about()
        if first <= moment:
            moment = await self._moment()
        if first > moment:
            return min(LOOK_SECONDS, (first - moment).total_seconds() + 0.001)
        return 0 if await self.fire_due(timer, moment) == BATCH else LOOK_SECONDS

    async def _first(self, timer: Timer) -> datetime | None:
        """When the first record of a timer is due."""
        query = {**timer.where, timer.due: {"$exists": True}}
        rows = self.database[timer.store.resource].find(query, {"_id": 0, timer.due: 1}, comment="timers").sort(timer.due, ASCENDING)
        found = await rows.hint(timer.index_name).limit(1).to_list()
        due: datetime | None = found[0][timer.due] if found else None
        return due

    async def _about(self) -> datetime:
        """The database's time, nearly."""
        if self._clock is None or time.monotonic() - self._clock[0] > CLOCK_SECONDS:
            await self._moment()
        since, then = self._clock or (0.0, datetime.now(UTC))
        return then + timedelta(seconds=time.monotonic() - since)

    async def _moment(self) -> datetime:
        """The database's time: a department whose clock is wrong must not fire early."""
        found: datetime = (await self.database.client.admin.command("hello"))["localTime"]
        moment = found.replace(tzinfo=UTC)
        self._clock = (time.monotonic(), moment)
        return moment

    async def fire_due(self, timer: Timer, moment: datetime) -> int:
        """Fire what is due, the longest due first; how many were found. Where the database is too busy to commit, the look ends: what is left
        is not asked of it a hundred times."""
        self._forget(timer)
        waiting = {record_id for (name, record_id), (due, _) in self._again.items() if name == timer.name and due > self.passed()}
        query = {**timer.where, timer.due: {"$lte": moment}}
        rows = (
            self.database[timer.store.resource].find(query, {"_id": 1}, comment="timers").sort(timer.due, ASCENDING).hint(timer.index_name)
        )
        found = [row["_id"] for row in await rows.limit(BATCH + len(waiting)).to_list() if row["_id"] not in waiting][:BATCH]
        # What failed before is tried alone, and last.
        suspects = [identity for identity in found if (timer.name, identity) in self._again]
        for ids in ([identity for identity in found if identity not in suspects], *([identity] for identity in suspects)):
            if not await self._fire(timer, ids, moment):
                return 0
        return len(found)

    async def _fire(self, timer: Timer, ids: list[str], moment: datetime) -> bool:
        """Fire records with one commit. Where that fails each half by itself, until the one at fault is alone; whether to go on. Which of
        them the database was too busy for cannot be told: all are tried again later, each alone."""
        failure = await self._attempt(timer, ids, moment) if ids else None
        if failure is None:
            return True
        busy = isinstance(failure, Conflict) and failure.code == "BUSY"
        if busy or len(ids) == 1:
            for identity in ids:
                self._failed(timer, identity, failure)
            return not busy
        middle = len(ids) // 2
        return await self._fire(timer, ids[:middle], moment) and await self._fire(timer, ids[middle:], moment)

    async def _attempt(self, timer: Timer, ids: list[str], moment: datetime) -> Exception | None:
        """Fire records with one commit; why nothing of it was written, if so. Raises where the database is away."""
        try:
            fired = await self._together(timer, ids, moment)
        except ConnectionFailure:
            raise
        except Exception as error:  # one record's trouble must not become another's
            return error
        for identity in ids:
            self._again.pop((timer.name, identity), None)
        for record in fired:
            self.metrics.timer_late_seconds.labels(timer.name).observe(max(0.0, (moment - record[timer.due]).total_seconds()))
        return None

    async def _together(self, timer: Timer, ids: list[str], moment: datetime) -> list[Document]:
        """One commit for those of the records that are still due; which these were. Each has a call, and so a request id, of its own."""
        call = self.own_call(f"timer:{timer.name}")
        call.now = max(call.now, moment)  # nothing happens before it was due, whatever this machine's clock says
        rows = await self.database[timer.store.resource].find({"_id": {"$in": ids}}, comment="timers").to_list()
        due = [row for row in rows if timer.is_due(row, moment)]
        if not due:
            return due
        if timer.opened:
            due = await timer.store.opened(call, due)
        reach, fire = timer.store.reach(call, "update"), await timer.firing(call, due)
        for record in due:
            one = self.own_call(call.method)
            one.now = call.now
            # The same for the same due time of the same version, so that whoever fires it, and however often it is tried, it is one and
            # the same request. A due time that is no field of the record moves without a version.
            one.request_id = from_source(call.method, f"{record['_id']}:{record['version']}:{record[timer.due].isoformat()}")
            one.changes.correlation_id = one.request_id
            if not reach.admits(record):
                raise refused(timer.store.resource, "update")
            await fire(one, record)
            call.changes.join(one.changes)
        await call.changes.commit()
        return due

    def _failed(self, timer: Timer, record_id: str, error: Exception) -> None:
        tries = self._again.get((timer.name, record_id), (0.0, 0))[1] + 1
        wait = min(2.0**tries, LONGEST_SECONDS)
        self._again[timer.name, record_id] = (self.passed() + wait, tries)
        found = {"timer": timer.name, "record": record_id, "tries": tries, "seconds": wait}
        if isinstance(error, Conflict) and tries == 1:  # somebody was faster, and the record tells what is to be done now
            log.info("timer waits", extra={**found, "reason": error.message})
            return
        self.metrics.timer_failures.labels(timer.name).inc()
        if isinstance(error, CrmError):
            log.warning("timer waits", extra={**found, "reason": error.message})
        else:
            log.error("timer failed", extra=found, exc_info=error)

    def _forget(self, timer: Timer) -> None:
        """Of what failed, forget what was not due any more when it was to be tried again: somebody moved or ended it."""
        long_ago = self.passed() - LONGEST_SECONDS
        for key in [key for key, (due, _) in self._again.items() if key[0] == timer.name and due < long_ago]:
            del self._again[key]
