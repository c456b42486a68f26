"""The board of a pipeline, with all of its columns by one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import strawberry
from crm.sales.v1 import opportunity_service_pb2 as contract
from crm.sales.v1 import pipeline_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from chassis.rpc.documents import from_timestamp
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.aggregates import SECONDS, Value, value_of, value_type
from gateway.graph.arguments import signed
from gateway.graph.connections import Page, connection_type, whole
from gateway.graph.contract import Long, comment, finish, from_global, output_class
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, list_arguments, list_request
from gateway.graph.sizes import ROWS

_COLUMN, _ANSWER = contract.OpportunityBoardColumn.DESCRIPTOR, contract.BoardOpportunitiesResponse.DESCRIPTOR
_COLUMNS = 7  # about so many stages has a pipeline


@dataclass(frozen=True, slots=True)
class Column:
    """One stage with what stands in it."""

    stage: Any
    count: int
    amount: Value | None
    weighted: Value | None
    opportunities: Page


@dataclass(frozen=True, slots=True)
class Board:
    """A pipeline with its columns, and all of them together."""

    pipeline: Any
    columns: Sequence[Column]
    count: int
    amount: Value | None
    weighted: Value | None
    as_of: datetime


def queries() -> dict[str, Any]:
    """The top-level fields."""
    return {"opportunityBoard": _board()}


def _board() -> Any:
    noun = NOUNS["Opportunity"]
    method = noun.method("BoardOpportunities")
    arguments = {
        "pipeline_id": (strawberry.ID | None, None), "stage_key": (str | None, None), **list_arguments(method, noun.descriptor),
    }  # fmt: skip

    async def resolve(info: Info, **given: Any) -> Any:
        context: Context = info.context
        try:
            request = list_request(method, noun.descriptor, given, info, ("columns", "opportunities"))
            if given.get("pipeline_id") is not None:
                request.pipeline_id = from_global(str(given["pipeline_id"]), "Pipeline", "pipeline_id")[1]
            if given.get("stage_key") is not None:
                request.stage_key = given["stage_key"]
            seconds = max(SECONDS, context.clients.read_seconds)
            answer = await context.clients.read(
                noun.department, noun.service, method.name, request, context.token, context.request_id, seconds=seconds
            )
        except CrmError as error:
            raise field_error(error, noun.department) from None
        return _shown(answer, continued=bool(request.page_token))

    return strawberry.field(
        resolver=signed(resolve, arguments, _board_type() | None), description=comment(method.full_name), metadata=by(method)
    )


def _board_type() -> Any:
    noun, value = NOUNS["Opportunity"], value_type()
    stage = finish(output_class(pipeline_pb2.PipelineStage.DESCRIPTOR))
    sums = {"count": Long, "amount": value | None, "weighted": value | None}
    column = _made("OpportunityBoardColumn", _COLUMN, {"stage": stage, **sums, "opportunities": connection_type(noun.type)})
    shapes = {"pipeline": NOUNS["Pipeline"].type, "columns": list[column], **sums, "as_of": datetime}  # type: ignore[valid-type]
    return _made("OpportunityBoard", _ANSWER, shapes)


def _made(name: str, message: Any, shapes: dict[str, Any]) -> Any:
    """A type in the words of a message of the contract."""
    namespace: dict[str, Any] = {"__annotations__": shapes, "__doc__": comment(message.full_name)}
    for field in shapes:
        more = {ROWS: _COLUMNS} if field == "columns" else {}
        namespace[field] = strawberry.field(description=comment(f"{message.full_name}.{field}"), metadata=more)
    return finish(type(name, (), namespace))


def _shown(answer: contract.BoardOpportunitiesResponse, *, continued: bool) -> Board:
    columns = [
        Column(
            one.stage, one.count, _value(one, "amount"), _value(one, "weighted"),
            Page(one.opportunities, one.next_page_token, one.row_tokens, continued, total=whole(one.count)),
        )
        for one in answer.columns
    ]  # fmt: skip
    as_of = from_timestamp(answer.as_of)
    return Board(answer.pipeline, columns, answer.count, _value(answer, "amount"), _value(answer, "weighted"), as_of)


def _value(holder: Any, name: str) -> Value | None:
    return value_of(getattr(holder, name)) if holder.HasField(name) else None
