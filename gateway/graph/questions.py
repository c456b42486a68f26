"""A question that is no record: its arguments are the fields of a request, its words the contract's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date
from types import SimpleNamespace
from typing import Annotated, Any

import strawberry
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from chassis.rpc.documents import traits
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.contract import comment, is_money, scalar_of
from gateway.graph.inputs import MoneyInput, to_request
from gateway.graph.judged import by


def question(department: str, method: MethodDescriptor, returns: Any, pick: Callable[[Any], Any]) -> Any:
    """A field of Query that sends one RPC. `pick` takes of the answer what is shown, None for nothing."""

    async def resolve(info: Info, **given: Any) -> Any:
        context: Context = info.context
        try:
            request = to_request(SimpleNamespace(**given), method.input_type)
            answer = await context.clients.read(
                department, method.containing_service, method.name, request, context.token, context.request_id
            )
        except CrmError as error:
            raise field_error(error, department) from None
        return pick(answer)

    parameters = [
        inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info),
        *map(_argument, method.input_type.fields),
    ]
    resolve.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    resolve.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": returns}
    return strawberry.field(resolver=resolve, description=comment(method.full_name), metadata=by(method))


def _argument(field: FieldDescriptor) -> inspect.Parameter:
    message, mark = field.message_type, traits(field)
    one: Any = (
        MoneyInput
        if message is not None and is_money(message)
        else strawberry.ID
        if mark.refers_to
        else date
        if mark.date
        else scalar_of(field)
    )
    optional = field.has_presence and message is None
    shape: Any = one | None if optional else one
    described: Any = Annotated[shape, strawberry.argument(description=comment(field.full_name))]
    default = None if optional else inspect.Parameter.empty
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, annotation=described, default=default)
