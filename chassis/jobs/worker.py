"""Who works on the jobs of a department: one replica at a time, by lease; in it up to four jobs at once, each a batch a commit.

Whoever holds the lease writes its own name on the jobs that run. Every commit of a job asks for that name, for the state and for the place
where the batch begins, and writes where it ends: so whoever was killed, paused, or has lost the lease without knowing repeats and writes
nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from chassis.access.caller import Caller
from chassis.access.directory import Directory
from chassis.jobs import model, store
from chassis.jobs.store import JOBS
from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.ids import new_id
from chassis.kernel.tasks import settle
from chassis.observe import purpose
from chassis.rpc.call import Call
from chassis.rpc.collaboration import Collaborations
from chassis.storage.changes import Changes
from chassis.storage.client import Database
from chassis.storage.encryption import Vault
from chassis.storage.records import Document

log = logging.getLogger("crm.jobs")
LOOK_SECONDS, TIDY_SECONDS = 0.5, 60.0
# Where no job runs: one that was begun in another replica is found by looking.
QUIET_SECONDS = 2.5
IDLE_SECONDS = 5.0
LONGEST_WAIT = 2.0
# While others ask, a batch takes about a moment and has at most so many rows, and the job rests twice as long as it took, at most so long.
BATCH, SMALL, MOMENT_SECONDS, LONGEST_REST = 500, 50, 0.02, 0.5
TIDIED = 100


class Stopped(CrmError):
    """The job is not ours to go on with: it was paused or cancelled, or another replica has it. It says nothing about the batch at hand, which
    may be done later under the same mark: so it is no final refusal of it."""

    code = "STOPPED"

    def __init__(self, message: str = "the job is not ours to go on with") -> None:
        super().__init__(message, retryable=True)


class Bell:
    """Wakes whoever waits. `rung` counts how often: who looks, and then waits for it to ring `since` the look, misses nothing."""

    def __init__(self) -> None:
        self._event, self.rung = asyncio.Event(), 0

    def ring(self) -> None:
        """Wake them."""
        self._event.set()
        self._event, self.rung = asyncio.Event(), self.rung + 1

    async def wait(self, seconds: float, since: int) -> None:
        """Until it has rung, at most so long."""
        if self.rung != since:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


class Pace:
    """How fast a job may go: it yields to what people ask of the department meanwhile. `others` counts their calls."""

    def __init__(self, others: Callable[[], int]) -> None:
        self._others, self._seen, self._began = others, others(), time.monotonic()
        self._asked, self._each = False, 0.0

    def rows(self) -> int:
        """How many rows the next batch may have: while others ask, as many as take a moment."""
        seen = self._others()
        self._asked, self._seen, self._began = seen > self._seen, seen, time.monotonic()
        if not self._asked:
            return BATCH
        return max(1, min(SMALL, int(MOMENT_SECONDS / self._each))) if self._each else SMALL

    def did(self, rows: int) -> None:
        """So many rows were done since."""
        each = (time.monotonic() - self._began) / rows
        self._each = 0.5 * self._each + 0.5 * each if self._each else each

    async def rest(self) -> None:
        """After a batch: let others have their turn."""
        took = time.monotonic() - self._began
        self._asked |= self._others() > self._seen
        await asyncio.sleep(min(2 * took, LONGEST_REST) if self._asked else 0)


class Kind(Protocol):
    """How jobs of one kind are done."""

    async def step(self, jobs: Jobs, job: Document, pace: Pace) -> bool:
        """Do the next batch in one commit; whether there was any. Raises Stopped, a refusal that fails the job, or a retryable one."""

    async def over(self, job: Document) -> list[str] | None:
        """What came out, when there is nothing left to do; None where more may come."""

    def left(self, job_id: str) -> None:
        """Nobody here is at the job any more: what was remembered of it may go."""


class Jobs:
    """The worker. `kinds` by name; `others` counts what is asked of the department beside jobs; `work` and `progress` ring for those who
    wait in this process."""

    def __init__(
        self, database: Database, vault: Vault, directory: Callable[[], Directory], changes: Callable[[str, str, str], Changes],
        collaborations: Collaborations, kinds: Mapping[str, Kind], others: Callable[[], int], zone: str, seal: str, department: str,
    ) -> None:  # fmt: skip
        self.database, self.vault, self.directory, self._changes = database, vault, directory, changes
        self.collaborations, self.kinds, self.others, self.zone, self.seal = collaborations, kinds, others, zone, seal
        self.itself = f"service-{department}"
        self.work, self.progress, self.holder = Bell(), Bell(), ""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting = False  # whether a job waits for a place

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        self.holder, tidied = new_id(), 0.0
        try:
            while True:
                since = self.work.rung
                try:
                    await self._look()
                    if time.monotonic() - tidied > TIDY_SECONDS:
                        tidied = time.monotonic()
                        await self._tidy(now())
                except (PyMongoError, Conflict) as error:
                    log.warning("jobs wait", extra={"reason": str(error)[:200]})
                await self.work.wait(LOOK_SECONDS if self._tasks else QUIET_SECONDS, since)
        finally:
            await settle(self._tasks.values())
            self._tasks.clear()

    async def call_for(self, job: Mapping[str, Any], method: str) -> Call:
        """A call of who started a job, with their rights of this moment. Raises NotAllowed where they have left."""
        caller = model.starter(job, self.directory())
        call = Call(caller, self.directory(), self.database, self.changes_for(job, method), method, str(job["_id"]), zone=self.zone)
        call.seal = self.seal
        if not caller.is_service:
            call.customers, call.owned = await self.collaborations.known(call.directory, caller)
        return call

    def changes_for(self, job: Mapping[str, Any], method: str) -> Changes:
        """A unit of work in the name of who started a job; its purpose stands in the audit."""
        changes = self._changes(str(job["owner_id"]), str(job["_id"]), method)
        changes.reason = str(job.get("purpose") or "")
        return changes

    def mine(self, job: Mapping[str, Any]) -> Document:
        """The filter that a job still is as it was read, runs, and is ours."""
        return {"_id": job["_id"], "state": model.RUNNING, "holder": self.holder, "cursor": job["cursor"]}

    async def still(self, job: Mapping[str, Any], **more: Any) -> None:
        """Raise Stopped where a job is not ours to go on with, or is not as `more` says."""
        if await self.database[JOBS].find_one(self.mine(job) | more, {"_id": 1}) is None:
            raise Stopped

    def is_at(self, job_id: str) -> bool:
        """Whether a job is worked on here."""
        return job_id in self._tasks

    # ---- whose turn it is

    async def _look(self) -> None:
        for name in [name for name, task in self._tasks.items() if task.done()]:
            del self._tasks[name]
        query = {"state": {"$in": list(model.OPEN)}}
        rows = await self.database[JOBS].find(query, {"state": 1, "owner_id": 1, "due": 1, "holder": 1}).to_list()
        running = [row for row in rows if row["state"] == model.RUNNING]
        for row in running:
            if row["_id"] not in self._tasks:  # of a replica that is gone
                await self.database[JOBS].update_one({"_id": row["_id"], "state": model.RUNNING}, {"$set": {"holder": self.holder}})
                self._begin(row["_id"])
        # One that was paused and resumed at once may still have a batch at hand here: its turn comes when that has ended.
        queued = [row for row in rows if row["state"] == model.QUEUED and row.get("due") and row["_id"] not in self._tasks]
        chosen = model.next_ones(queued, running)
        self._waiting = len(chosen) < len(queued)
        for job_id in chosen:
            if await self._claim(job_id):
                self._begin(job_id)

    async def _claim(self, job_id: str) -> bool:
        values = {
            "state": model.RUNNING,
            "holder": self.holder,
            "update_time": "$$NOW",
            "start_time": {"$ifNull": ["$start_time", "$$NOW"]},
        }
        change = [{"$set": {**values, "version": {"$add": ["$version", 1]}}}]
        found = await self.database[JOBS].update_one({"_id": job_id, "state": model.QUEUED}, change)
        return bool(found.modified_count)

    def _begin(self, job_id: str) -> None:
        self._tasks[job_id] = asyncio.create_task(self._do(job_id))
        self._tasks[job_id].add_done_callback(lambda _: self.work.ring())

    # ---- one job

    async def _do(self, job_id: str) -> None:
        """Batch after batch, until it is not ours any more."""
        try:
            await self._batches(job_id)
        finally:
            for kind in self.kinds.values():
                kind.left(job_id)

    async def _batches(self, job_id: str) -> None:
        pace, wait, idle = Pace(self.others), 0.1, time.monotonic()
        since = self.work.rung
        while job := await self._read(job_id):
            kind = self.kinds[job["kind"]]
            purpose.begin(str(job.get("purpose") or ""))
            try:
                if await kind.step(self, job, pace):
                    self.progress.ring()
                    await pace.rest()
                    wait, idle = 0.1, time.monotonic()
                elif (findings := await kind.over(job)) is not None:
                    await self._end(job, model.DONE, "JobDone", findings=findings)
                elif self._waiting or time.monotonic() - idle > IDLE_SECONDS:
                    await self._park(job)
                else:
                    await self.work.wait(LOOK_SECONDS, since)
            except Stopped:
                continue
            except Exception as error:  # one job's trouble must not become another's
                wait = await self._trouble(job, error, wait)
            since = self.work.rung
        self.progress.ring()

    async def _read(self, job_id: str) -> Document | None:
        while True:
            try:
                found: Document | None = await self.database[JOBS].find_one({"_id": job_id, "state": model.RUNNING, "holder": self.holder})
            except PyMongoError as error:
                log.warning("a job waits", extra={"job": job_id, "reason": str(error)[:200]})
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return found

    async def _trouble(self, job: Document, error: Exception, wait: float) -> float:
        """What may be better in a moment is waited for; what is not ends the job. How long to wait the next time."""
        if isinstance(error, CrmError) and not error.retryable:
            await self._end(job, model.FAILED, "JobFailed", error_code=error.code, error_message=error.message)
        elif isinstance(error, CrmError | PyMongoError | OSError | TimeoutError):
            log.warning("a job waits", extra={"job": job["_id"], "reason": str(error)[:200] or type(error).__name__})
            await asyncio.sleep(wait)
        else:
            log.error("a job failed", extra={"job": job["_id"]}, exc_info=error)
            words = "the department failed on it; the log has a line with the id of the job"
            await self._end(job, model.FAILED, "JobFailed", error_code="INTERNAL", error_message=words)
        return min(wait * 2, LONGEST_WAIT)

    async def _end(self, job: Document, state: str, action: str, why: str = "", **values: Any) -> None:
        """Done, failed or left; the audit says that it was the department, and why. Nothing where somebody was faster: then the job tells what
        to do now."""
        call = self._own(job)
        call.changes.reason = why
        try:
            store.turn(call, job, state, action, end_time=call.now, due=False, placing=None, **values)
            await call.changes.commit()
        except (CrmError, PyMongoError) as error:
            log.info("a job's end waits", extra={"job": job["_id"], "reason": str(error)[:200]})
            await asyncio.sleep(0.1)

    def _own(self, job: Mapping[str, Any]) -> Call:
        """A call of the department itself about a job."""
        changes = self._changes(self.itself, str(job["_id"]), "job")
        return Call(Caller(self.itself, frozenset((self.itself,))), self.directory(), self.database, changes, "job", str(job["_id"]))

    async def _park(self, job: Document) -> None:
        """Nothing to do: make room, until rows come."""
        same = {**self.mine(job), "appended": job["appended"], "closed": job["closed"], "retrying": job["retrying"]}
        change = {"$set": {"state": model.QUEUED, "due": False}, "$inc": {"version": 1}}
        await self.database[JOBS].update_one(same, change)

    # ---- what is over

    async def _tidy(self, moment: datetime) -> None:
        """Cancel what nobody goes on with; delete what ended long ago, with its key."""
        left = {"state": {"$in": list(model.UNENDED)}, "update_time": {"$lt": moment - model.LEFT}}
        for job in await self.database[JOBS].find(left, {"version": 1, "state": 1, "kind": 1}).limit(TIDIED).to_list():
            if job["state"] != model.RUNNING:
                await self._end(job, model.CANCELLED, "JobCancelled", "nobody went on with it for seven days")
        old = {"state": {"$in": [model.DONE, model.CANCELLED]}, "update_time": {"$lt": moment - model.KEPT}}
        for job in await self.database[JOBS].find(old, {"version": 1, "state": 1}).limit(TIDIED).to_list():
            call = self._own(job)
            call.changes.reason = "it ended 30 days ago"
            store.delete(call, job)
            await call.changes.commit()
            self.vault.forget(job["_id"])
