"""The board of a pipeline: its stages in order, with how many opportunities stand in each, what they bring, and the first of them."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import opportunity_service_pb2 as contract
from crm.sales.v1 import pipeline_pb2

from chassis.kernel.criteria import Criteria, named
from chassis.kernel.errors import NotFound
from chassis.kernel.groups import MONEY, SUM, WEIGHTED, Group, Measure, Reckoning
from chassis.rpc.aggregates import value_message
from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.handlers import listing
from chassis.rpc.noun import handler
from chassis.rpc.service import Handler
from chassis.storage.aggregates import Grouping, Question
from services.sales.opportunities.store import Opportunities
from services.sales.pipelines import model as pipeline_model
from services.sales.pipelines.store import Pipelines

Document = dict[str, Any]
# What is summed up, with the fields of the answer; each for whom it reads what it is made of.
_SUMS = {"amount": Measure(SUM, "amount", MONEY), "weighted": Measure(WEIGHTED, "amount", MONEY, "probability")}


def board(opportunities: Opportunities, pipelines: Pipelines) -> Handler:
    """The handler of BoardOpportunities."""

    @handler
    async def handle(call: Call, request: Any) -> Any:
        pipeline = await _pipeline(pipelines, call, request.pipeline_id)
        stages = [pipeline_model.stage(pipeline, request.stage_key)] if request.stage_key else pipeline["stages"]
        asked = to_document(request.filter) if request.HasField("filter") else None
        sums = {name: one for name, one in _SUMS.items() if not opportunities.not_read(call, {one.field, one.weight})}
        keys = [stage["key"] for stage in stages]
        question = Question(_which(pipeline, asked, keys), [Grouping("stage_key", "text")], list(sums.values()), len(stages))
        found = await opportunities.aggregate(call, question)
        page = {name: value for name, value in listing(request).items() if name != "criteria"}
        pages = await opportunities.drilled(call, [_which(pipeline, asked, [key]) for key in keys], **page)
        reckoning, groups = Reckoning(question.measures, call.rates, call.today), {group.keys[0]: group for group in found.rows}
        answer = contract.BoardOpportunitiesResponse(
            pipeline=to_message(pipeline, pipeline_pb2.Pipeline.DESCRIPTOR), **_told(found.totals, reckoning, sums)
        )
        for stage, each in zip(stages, pages, strict=True):
            answer.columns.add(
                stage=to_message(stage, pipeline_pb2.PipelineStage.DESCRIPTOR), next_page_token=each.next_token, row_tokens=each.row_tokens,
                opportunities=[to_message(row, opportunities.descriptor) for row in each.rows],
                **_told(groups.get(stage["key"], Group(())), reckoning, sums),
            )  # fmt: skip
        answer.as_of.FromDatetime(call.now)
        return answer

    return handle


async def _pipeline(pipelines: Pipelines, call: Call, pipeline_id: str) -> Document:
    """The pipeline of a board. Raises NotFound where there is none that the caller may see."""
    if pipeline_id:
        return await pipelines.get(call, pipeline_id)
    default = await pipelines.default(call)
    if default is None:
        raise NotFound("there is no default pipeline; name one in pipeline_id", code="NO_DEFAULT_PIPELINE", field="pipeline_id")
    return await pipelines.get(call, default["_id"])


def _which(pipeline: Document, asked: Criteria | None, keys: list[str]) -> Criteria:
    """The criteria of what stands in stages of a pipeline: what is asked for, and of that what is open where no state is named."""
    conditions = [("pipeline_id", [pipeline["_id"]]), ("stage_key", keys), *([] if "state" in named(asked) else [("state", ["OPEN"])])]
    parts = [{"condition": {"field": name, "operator": "IN", "values": [{"text": one} for one in values]}} for name, values in conditions]
    return {"all": {"items": [*parts, *([asked] if asked else [])]}}


def _told(group: Group, reckoning: Reckoning, sums: dict[str, Measure]) -> Document:
    """How many opportunities a group has, and its sums, as the answer has them."""
    values = zip(sums.items(), reckoning.values(group), strict=True)
    return {"count": group.count} | {name: value_message(measure, value) for (name, measure), value in values}
