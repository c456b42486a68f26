"""Tags in the graph: `<noun>Tags` of every noun whose contract says `taggable`; the commands follow from their methods."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from crm.common.v1 import tag_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from chassis.rpc.service import request_class
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.connections import within
from gateway.graph.contract import comment, output_class
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, Noun

MOST, ABOUT = 100, 20
_CONTAINS: Any = Annotated[str, strawberry.argument(description="A part of the tags wanted, in small or capital letters; all when empty.")]
_FIRST: Any = Annotated[int, strawberry.argument(description=f"Tags wanted, 1 to {MOST}.")]


def queries() -> dict[str, Any]:
    """One field a noun."""
    return {f"{noun.field}Tags": _query(noun) for noun in NOUNS.values() if noun.contract.traits.taggable}


def _query(noun: Noun) -> Any:
    method = noun.contract.method(f"Suggest{noun.name}Tags")

    async def resolve(info: Info, contains: str = "", first: int = ABOUT) -> Any:
        context: Context = info.context
        try:
            request: Any = request_class(method)(contains=contains, limit=within("first", first, 1, MOST))
            answer = await context.clients.read(noun.department, noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, noun.department) from None
        return list(answer.tags)

    row: Any = output_class(tag_pb2.TagCount.DESCRIPTOR)
    shape: Any = list[row] | None
    arguments: dict[str, Any] = {"contains": (_CONTAINS, ""), "first": (_FIRST, ABOUT)}
    return strawberry.field(resolver=signed(resolve, arguments, shape), description=comment(method.full_name), metadata=by(method))
