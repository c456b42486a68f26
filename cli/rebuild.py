"""`xietong rebuild MODEL`: has a department fold a read model anew from the facts, and watches. Ctrl-C ends the watching, not the job."""

from __future__ import annotations

from typing import Any

from crm.common.v1 import job_pb2
from crm.common.v1 import job_service_pb2 as contract

from chassis.kernel.errors import CrmError, NotFound
from chassis.kernel.ids import new_id
from cli.batches import Batches
from cli.engines import EngineError
from cli.jobs import SERVICE, until_ended
from cli.plan import DEPARTMENTS, Plan
from cli.words import say


async def rebuild(plan: Plan, name: str) -> Any:
    """The job, done. Raises EngineError for a model that there is not, for a department that is away, or a job that did not end well."""
    batches = Batches(plan)
    try:
        job = await until_ended(batches, (await _started(batches, name)).id)
    finally:
        await batches.close()
    for found in job.findings:
        say(f"  {found}")
    if job.state != job_pb2.JOB_STATE_DONE:
        raise EngineError(f"the model was left as it is: {job.error_message or 'the job was cancelled'}")
    return job


async def _started(batches: Batches, name: str) -> Any:
    known, away = [], []
    for department in DEPARTMENTS:
        request = contract.StartRebuildRequest(request_id=new_id(), model=name)
        try:
            return (await batches.call(department, SERVICE, "StartRebuild", request)).job
        except NotFound as refusal:
            known.append(refusal.message)
        except CrmError as refusal:
            if not refusal.retryable:
                raise
            away.append(refusal.message)
    if away:  # one of these may have it
        raise EngineError(f"«{name}» was not begun: {'; '.join(away)}")
    raise EngineError(f"there is no model «{name}»: {'; '.join(known)}")
