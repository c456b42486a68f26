"""`xietong jobs`: long work of every department: what runs, how far it is, and to stop it or go on with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from crm.common.v1 import job_pb2, outcome_pb2
from crm.common.v1 import job_service_pb2 as contract

from chassis.kernel.errors import CrmError, Invalid
from chassis.kernel.ids import new_id
from chassis.rpc.documents import enum_names
from chassis.rpc.service import request_class
from cli.batches import Batches
from cli.plan import DEPARTMENTS, Plan
from cli.words import say

SERVICE = contract.DESCRIPTOR.services_by_name["JobService"]
STATES = enum_names(job_pb2.JobState.DESCRIPTOR)
ENDED = frozenset((job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED))
VERBS = ("pause", "resume", "cancel", "retry")
LOOK_SECONDS, PAGE = 1.0, 500


def department_of(job_id: str) -> str:
    """The department that does a job. Raises Invalid."""
    department = job_id.partition("-")[0]
    if department not in DEPARTMENTS:
        raise Invalid(f"«{job_id[:60]}» is no id of a job; `xietong jobs list` shows them")
    return department


async def ask(batches: Batches, job_id: str, method: str, **fields: Any) -> Any:
    """A call about a job."""
    described = SERVICE.methods_by_name[method]
    if "request_id" in described.input_type.fields_by_name:
        fields["request_id"] = new_id()
    return await batches.call(department_of(job_id), SERVICE, method, request_class(described)(job_id=job_id, **fields))


def line(job: Any) -> str:
    """A job in a line."""
    whole = f" of {job.total:,}" if job.HasField("total") else ""
    counts = f"{job.done + job.refused:,}{whole}" + (f", {job.refused:,} refused" if job.refused else "")
    rate = f", {job.rate:,.0f}/s" if job.state == job_pb2.JOB_STATE_RUNNING and job.rate else ""
    kind = job_pb2.JobKind.Name(job.kind).removeprefix("JOB_KIND_").lower()
    why = f": {job.error_message}" if job.error_message else ""
    made = datetime.fromtimestamp(job.create_time.seconds, UTC)
    named = f" «{job.label}»" if job.label else ""
    return (
        f"{job.id}  {STATES[job.state]:9} {kind} {job.resource}{named}, {made:%Y-%m-%d %H:%M} UTC by {job.starter_id}: {counts}{rate}{why}"
    )


async def show_all(plan: Plan, departments: Sequence[str] = DEPARTMENTS) -> None:
    """The newest jobs of each department; exits 1 when one of them is away, after the others' were shown."""
    batches, count, away = Batches(plan), 0, []
    try:
        for name in departments:
            try:
                jobs = (await batches.call(name, SERVICE, "ListJobs", contract.ListJobsRequest(page_size=20))).jobs
            except CrmError as error:
                if not error.retryable:
                    raise
                away.append(error.message)
                continue
            for job in jobs:
                say(f"  {line(job)}")
                count += 1
    finally:
        await batches.close()
    if not count and not away:
        say("  there is no job")
    for words in away:
        say(f"  {words}")
    if away:
        sys.exit(1)


async def turn(plan: Plan, verb: str, ids: Sequence[str]) -> None:
    """Pause, resume or cancel jobs, or try their refused rows again; exits 1 when one was refused."""
    batches, bad = Batches(plan), 0
    try:
        for job_id in ids:
            try:
                method = "RetryJobRows" if verb == "retry" else f"{verb.capitalize()}Job"
                say(f"  {line((await ask(batches, job_id, method)).job)}")
            except CrmError as error:
                say(f"  {job_id}: {error.message}")
                bad += 1
    finally:
        await batches.close()
    if bad:
        sys.exit(1)


async def rows(plan: Plan, job_id: str) -> None:
    """The refused rows of a job, a line each."""
    batches, start = Batches(plan), 0
    try:
        while True:
            answer = await ask(batches, job_id, "ListJobRows", result=outcome_pb2.UPSERT_RESULT_REFUSED, from_number=start, page_size=PAGE)
            for row in answer.rows:
                field = f" {row.error_field}" if row.error_field else ""
                say(f"  {row.number:,}:{field} {row.error_code}{': ' + row.error_message if row.error_message else ''}")
            if not answer.HasField("next_number"):
                return
            start = answer.next_number
    finally:
        await batches.close()


async def watch(plan: Plan, job_id: str) -> Any:
    """Tell how far a job is until it ends; exits 1 when it did not end well. Ctrl-C ends the watching, not the job."""
    batches = Batches(plan)
    try:
        job = await until_ended(batches, job_id)
    finally:
        await batches.close()
    for found in job.findings:
        say(f"  {found}")
    if job.state != job_pb2.JOB_STATE_DONE:
        sys.exit(1)
    return job


async def until_ended(batches: Batches, job_id: str) -> Any:
    """The job when it has ended, told of in between."""
    told = ""
    while True:
        try:
            job = (await ask(batches, job_id, "GetJob")).job
        except CrmError as error:  # a department that is away comes back, and goes on with it
            if not error.retryable:
                raise
            if told != error.message:
                say(f"  {error.message}: asked again until it answers; the job goes on without us")
                told = error.message
            await asyncio.sleep(LOOK_SECONDS)
            continue
        if (words := line(job)) != told:
            say(f"  {words}")
            told = words
        if job.state in ENDED:
            return job
        await asyncio.sleep(LOOK_SECONDS)
