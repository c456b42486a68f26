"""What can be done with an opportunity beside the standard verbs: load, one rule of the model, commit."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import opportunity_events_pb2 as events

from chassis.kernel.errors import CrmError, Invalid, NotFound
from chassis.rpc.call import Call
from chassis.rpc.noun import references
from chassis.rpc.remote import first_of
from services.sales.opportunities import model
from services.sales.opportunities.store import Opportunities
from services.sales.pipelines import model as pipeline_model
from services.sales.pipelines.store import Pipelines

Document = dict[str, Any]


async def complete(pipelines: Pipelines, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: the pipeline and its stage are found."""
    default = await pipelines.default(call)
    named, wrong_pipeline = await references(call, batch, pipelines, "pipeline_id")
    wrong_stage: list[CrmError | None] = []
    for document in batch:
        try:
            _begin(document, named.get(document.get("pipeline_id", "")) or default, call)
            wrong_stage.append(None)
        except CrmError as refusal:
            wrong_stage.append(refusal)
    return first_of(wrong_pipeline, wrong_stage)


def _begin(document: Document, pipeline: Document | None, call: Call) -> None:
    if pipeline is None:
        raise Invalid("there is no default pipeline; name one in pipeline_id", code="NO_DEFAULT_PIPELINE", field="pipeline_id")
    document["pipeline_id"] = pipeline["_id"]
    stage = pipeline_model.stage(pipeline, document.get("stage_key") or pipeline["stages"][0]["key"])
    model.begun(document, stage, call.now, call.today, call.caller.person_id)
    model.check_today(document, call.today)


async def _load(opportunities: Opportunities, call: Call, opportunity_id: str, version: int | None) -> Document:
    before = await opportunities.get(call, opportunity_id, "update")
    opportunities.checked_version(before, version)
    opportunities.in_use(before)
    return before


async def _stage(pipelines: Pipelines, call: Call, opportunity: Document, key: str) -> Document:
    pipeline = (await pipelines.batch_get(call, [opportunity["pipeline_id"]])).get(opportunity["pipeline_id"])
    if pipeline is None:
        raise NotFound("the pipeline of this opportunity is gone; ask the sales lead", code="REFERENCE_NOT_FOUND", field="pipeline_id")
    return pipeline_model.stage(pipeline, key)


async def move_stage(
    opportunities: Opportunities, pipelines: Pipelines, call: Call, *, opportunity_id: str, stage_key: str,
    probability: float | None = None, version: int | None = None,
) -> Document:  # fmt: skip
    """Move to another stage."""
    before = await _load(opportunities, call, opportunity_id, version)
    model.must_be_open(before)
    stage = await _stage(pipelines, call, before, stage_key)
    changes = model.moved(before, stage, probability, call.now, call.caller.person_id)
    return opportunities.change(call, before, changes, events.OpportunityStageMoved)


async def win(
    opportunities: Opportunities, call: Call, *, opportunity_id: str, reason: str, amount: Document | None = None,
    close_date: str | None = None, version: int | None = None,
) -> Document:  # fmt: skip
    """Close as won."""
    before = await _load(opportunities, call, opportunity_id, version)
    changes = model.decided(before, "WON", reason, close_date, amount, call.now, call.today)
    return opportunities.change(call, before, changes, events.OpportunityWon)


async def lose(
    opportunities: Opportunities, call: Call, *, opportunity_id: str, reason: str, close_date: str | None = None, version: int | None = None
) -> Document:
    """Close as lost."""
    before = await _load(opportunities, call, opportunity_id, version)
    changes = model.decided(before, "LOST", reason, close_date, None, call.now, call.today)
    return opportunities.change(call, before, changes, events.OpportunityLost)


async def reopen(
    opportunities: Opportunities, pipelines: Pipelines, call: Call, *, opportunity_id: str, reason: str,
    stage_key: str | None = None, version: int | None = None,
) -> Document:  # fmt: skip
    """Open a closed one again."""
    before = await _load(opportunities, call, opportunity_id, version)
    stage = await _stage(pipelines, call, before, stage_key or before["stage_key"])
    call.changes.reason = reason
    changes = model.reopened(before, stage, call.now, call.caller.person_id)
    return opportunities.change(call, before, changes, events.OpportunityReopened)
