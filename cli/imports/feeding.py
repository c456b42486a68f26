"""Records on their way into jobs: one job for each resource, of which the department does the rows. The same files go on where they stood."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crm.common.v1 import job_pb2, outcome_pb2
from crm.common.v1 import job_service_pb2 as contract
from crm.common.v1.outcome_pb2 import UpsertOutcome as Outcome

from chassis.kernel.errors import Conflict, CrmError, NotAllowed
from chassis.kernel.ids import new_id
from cli.batches import TRIES, Batches, batched, targets
from cli.jobs import SERVICE
from cli.plan import Plan
from cli.words import say

WAIT_MILLISECONDS = 10_000
LOOK_SECONDS = 0.05
PAGE = 500
_REFUSED = outcome_pb2.UPSERT_RESULT_REFUSED


def fingerprint(recipe: str, paths: Sequence[Path], *options: str) -> str:
    """What tells an import from others: the recipe, the files' content, and how they are read."""
    found = hashlib.sha256(recipe.encode())
    for path in paths:
        with path.open("rb") as source:
            found.update(hashlib.file_digest(source, "sha256").digest())
    found.update("\0".join(options).encode())
    return found.hexdigest()


class Feed(Batches):
    """A sender into jobs. Rows that were sent under this fingerprint before, and the job of which is not at its end, are not done again: their outcomes are answered.

    `jobs` are those that were opened, by resource.
    """

    rows = 500

    def __init__(self, plan: Plan, label: str, mark: str) -> None:
        super().__init__(plan)
        self.label, self.mark = label[:200], mark
        self.jobs: dict[str, Any] = {}
        self._next: dict[str, int] = {}
        self._refused: dict[int, tuple[Any, int]] = {}  # what was refused and may be sent again: the record, and its number
        self._told = ""

    async def upsert(self, resource: str, records: Sequence[Any], *, dry_run: bool = False) -> list[Outcome]:
        """An outcome for each record, in order. What was refused before is tried again as the row that it is."""
        if dry_run:
            return await super().upsert(resource, records, dry_run=True)
        numbers = {index: self._refused[id(record)][1] for index, record in enumerate(records) if id(record) in self._refused}
        found: dict[int, Outcome] = {}
        if numbers:
            rows = await self._again(resource, sorted(numbers.values()))
            found = {index: _outcome(records[index], rows[number]) for index, number in numbers.items()}
        fresh = [(index, record) for index, record in enumerate(records) if index not in numbers]
        start = 0
        for batch in batched([record for _, record in fresh], self.rows):
            first = self._next.get(resource, 0)
            rows_sent = await self._append(resource, first, [record.SerializeToString() for record in batch])
            self._next[resource] = first + len(batch)
            for (index, record), row in zip(fresh[start : start + len(batch)], rows_sent, strict=True):
                found[index] = _outcome(record, row)
                if row.result == _REFUSED:
                    self._refused[id(record)] = (record, row.number)
            start += len(batch)
        return [found[index] for index in range(len(records))]

    async def finish(self) -> CrmError | None:
        """Say that no further rows will come, and wait until every job is through; what kept one from it."""
        try:
            for resource, job in self.jobs.items():
                await self._job_call(resource, contract.CloseJobRequest(request_id=new_id(), job_id=job.id))
            for resource in self.jobs:
                while (await self._look(resource)).state != job_pb2.JOB_STATE_DONE:
                    await asyncio.sleep(LOOK_SECONDS)
        except CrmError as error:
            return error
        return None

    # ---- inside

    async def _job(self, resource: str) -> Any:
        if resource not in self.jobs:
            request = contract.StartImportRequest(request_id=new_id(), resource=resource, label=self.label, fingerprint=self.mark)
            job = (await self._job_call(resource, request)).job
            self.jobs[resource] = job
            if job.appended:
                say(f"  {resource}: goes on with job {job.id}, where {job.cursor:,} of {job.appended:,} rows sent have their outcome")
            if job.state in (job_pb2.JOB_STATE_PAUSED, job_pb2.JOB_STATE_FAILED):
                await self._job_call(resource, contract.ResumeJobRequest(request_id=new_id(), job_id=job.id))
        return self.jobs[resource]

    async def _append(self, resource: str, first: int, rows: list[bytes]) -> list[Any]:
        """Rows with their outcomes, however long that takes. Raises what ended the job."""
        job = await self._job(resource)
        request = contract.AppendJobRowsRequest(
            job_id=job.id, first_number=first, rows=rows, wait_milliseconds=WAIT_MILLISECONDS, resource=resource
        )
        while True:
            answer = await self._job_call(resource, request)
            if answer.rows:
                return list(answer.rows)
            self._judge(answer.job)
            await asyncio.sleep(LOOK_SECONDS)

    async def _again(self, resource: str, numbers: list[int]) -> dict[int, Any]:
        """Refused rows by number, after another try."""
        job = await self._job(resource)
        await self._job_call(resource, contract.RetryJobRowsRequest(request_id=new_id(), job_id=job.id, numbers=numbers))
        while (await self._look(resource)).retrying:
            await asyncio.sleep(LOOK_SECONDS)
        found: dict[int, Any] = {}
        for number in numbers:
            if number not in found:
                page = contract.ListJobRowsRequest(job_id=job.id, from_number=number, page_size=PAGE)
                found |= {row.number: row for row in (await self._job_call(resource, page)).rows}
        return found

    async def _look(self, resource: str) -> Any:
        job = (await self._job_call(resource, contract.GetJobRequest(job_id=self.jobs[resource].id))).job
        self._judge(job)
        return job

    def _judge(self, job: Any) -> None:
        """Raise what ended a job; say once that one is paused."""
        if job.state == job_pb2.JOB_STATE_FAILED:
            kind = NotAllowed if job.error_code == "NOT_ALLOWED" else Conflict
            raise kind(f"job {job.id} has failed: {job.error_message}", code=job.error_code, retryable=False)
        if job.state == job_pb2.JOB_STATE_CANCELLED:
            raise Conflict(f"job {job.id} was cancelled; what was done stays done", code="JOB_STATE_NOT_ALLOWED", retryable=False)
        if job.state == job_pb2.JOB_STATE_PAUSED and self._told != job.id:
            say(f"  job {job.id} is paused; it goes on with: xietong jobs resume {job.id}")
            self._told = job.id

    async def _job_call(self, resource: str, request: Any) -> Any:
        """The answer; a department that is away for a moment is asked again, under the same request id and numbers."""
        method = request.DESCRIPTOR.name.removesuffix("Request")
        for attempt in range(TRIES):
            try:
                return await self.call(targets()[resource].department, SERVICE, method, request)
            except CrmError as error:
                if not error.retryable or attempt + 1 == TRIES:
                    raise
                await asyncio.sleep(0.5 * 2**attempt)
        raise AssertionError("unreachable")


def _outcome(record: Any, row: Any) -> Outcome:
    """A job's row as the department would have answered it."""
    return Outcome(
        source_key=record.source_key, id=row.record_id, result=row.result, changed_fields=row.changed_fields, error_code=row.error_code,
        error_message=row.error_message, error_field=row.error_field,
    )  # fmt: skip
