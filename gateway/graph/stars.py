"""Stars in the graph: `isStarred` on every noun whose contract says `starrable`, `starred` of its lists, and two commands for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import strawberry
from crm.common.v1 import star_service_pb2 as contract
from google.protobuf.descriptor import MethodDescriptor
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.contract import comment, from_global
from gateway.graph.edges import edge
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, Noun, UserError, commanded

_REPEATABLE = "Makes the command repeatable: the same id with the same content gives the first answer again."
_SERVICE = contract.DESCRIPTOR.services_by_name["StarService"]


def _method(name: str) -> MethodDescriptor:
    found: MethodDescriptor = _SERVICE.methods_by_name[name]
    return found


def edges() -> None:
    """Called when every noun is known."""
    for noun in NOUNS.values():
        if noun.contract.traits.starrable:
            noun.edge("is_starred", _is_starred(noun))


def _is_starred(noun: Noun) -> Any:
    method = _method("BatchGetStars")

    async def resolve(roots: Sequence[Any], info: Info) -> Sequence[Any]:
        context: Context = info.context

        async def load(wanted: list[str]) -> list[Any]:
            request = contract.BatchGetStarsRequest(resource=noun.contract.resource, record_ids=wanted)
            try:
                answer = await context.clients.read(noun.department, _SERVICE, method.name, request, context.token, context.request_id)
            except CrmError as error:
                return [field_error(error, noun.department)] * len(wanted)
            return [identity in answer.starred_ids for identity in wanted]

        return await context.loader((method.full_name, noun.name), load).many([root.id for root in roots])

    return edge(resolve, {}, bool | None, "Whether you have starred it.", method)


@strawberry.input(description="A record.")
class RecordStarInput:
    """What recordStar takes."""

    id: strawberry.ID = strawberry.field(description="Id of the record, of a noun that has `isStarred`.")
    request_id: str | None = strawberry.field(default=None, description=_REPEATABLE)


@strawberry.input(description="A record.")
class RecordUnstarInput:
    """What recordUnstar takes."""

    id: strawberry.ID = strawberry.field(description="Id of the record, of a noun that has `isStarred`.")
    request_id: str | None = strawberry.field(default=None, description=_REPEATABLE)


@strawberry.type(description="What became of a star.")
class RecordStarPayload:
    """What both commands give."""

    starred: bool | None = strawberry.field(description="Whether the record is starred now; null when refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was done.")


def mutations() -> dict[str, Any]:
    """The mutations."""
    return {
        "recordStar": _command("StarRecord", RecordStarInput, contract.StarRecordRequest),
        "recordUnstar": _command("UnstarRecord", RecordUnstarInput, contract.UnstarRecordRequest),
    }


def _command(name: str, takes: Any, make: Any) -> Any:
    method = _method(name)

    async def resolve(info: Info, input: Any) -> Any:
        def ask() -> tuple[str, Any]:
            kind, record_id = from_global(str(input.id))
            noun = NOUNS.get(kind)
            if noun is None or not noun.contract.traits.starrable:
                known = ", ".join(sorted(one.name for one in NOUNS.values() if one.contract.traits.starrable))
                raise Invalid(f"a {kind[:50]} cannot be starred; give the id of one of {known}", field="id")
            return noun.department, make(resource=noun.contract.resource, record_id=record_id, request_id=input.request_id or "")

        answer = await commanded(info, method, ask)
        return RecordStarPayload(starred=answer["starred"], errors=answer["errors"])

    return strawberry.field(
        resolver=signed(resolve, {"input": (takes, ...)}, RecordStarPayload), description=comment(method.full_name), metadata=by(method)
    )
