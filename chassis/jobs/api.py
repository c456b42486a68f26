"""JobService, which every department serves for the long work that it does itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from crm.common.v1 import job_pb2
from crm.common.v1 import job_service_pb2 as contract
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import UpdateOne

from chassis.jobs import model, rows, store
from chassis.jobs.imports import Imports
from chassis.jobs.offers import Offer
from chassis.jobs.store import JOBS, ROWS, JobStore
from chassis.jobs.subjects import customers_of
from chassis.jobs.worker import Jobs
from chassis.kernel.errors import Conflict, Invalid, NotAllowed, NotFound
from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.handlers import reads
from chassis.rpc.service import ATTEMPTS, Handler, Service, response_class
from chassis.storage.changes import Duplicate
from chassis.storage.records import Document

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["JobService"]
PAGE = 100
LOOK_SECONDS = 0.1
LARGEST_ROW = 200_000
RETRIED = 20  # batches that one commit lets be tried again


def service(department: str, jobs: JobStore, worker: Jobs, imports: Imports, models: frozenset[str] = frozenset()) -> Service:
    """The handlers. `models` are the read models that can be folded anew."""
    feed = Feed(department, jobs, worker, imports)

    async def start_rebuild(call: Call, request: Any) -> Any:
        if request.model not in models:
            known = ", ".join(sorted(models)) or "none"
            raise NotFound(f"{department} has no read model «{request.model}» to be folded anew; it has {known}", field="model")
        running = {"kind": "REBUILD", "resource": request.model, "state": {"$in": [*model.OPEN, model.PAUSED]}}
        found = await call.database[JOBS].find(running).hint("by_state").limit(1).to_list()
        if not found:
            model.has_room_for_a_job(call.caller.person_id, *await store.open_jobs(call))
            found = [
                store.start(
                    call, department, "REBUILD", request.model, label=request.model, due=True, closed=True, mark=f"REBUILD {request.model}"
                )
            ]
        return contract.StartRebuildResponse(job=told(found[0]))

    handlers: dict[str, Handler] = {
        **reads(jobs, DESCRIPTOR), "ListJobRows": feed.list_rows, "StartImport": feed.start, "AppendJobRows": feed.append,
        "CloseJob": feed.close, "RetryJobRows": feed.retry, "StartRebuild": start_rebuild,
    }  # fmt: skip
    for verb, action in (("pause", "JobPaused"), ("resume", "JobResumed"), ("cancel", "JobCancelled")):
        handlers[f"{verb.capitalize()}Job"] = _turning(jobs, verb, action)
    return Service(DESCRIPTOR, {name: _waking(worker, handler) for name, handler in handlers.items()}, jobs.duplicate_codes)


def told(job: Mapping[str, Any]) -> Any:
    """The message of a job."""
    return to_message(job, job_pb2.Job.DESCRIPTOR)


def _waking(worker: Jobs, handler: Handler) -> Handler:
    """Whoever works on jobs looks at what a command has changed when it is committed."""

    async def handle(call: Call, request: Any) -> Any:
        answer = await handler(call, request)
        told = call.changes.on_commit

        def committed(events: int) -> None:
            worker.work.ring()
            if told:
                told(events)

        call.changes.on_commit = committed
        return answer

    return handle


def _turning(jobs: JobStore, verb: str, action: str) -> Handler:
    make = response_class(DESCRIPTOR.methods_by_name[f"{verb.capitalize()}Job"])

    async def handle(call: Call, request: Any) -> Any:
        job = await jobs.get(call, request.job_id, "update")
        state = model.turned(job, verb)
        if state:
            job = store.turn(call, job, state, action, due=state == model.QUEUED)
        return make(job=told(job))

    return handle


async def in_steps(call: Call, step: Callable[[], Awaitable[Any]]) -> Any:
    """What a step of a command says, when all that it adds to `call.changes` is committed. A step that meets a twin, or whoever works on the
    job, is done anew: it reads what the other one wrote. Raises Conflict BUSY where that has no end."""
    for attempt in range(ATTEMPTS):
        call.changes = call.changes.anew()
        found = await step()
        try:
            await call.changes.commit()
        except (Duplicate, Conflict) as met:
            if isinstance(met, Conflict) and not met.retryable:
                raise
            await asyncio.sleep(random.uniform(0, min(0.01 * (attempt + 1), 0.1)))  # noqa: S311
            continue
        call.changes = call.changes.anew()
        return found
    raise Conflict("too many commands meet at this job; send the same again", code="BUSY")


def _patience(call: Call, request: Any) -> float:
    """How many seconds outcomes may be waited for."""
    return float(min(request.wait_milliseconds / 1000, call.milliseconds_left / 1000 - 0.5))


class Feed:
    """Rows of imports on their way in, and what became of them."""

    def __init__(self, department: str, jobs: JobStore, worker: Jobs, imports: Imports) -> None:
        self.department, self.jobs, self.worker, self.imports = department, jobs, worker, imports

    async def start(self, call: Call, request: Any) -> Any:
        """StartImport."""
        caller = call.caller
        self.imports.permit(caller, call.directory, request.resource)
        if not caller.is_service and caller.person_id not in call.directory.members:
            raise NotAllowed("jobs run with the rights of people; an API key has none when it is not there: send BatchUpsert instead")
        if request.fingerprint:
            same = {"owner_id": caller.person_id, "fingerprint": request.fingerprint, "resource": request.resource}
            query = {**same, "state": {"$in": list(model.UNENDED)}}
            found = await call.database[JOBS].find(query).hint("by_fingerprint").sort("_id", -1).limit(1).to_list()
            if found:
                return contract.StartImportResponse(job=told(found[0]))
        values = {name: getattr(request, name) for name in ("label", "purpose", "fingerprint") if getattr(request, name)}
        if request.fingerprint:
            values["mark"] = f"IMPORT {caller.person_id} {request.resource} {request.fingerprint}"
        if request.HasField("total"):
            values["total"] = request.total
        model.has_room_for_a_job(caller.person_id, *await store.open_jobs(call))
        job = store.start(call, self.department, "IMPORT", request.resource, **values)
        return contract.StartImportResponse(job=told(job))

    async def _own(self, call: Call, job_id: str) -> Document:
        """A job of the caller's: its rows are judged by the rights of who started it, so nobody else sends any."""
        job = await self.jobs.get(call, job_id, "update")
        if job["owner_id"] != call.caller.person_id or job["kind"] != "IMPORT":
            raise NotAllowed("rows are sent by who started the import; start one of your own")
        return job

    async def append(self, call: Call, request: Any) -> Any:
        """AppendJobRows: the rows are committed here; then their outcomes may be waited for."""
        for index, row in enumerate(request.rows):
            if not 1 <= len(row) <= LARGEST_ROW:
                raise Invalid(f"the row has {len(row):,} bytes; send 1 to {LARGEST_ROW:,}", field=f"rows[{index}]")
        found = await self._offered(call, request)
        if found is None:
            await in_steps(call, partial(self._take, call, request))
            self.worker.work.ring()
            key = (await call.vault.keys([request.job_id])).get(request.job_id)
            found = await self._waited(call, request.job_id, request.first_number, _patience(call, request), key)
        return contract.AppendJobRowsResponse(job=told(await self.jobs.read(call, request.job_id)), rows=found)

    async def _offered(self, call: Call, request: Any) -> list[Any] | None:
        """Rows with their outcomes, where whoever works on their job is here and does them as they come; None where they have to be stored first."""
        job_id, offers = request.job_id, self.imports.offers
        if not (request.wait_milliseconds and self.worker.is_at(job_id) and offers.taken_from(job_id)):
            return None
        job = await self._fitting(call, request)
        first, sent = request.first_number, list(request.rows)
        if not model.takes_offers(job, first) or not model.takes_rows(job, first, len(sent)):
            return None
        customers = await self._customers(call, job, sent)
        offer = Offer(first, sent, customers, call.vault.blind(rows.digest(sent)))
        self.worker.work.ring()
        return await offers.made(job_id, offer, _patience(call, request))

    async def _fitting(self, call: Call, request: Any) -> Document:
        """The caller's job, to which these rows may go."""
        job = await self._own(call, request.job_id)
        if request.resource not in ("", job["resource"]):
            words = f"this job imports {job['resource']}, and the rows are of {request.resource}; send them to an import of their own"
            raise Invalid(words, field="resource")
        return job

    async def _customers(self, call: Call, job: Document, sent: list[bytes]) -> list[str]:
        """Of which customers rows tell that there is room for."""
        model.has_room_for_rows(call.caller.person_id, sum(map(len, sent)), *await store.held_bytes(call))
        return await customers_of(call.database, self.imports.target(job["resource"]).record.DESCRIPTOR, sent)

    async def _take(self, call: Call, request: Any) -> None:
        """Rows that are the next ones, with the commit, whatever the job does meanwhile. Raises Conflict where others came under their number."""
        job = await self._fitting(call, request)
        first, sent = request.first_number, list(request.rows)
        if model.takes_rows(job, first, len(sent)):
            await rows.keep(call, job["_id"], first, sent, await self._customers(call, job, sent))
            query = {"_id": job["_id"], "appended": first, "closed": False, "state": {"$in": list(model.UNENDED)}}
            values = {"due": True, "update_time": call.now, **store.appended(job, first + len(sent))}
            call.changes.must_match(JOBS, UpdateOne(query, {"$set": values, "$inc": {"held": sum(map(len, sent))}}))
            return
        batch = await call.database[ROWS].find_one({"_id": store.place(job["_id"], first)}, {"digest": 1})
        if batch is None or batch["digest"] != call.vault.blind(rows.digest(sent)):
            words = f"other rows were sent under {first} to {first + len(sent) - 1} before; is the file another one? start another import"
            raise Conflict(words, code="JOB_ROWS_DIFFER", field="first_number", retryable=False)

    async def _waited(self, call: Call, job_id: str, first: int, seconds: float, key: AESGCM | None) -> list[Any]:
        """The rows of a batch with their outcomes, once they have them; none when that takes too long, or the job does not run."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            since = self.worker.progress.rung
            found = await rows.outcomes(call.database, store.place(job_id, first), key)
            left = end - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            job = await call.database[JOBS].find_one({"_id": job_id}, {"state": 1})
            if job is None or job["state"] not in model.OPEN:
                return []
            await self.worker.progress.wait(min(left, LOOK_SECONDS), since)

    async def close(self, call: Call, request: Any) -> Any:
        """CloseJob."""
        job = await self._own(call, request.job_id)
        if not job["closed"] and job["state"] in model.UNENDED:
            values = {"closed": True, "total": job["appended"], "due": True}
            job = store.turn(call, job, job["state"], "JobClosed", **values)
        return contract.CloseJobResponse(job=told(job))

    async def retry(self, call: Call, request: Any) -> Any:
        """RetryJobRows, some batches a commit: however many rows there are, and who repeats it goes on where it stood."""
        numbers, behind, count = frozenset(request.numbers), "", 0
        while behind is not None:
            behind, more = await in_steps(call, partial(self._mark, call, request.job_id, numbers, behind))
            count += more
        self.worker.work.ring()
        return contract.RetryJobRowsResponse(job=told(await self.jobs.read(call, request.job_id)), count=count)

    async def _mark(self, call: Call, job_id: str, numbers: frozenset[int], behind: str) -> tuple[str | None, int]:
        """Let the refused rows of the next batches be tried again, with the commit; the last of these batches, None at the end, and how many
        rows wait for another try there."""
        job = await self.jobs.get(call, job_id, "update")
        state = model.turned(job, "retry")
        batches = await rows.refused_batches(call, job_id, numbers, behind, RETRIED)
        count = fresh = 0
        for batch in batches:
            known = batch.get("again", [])
            chosen = {
                index for index, kept in enumerate(batch["kept"]) if kept and (not numbers or batch["first"] + index in numbers)
            }  # fmt: skip
            count += len(chosen)
            if left := chosen - set(known):
                same = {"_id": batch["_id"], "again": batch.get("again", {"$exists": False})}
                call.changes.must_match(ROWS, UpdateOne(same, {"$set": {"again": sorted(left.union(known))}}))
                fresh += len(left)
        if fresh and state:
            state = job["state"] if job["state"] in (model.RUNNING, model.PAUSED) else state
            store.turn(call, job, state, "JobRowsRetried", due=True)
            call.changes.must_match(JOBS, UpdateOne({"_id": job_id}, {"$inc": {"retrying": fresh}}))
        return (batches[-1]["_id"] if len(batches) == RETRIED else None), count

    async def list_rows(self, call: Call, request: Any) -> Any:
        """ListJobRows. Who did not start the job is not told the words of refusals: they may quote what only the starter may see."""
        job = await self.jobs.read(call, request.job_id)
        key = (await call.vault.keys([job["_id"]])).get(job["_id"]) if job["owner_id"] == call.caller.person_id else None
        result = rows.name_of(request.result) if request.result else ""
        found, following = await rows.page(call, job["_id"], result, request.from_number, request.page_size or PAGE, key)
        return contract.ListJobRowsResponse(rows=found, next_number=following, resource=job["resource"])
