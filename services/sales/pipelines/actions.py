"""What can be done with a pipeline beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import pipeline_events_pb2 as events

from chassis.kernel.errors import AlreadyExists, CrmError, WrongState
from chassis.rpc.call import Call
from services.sales.pipelines import model
from services.sales.pipelines.store import Pipelines

Document = dict[str, Any]


async def archive(pipelines: Pipelines, call: Call, *, pipeline_id: str, version: int | None = None) -> Document:
    """Take out of use; refused while open opportunities stand in it. What is out of use is nobody's default."""
    before = await pipelines.get(call, pipeline_id, "archive")
    pipelines.checked_version(before, version)
    pipelines.in_use(before)
    if await pipelines.has_open(call, pipeline_id):
        raise WrongState("open opportunities stand in this pipeline; decide them or move them first", code="PIPELINE_IN_USE")
    return pipelines.change(call, before, {"archive_time": call.now, "is_default": None}, events.PipelineArchived)


async def keep_consistent(pipelines: Pipelines, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: a stage in which open opportunities stand must not go; there is one default at most."""
    refusals: list[CrmError | None] = []
    default = await pipelines.default(call)
    holder = default["_id"] if default else ""
    for document in batch:
        refusal: CrmError | None = None
        own = document.get("_id") or document.get("source_key") or "new"
        if document.get("is_default") and holder and holder != own:
            refusal = AlreadyExists("another pipeline is the default; take that mark off it first", field="is_default")
        elif document.get("is_default"):
            holder = own
        if document.get("_id"):
            before = await pipelines.get(call, document["_id"])
            keys = model.gone(before, document)
            used = await pipelines.stage_in_use(call, document["_id"], keys) if keys else None
            if used and not refusal:
                refusal = WrongState(f"open opportunities stand in «{used}»; move them first", code="PIPELINE_STAGE_IN_USE", field="stages")
        refusals.append(refusal)
    return refusals
