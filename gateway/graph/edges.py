"""Edges from one noun to another: to one record by an id that this one holds, to a page of records by this one's id."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import strawberry
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.context import Context
from gateway.errors import field_error
from gateway.graph.connections import connection_type, page
from gateway.graph.noun import NOUNS, Resolver, described, list_arguments, list_request
from gateway.graph.selection import selected
from gateway.loaders import load_group, load_one, rows_of

PARENT: Any = strawberry.Parent["Any"]  # type: ignore[misc]


def to_one(target: str, key: str, description: str) -> Any:
    """An edge to one record of another noun, by the id that `key` holds on this one."""
    noun = NOUNS[target]

    async def resolve(root: Any, info: Info) -> Any:
        if not getattr(root, key):
            return None
        return await load_one(info.context, noun, getattr(root, key), selected(info, noun.descriptor))

    return strawberry.field(resolver=rooted(resolve, {}, noun.type | None), description=description)


def to_many(target: str, method_name: str, description: str, *, preset: Callable[[Any], None] | None = None) -> Any:
    """An edge to a page of records of another noun, by this record's id. `preset` completes the request."""
    noun = NOUNS[target]
    method = noun.method(method_name)
    group = method.output_type.fields_by_name["groups"].message_type
    rows = rows_of(group, noun.descriptor)
    key = next(item.name for item in method.input_type.fields if item.name.endswith("_ids"))
    arguments = list_arguments(method, noun.descriptor)
    if preset:
        arguments.pop("filter", None)

    async def resolve(root: Any, info: Info, **given: Any) -> Any:
        context: Context = info.context
        try:
            request = list_request(method, noun.descriptor, given, info)
        except CrmError as error:
            raise field_error(error, noun.department) from None
        if preset:
            preset(request)
        answer = await load_group(context, noun.department, noun.service, method, key, request, root.id)
        return page(list(getattr(answer, rows)), answer.next_page_token, answer.row_tokens, continued=bool(request.page_token))

    return strawberry.field(resolver=rooted(resolve, arguments, connection_type(noun.type) | None), description=description)


def rooted(resolve: Resolver, arguments: Mapping[str, tuple[Any, Any]], returns: Any) -> Any:
    """A resolver that gets its parent record first."""

    async def with_root(root: Any, info: Info, **given: Any) -> Any:
        return await resolve(root, info, **given)

    kinds = inspect.Parameter
    parameters = [
        kinds("root", kinds.POSITIONAL_OR_KEYWORD, annotation=PARENT),
        kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info),
    ]
    for name, (shape, default) in arguments.items():
        parameters.append(
            kinds(name, kinds.KEYWORD_ONLY, annotation=described(name, shape), default=kinds.empty if default is ... else default)
        )
    with_root.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    shapes = {name: described(name, shape) for name, (shape, _) in arguments.items()}
    with_root.__annotations__ = {"root": PARENT, "info": Info, "return": returns, **shapes}
    return with_root
