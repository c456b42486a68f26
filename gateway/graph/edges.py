"""Edges from one noun to another: to one record by an id that this one holds, to a page of records by this one's id.

An edge takes all parents of its level at once and gives one value for each.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import strawberry
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from chassis.rpc.contract import edges_of, shown_as
from chassis.rpc.documents import snake, traits
from gateway.departments.errors import field_error
from gateway.departments.loaders import GroupQuestion, load_groups, load_records, rows_of
from gateway.graph.arguments import described
from gateway.graph.connections import BATCHED, LARGEST, Page, connection_type, first_of
from gateway.graph.contract import COMPLETED, SHOWN, comment
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, Noun, list_arguments, list_request
from gateway.graph.selection import counted, once_asked, selected

PARENT: Any = strawberry.Parent["Any"]  # type: ignore[misc]
Batched = Callable[..., Awaitable[Sequence[Any]]]


def of_contract(noun: Noun) -> None:
    """Hang on a noun's type every edge that follows from its contract, and on others those by which its records hang on them."""
    for name, key in edges_of(noun.descriptor).items():
        if reference := _reference(noun.descriptor, key):
            noun.edge(name, reference)
    for path, method in noun.contract.lists.items():
        leaf = noun.contract.leaf(path)
        back = traits(leaf).back
        words = _words_back(noun, path, leaf) if back else comment(method.full_name) or ""
        asked = next(name for name, one in noun.contract.keys(method).items() if one == path)
        parent = NOUNS[traits(leaf).refers_to]
        parent.edge(
            back or shown_as(method) or snake(method.name.removeprefix("BatchList")), to_many(noun.name, method.name, words, key=asked)
        )


def of_part(made: type) -> None:
    """Hang on the type of a message within records every edge that follows from its references."""
    descriptor = SHOWN.get(made.__name__)
    if descriptor is None or descriptor.name in NOUNS:
        return
    for name, key in edges_of(descriptor).items():
        if not hasattr(made, name) and (reference := _reference(descriptor, key)):
            setattr(made, name, reference)


def _reference(holder: Descriptor, key: str) -> Any:
    field = holder.fields_by_name[key]
    target, words = str(traits(field).refers_to), comment(field.full_name) or ""
    if target not in NOUNS or NOUNS[target].by_id is None:
        return None
    return to_some(target, field, words) if field.is_repeated else to_one(target, key, words)


def _words_back(noun: Noun, path: str, leaf: FieldDescriptor) -> str:
    """What an edge back leads to, e.g. "The tickets whose contact this is."."""
    many = noun.contract.resource.replace("_", " ")
    held = next(name for name, key in edges_of(leaf.containing_type).items() if key == leaf.name).replace("_", " ")
    if leaf.is_repeated:
        return f"The {many} that have this among their {held}."
    part = path.rpartition(".")[0].removesuffix("s")
    return f"The {many} with a {part} whose {held} this is." if part else f"The {many} whose {held} this is."


def to_some(target: str, key: FieldDescriptor, description: str) -> Any:
    """An edge to the records of another noun whose ids `key` holds, in their order; those that the caller may see."""
    noun, most = NOUNS[target], min(key.GetOptions().Extensions[validate_pb2.field].repeated.max_items or LARGEST, LARGEST)

    async def resolve(roots: Sequence[Any], info: Info, first: int | None = most) -> Sequence[Any]:
        try:
            rows = first_of(first)
        except CrmError as error:
            raise field_error(error, noun.department) from None
        wanted = [list(getattr(root, key.name))[:rows] for root in roots]
        ids = list(dict.fromkeys(identity for each in wanted for identity in each))
        found = dict(zip(ids, await load_records(info.context, noun, ids, selected(info, noun.descriptor)), strict=True))
        return [_seen([found[identity] for identity in each]) for each in wanted]

    return edge(resolve, {"first": (int | None, most)}, list[noun.type] | None, description, noun.by_id)  # type: ignore[name-defined]


def _seen(records: Sequence[Any]) -> Any:
    """The records that are there; the failure where a department failed."""
    return next((one for one in records if isinstance(one, Exception)), [one for one in records if one is not None])


def to_one(target: str, key: str, description: str) -> Any:
    """An edge to one record of another noun, by the id that `key` holds on this one."""
    noun = NOUNS[target]

    async def resolve(roots: Sequence[Any], info: Info) -> Sequence[Any]:
        return await load_records(info.context, noun, [getattr(root, key) for root in roots], selected(info, noun.descriptor))

    return edge(resolve, {}, noun.type | None, description, noun.by_id)


def to_many(target: str, method_name: str, description: str, *, key: str = "", preset: Callable[[Any], None] | None = None) -> Any:
    """An edge to a page of records of another noun, by this record's id, which `key` of the request takes, its first field of ids when
    not given. `preset` completes the request."""
    noun = NOUNS[target]
    method = noun.method(method_name)
    group = method.output_type.fields_by_name["groups"].message_type
    rows = rows_of(group, noun.descriptor)
    arguments = list_arguments(method, noun.descriptor)
    if preset:
        arguments.pop("filter", None)

    def question(info: Info, given: Mapping[str, Any]) -> GroupQuestion:
        try:
            request = list_request(method, noun.descriptor, given, info)
        except CrmError as error:
            raise field_error(error, noun.department) from None
        if preset:
            preset(request)
        return GroupQuestion.of(noun.department, noun.service, method, request, key)

    async def resolve(roots: Sequence[Any], info: Info, **given: Any) -> Sequence[Any]:
        # How far to count may stand in a variable below this field: it belongs to what is asked.
        asked: GroupQuestion = once_asked(info, (method.name, key, counted(info)), lambda: question(info, given))
        groups = await load_groups(info.context, asked, [root.id for root in roots])
        return [page_of(found, rows, asked.request) for found in groups]

    return edge(resolve, arguments, connection_type(noun.type) | None, description, method)


def page_of(group: Any, rows: str, request: Message) -> Any:
    """The page that a department's group is to a request; a failure stays one."""
    return group if isinstance(group, Exception) else Page.of(group, rows, request)


def edge(
    resolve: Batched, arguments: Mapping[str, tuple[Any, Any]], returns: Any, description: str, *methods: MethodDescriptor | None
) -> Any:
    """A field whose resolver gets the list of its parents; the engine gives it all of a level, graphql-core one by one.

    `methods` are those that it may send."""

    async def with_root(root: Any, info: Info, **given: Any) -> Any:
        (found,) = await resolve([root], info, **given)
        if isinstance(found, Exception):
            raise found
        return found

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
    return strawberry.field(resolver=with_root, description=description, metadata={BATCHED: resolve, **by(*methods)})


COMPLETED.append(of_part)
