"""How a read model is folded anew from the facts, beside live traffic, and put in the place of the old one in one step: a job of its department.

While it folds, the old model is read and kept as ever. At the end its consumers are paused for moments: both models are compared there,
and where they differ MongoDB puts the new one in the old one's place ($out: all of it or nothing, indexes stay). Killed before that, nothing
was changed, and the consumers go on by themselves; whoever goes on with the job begins from nothing. What differed is kept until what was made
of it is mended, so that whoever is killed in between leaves it to the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from pymongo import DeleteOne, IndexModel
from pymongo.errors import PyMongoError

from chassis.access.caller import lacking
from chassis.jobs.store import JOBS
from chassis.jobs.worker import Jobs, Pace, Stopped
from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict
from chassis.kernel.ids import new_id
from chassis.kernel.tasks import settle
from chassis.messaging.models import Aside, Document, Fold, Model, aside_of
from chassis.rpc.call import Call
from chassis.storage.changes import Changes
from chassis.storage.client import Database, ensure_collection
from chassis.storage.lease import Lease

PAUSE_SECONDS, QUIET_SECONDS, SAY_SECONDS = 6, 30.0, 1.0
# MongoDB may take so long to put a model in place, and goes on with it when we are killed: the consumers are paused for longer then.
OUT_SECONDS, OUT_PAUSE_SECONDS, RESUME_SECONDS = 60, 90, 15.0
MOST_SHOWN, AFTER = 5, 100
REST = "rebuild_rest"  # documents that differed, old and new, in batches: what was made of them is not mended yet
RIGHT = ("jobs", "rebuild")
Tell = Callable[[int, int], Awaitable[None]]
Placing = Callable[[], Awaitable[None]]


@dataclass
class Outcome:
    """What a rebuild found: facts folded, documents compared, ids missing from the old model, too many in it, or other in it."""

    facts: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    paused: float = 0.0
    documents: int = 0
    digest: str = ""
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    differing: list[Document] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.missing or self.extra or self.other)

    def lines(self) -> list[str]:
        """The outcome in lines."""
        found = [
            f"{self.facts:,} facts in {self.seconds:.1f} s ({self.facts / max(self.seconds, 0.001):,.0f}/s)",
            f"{self.documents:,} documents, sha256 {self.digest[:16]}; reactions paused for {self.paused:.2f} s",
        ]
        if self.unreadable:
            found.append(
                f"{self.unreadable:,} messages that this build cannot read were passed over, as by the reactions (xietong events parked)"
            )
        if self.equal:
            return [*found, "equal to the model that there was; nothing was changed"]
        for words, ids in (("were missing", self.missing), ("were too many", self.extra), ("were other", self.other)):
            if ids:
                found.append(f"{len(ids):,} {words}: {', '.join(ids[:MOST_SHOWN])}{' …' if len(ids) > MOST_SHOWN else ''}")
        return [*found, "the new model is in place"]


@dataclass(frozen=True)
class Stand:
    """What a department has to fold its models: `call` makes a call of its own, `indexes` are those of its collections."""

    name: str
    database: Database
    models: Mapping[str, Model]
    call: Callable[[str], Call]
    indexes: Callable[[], Mapping[str, Sequence[IndexModel]]]
    context: Callable[[], JetStreamContext]


async def fold_anew(stand: Stand, name: str, tell: Tell, placing: Placing) -> Outcome:
    """Fold a model anew; what was found. `tell` hears after each batch how many facts of how many were folded, `placing` that the new model is
    about to be put in place: both may raise to stop it, later it cannot be stopped. Raises Conflict where the facts are not all there (not
    retryable), or another one is at it."""
    lease, found = Lease(stand.database, "rebuild"), Outcome()

    async def anew() -> None:  # after a lost lease everything begins from nothing
        nonlocal found
        found = Outcome()
        await Rebuild(stand, stand.models[name], found, lease, tell, placing).run()

    if not await lease.hold():
        words = f"a model of {stand.name} is being folded anew already, or somebody was stopped at it just now; try again in seconds"
        raise Conflict(words, code="BUSY")
    try:
        await lease.while_held(anew)
    finally:
        with contextlib.suppress(PyMongoError):
            await lease.release()
    return found


class Rebuilds:
    """The kind REBUILD."""

    def __init__(self, stand: Callable[[], Stand]) -> None:
        self.stand = stand

    async def over(self, job: Document) -> list[str] | None:
        """When the model was folded."""
        return list(job["findings"]) if job.get("folded") else None

    def left(self, job_id: str) -> None:
        """Nothing is remembered."""

    async def step(self, jobs: Jobs, job: Document, pace: Pace) -> bool:
        """All of it: nothing is written before its end."""
        if job.get("folded"):
            return False
        if job.get("placing"):  # whoever was at it is gone, and we begin from nothing
            await jobs.database[JOBS].update_one(jobs.mine(job), {"$unset": {"placing": ""}})

        async def tell(done: int, total: int) -> None:
            call = await jobs.call_for(job, "rebuild")
            if not call.directory.allows(call.caller, *RIGHT):
                raise lacking(*RIGHT)
            began = job["start_time"].timestamp()
            values = {"done": done, "total": total, "update_time": now(), "rate": round(done / max(time.time() - began, 0.1), 1)}
            if not (await jobs.database[JOBS].update_one(jobs.mine(job), {"$set": values})).matched_count:
                raise Stopped
            jobs.progress.ring()

        due = 0.0

        async def batch(done: int, total: int) -> None:
            nonlocal due
            await pace.rest()
            pace.rows()
            if time.monotonic() > due:
                await tell(done, total)
                due = time.monotonic() + SAY_SECONDS

        async def placing() -> None:
            if not (await jobs.database[JOBS].update_one(jobs.mine(job), {"$set": {"placing": True}})).matched_count:
                raise Stopped

        await batch(0, 0)
        try:
            found = await fold_anew(self.stand(), job["resource"], batch, placing)
        except (NatsError, JetStreamError) as error:
            raise Conflict(f"NATS does not answer: {str(error)[:200] or type(error).__name__}", code="BUSY") from error
        values = {"done": found.facts, "total": found.facts, "findings": found.lines(), "folded": True, "update_time": now()}
        await jobs.database[JOBS].update_one(jobs.mine(job), {"$set": values})
        return True


class Rebuild:
    """One model, folded anew, once: under a term of the lease."""

    def __init__(self, stand: Stand, model: Model, found: Outcome, lease: Lease, tell: Tell, placing: Placing) -> None:
        self.stand, self.model, self.context, self.found, self.lease = stand, model, stand.context(), found, lease
        self.tell, self.placing = tell, placing
        self.database, self.aside = stand.database, aside_of(model.collection, lease.term)
        self.pause_seconds = PAUSE_SECONDS
        self.folds = [Fold(stand.name, reaction, self.context, turn=lease.term) for reaction in model.reactions]

    async def run(self) -> None:
        """All of it. Raises Conflict where the facts are not all there, or the live model does not come to rest."""
        begun = time.monotonic()
        await ensure_collection(self.database, self.aside)
        await self.database[self.aside].delete_many({})
        if indexes := self.stand.indexes().get(self.model.collection):
            await self.database[self.aside].create_indexes(indexes)
        try:
            total = sum([await fold.begin() for fold in self.folds])
            await self._catch_up(total)
            self.found.unreadable = sum(fold.unreadable for fold in self.folds)
            self.found.facts, self.found.seconds = sum(fold.count for fold in self.folds), time.monotonic() - begun
            await self._swap(total)
        finally:
            with contextlib.suppress(NatsError, JetStreamError, PyMongoError, OSError):  # what is left is emptied by the next one
                for fold in self.folds:
                    await fold.close()
                await self.database[self.aside].delete_many({})  # a department may not drop what it has
        if self.model.after:
            await self._after()

    async def _catch_up(self, total: int) -> None:
        """Fold what the live model has heard so far."""
        for fold in self.folds:
            until = int((await self.context.consumer_info(fold.stream, fold.durable)).ack_floor.stream_seq)
            while events := await fold.next(until):
                await self._fold(fold, events)
                await self.tell(sum(one.count for one in self.folds), total)

    async def _fold(self, fold: Fold, events: list[Any]) -> None:
        call = self._call(Aside(self.database, {self.model.collection: self.aside}), frozenset((self.model.collection,)))
        await call.aliases.fresh()
        await fold.reaction.handle(call, events)
        await call.changes.commit()

    def _call(self, database: Any, only: frozenset[str] | None) -> Call:
        call = self.stand.call("rebuild")
        call.database = database
        call.changes = Changes(database, call.caller.person_id, call.request_id, "rebuild", only=only, aliases=call.aliases)
        return call

    async def _swap(self, total: int) -> None:
        """Pause the live model, fold the rest of what it has heard, compare, and replace the old one where they differ."""
        begun = time.monotonic()
        keeping = asyncio.create_task(self._keep_paused())
        try:
            places = [await self._at_rest(fold) for fold in self.folds]
            for fold, place in zip(self.folds, places, strict=True):
                while events := await fold.next(place):
                    await self._fold(fold, events)
                await fold.must_be_whole(self.database)
            await self._compare()
            if not self.found.equal:
                self.pause_seconds = OUT_PAUSE_SECONDS
                await self._pause()
                await self._must_rest(places)
                await self.placing()
                await self._keep()
                await self._put_in_place()
                await self._must_rest(places)
        finally:
            await settle([keeping])
            await self._resume()
            self.found.paused = time.monotonic() - begun

    async def _resume(self) -> None:
        """Let the consumers go on, unless another rebuild has the lease by now and has paused them for itself. Where the broker does not
        answer they go on by themselves, when their pause is over."""
        end = time.monotonic() + RESUME_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(NatsError, JetStreamError, OSError, TimeoutError):
                if await self._taken():
                    return
                for fold in self.folds:
                    await self.context.resume_consumer(fold.stream, fold.durable)
                return
            await asyncio.sleep(0.3)

    async def _taken(self) -> bool:
        try:
            return not await self.lease.hold()
        except PyMongoError:  # who cannot ask is not alone: nobody puts a model in place now
            return False

    async def _put_in_place(self) -> None:
        """The new model in the place of the old one. When this ends, nothing of it is under way any more: what the consumers wrote into the
        old model while MongoDB still copies the new one would be lost with it."""
        mark = f"rebuild {self.model.name} {new_id()}"
        if not await self.lease.hold():
            raise Conflict("the lease is another one's by now", code="BUSY")
        copying = asyncio.create_task(self._copy(mark))
        try:
            await asyncio.shield(copying)
        except asyncio.CancelledError:
            await asyncio.gather(copying, return_exceptions=True)
            raise

    async def _copy(self, mark: str) -> None:
        out = [{"$out": self.model.collection}]
        try:
            cursor = await self.database[self.aside].aggregate(out, maxTimeMS=OUT_SECONDS * 1000, comment=mark)
            await cursor.to_list()
        except PyMongoError:  # the connection is gone: the copying may not be
            end = time.monotonic() + OUT_SECONDS
            while time.monotonic() < end:
                with contextlib.suppress(PyMongoError):
                    mine: list[Document] = [{"$currentOp": {"allUsers": False}}, {"$match": {"command.comment": mark}}]
                    if not await (await self.database.client.admin.aggregate(mine)).to_list():
                        break
                await asyncio.sleep(0.1)
            raise

    async def _keep_paused(self) -> None:
        """Paused for seconds, again and again: without us the consumers go on by themselves."""
        while True:
            await self._pause()
            await asyncio.sleep(PAUSE_SECONDS / 6)

    async def _pause(self) -> None:
        until = (datetime.now(UTC) + timedelta(seconds=self.pause_seconds)).isoformat().replace("+00:00", "Z")
        for fold in self.folds:
            await self.context.pause_consumer(fold.stream, fold.durable, until)

    async def _at_rest(self, fold: Fold) -> int:
        """Wait until nothing of a paused consumer is in the works; the place in the stream up to which it has had its effect."""
        end = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < end:
            info = await self.context.consumer_info(fold.stream, fold.durable)
            if info.paused and not info.num_ack_pending:
                return int(info.delivered.stream_seq)
            await asyncio.sleep(0.05)
        words = f"{fold.durable} does not come to rest; look at `xietong events parked` and its department's log, then resume it"
        raise Conflict(words, retryable=False)

    async def _must_rest(self, places: list[int]) -> None:
        """Refuse where a consumer went on meanwhile, as after a restart of its department."""
        for fold, place in zip(self.folds, places, strict=True):
            if await self._at_rest(fold) != place:
                raise Conflict(f"{fold.durable} went on in between", code="BUSY")

    async def _compare(self) -> None:
        """Both models side by side, by id."""
        digest = hashlib.sha256()
        olds, news = self._rows(self.model.collection), self._rows(self.aside)
        old, new = await anext(olds, None), await anext(news, None)
        while old or new:
            if new is None or (old and old["_id"] < new["_id"]):
                self._differs(self.found.extra, old)
                old = await anext(olds, None)
                continue
            digest.update(bson.encode(new))
            self.found.documents += 1
            if old is None or new["_id"] < old["_id"]:
                self._differs(self.found.missing, new)
            else:
                if old != new:
                    self._differs(self.found.other, old, new)
                old = await anext(olds, None)
            new = await anext(news, None)
        self.found.digest = digest.hexdigest()

    def _differs(self, ids: list[str], *rows: Document | None) -> None:
        ids.append(next(row["_id"] for row in rows if row))
        if self.model.after:
            self.found.differing += [row for row in rows if row]

    async def _rows(self, collection: str) -> AsyncIterator[Document]:
        """Documents by id, their fields by name; a field without a value is as none."""
        async for row in self.database[collection].find().sort("_id", 1).batch_size(1000):
            yield {name: row[name] for name in sorted(row) if row[name] is not None}

    async def _keep(self) -> None:
        """Remember what differs, before the new model is in place and it does not any more."""
        rows = self.found.differing
        batches = [{"_id": f"{self.model.name}:{new_id()}", "rows": rows[start : start + AFTER]} for start in range(0, len(rows), AFTER)]
        if batches:
            await self.database[REST].insert_many(batches)

    async def _after(self) -> None:
        """Mend what was made of the model, also what one left who was killed; each batch is forgotten with its commit. Whoever is faster than we
        is right, and we look again."""
        assert self.model.after is not None
        mine = {"_id": {"$gt": f"{self.model.name}:", "$lt": f"{self.model.name};"}}
        async for kept in self.database[REST].find(mine).sort("_id", 1):
            for _ in range(5):
                call = self._call(self.database, None)
                await self.model.after(call, kept["rows"])
                call.changes.write(REST, DeleteOne({"_id": kept["_id"]}))
                try:
                    await call.changes.commit()
                    break
                except Conflict:
                    await asyncio.sleep(0.1)
            else:
                raise Conflict("the model is in place, but what stands on it is busy", code="BUSY")
