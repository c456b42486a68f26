"""What the caller may do: `can` on every record, and on oneself for records of a kind, told by the department that would refuse it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import strawberry
from crm.common.v1 import access_pb2, rights_service_pb2
from google.protobuf.descriptor import MethodDescriptor
from strawberry.types import Info

from chassis.access.fields import resource_of
from chassis.access.tokens import claims_of
from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.contract import shown_as
from chassis.rpc.service import policy_of
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.language import told
from gateway.departments.spelling import camel, spelled
from gateway.graph.contract import enum_type
from gateway.graph.edges import edge
from gateway.graph.noun import NOUNS, Noun

_CHECK = rights_service_pb2.DESCRIPTOR.services_by_name["RightsService"].methods_by_name["CheckRights"]
MOST_ACTIONS = 50
READ, IMPORT = "read", "import"


@strawberry.type(description="Whether a command may be sent.")
class Right:
    """One command and its answer."""

    action: str = strawberry.field(description='The command, e.g. "update".')
    allowed: bool = strawberry.field(
        description="Whether it would be judged at all: what depends on the values sent, or on other records, is told by validateOnly."
    )
    code: str | None = strawberry.field(
        description="Why not, as the command would be refused, e.g. NOT_ALLOWED, ARCHIVED; null where allowed."
    )
    message: str | None = strawberry.field(description="Why not, in the person's language, or one of Accept-Language; null where allowed.")


_ACCESS: Any = enum_type(access_pb2.FieldAccess.DESCRIPTOR)


@strawberry.type(description="A field of a record of which you get less than all.")
class FieldLimit:
    """One field and how much of it is given."""

    field: str = strawberry.field(description="The field, as the graph names it.")
    access: _ACCESS = strawberry.field(
        description="How much you get of it: HIDDEN comes as null or empty, MASKED in part, READ to be read only."
    )


@cache
def commands(name: str) -> Mapping[str, MethodDescriptor]:
    """What may be done with records of a noun, by the names of the graph: its mutations without its own name, `read`, and `import`."""
    noun = NOUNS[name]
    found: dict[str, MethodDescriptor] = {READ: noun.by_id} if noun.by_id is not None else {}
    for method in noun.service.methods:
        if method.name.startswith("BatchUpsert"):
            found[IMPORT] = method
        elif policy_of(method)[1] not in ("read", "public") and method not in noun.contract.bulk:
            found[action_of(noun, method)] = method
    return found


def action_of(noun: Noun, method: MethodDescriptor) -> str:
    """The name of a command without the noun's: customerUpdate → update."""
    shown = shown_as(method) or f"{noun.field}{method.name.replace(noun.name, '', 1)}"
    rest = shown.removeprefix(noun.field) if shown[len(noun.field) : len(noun.field) + 1].isupper() else shown
    return f"{rest[:1].lower()}{rest[1:]}"


@cache
def on_a_record(name: str) -> Mapping[str, MethodDescriptor]:
    """Those commands that name one record."""
    key = NOUNS[name].contract.key
    return {action: one for action, one in commands(name).items() if action == READ or key in one.input_type.fields_by_name}


def edges() -> None:
    """Called when every noun is known: hang `can` and `fieldAccess` on each that has records of its own."""
    for noun in NOUNS.values():
        if resource_of(noun.descriptor) and noun.by_id is not None:
            noun.edge("can", _can_oneself(noun) if noun.name == "Person" else _can(noun))
            noun.edge("field_access", _limits(noun))


def _can(noun: Noun) -> Any:
    async def resolve(roots: Sequence[Any], info: Info, actions: list[str] | None = None) -> Sequence[Any]:
        return await _on_records(noun, roots, info, actions)

    words = f"Which commands you may send on it, of all or of these: {_listed(on_a_record(noun.name))}."
    return edge(resolve, {"actions": (list[str] | None, None)}, list[Right] | None, words, _CHECK)


def _can_oneself(noun: Noun) -> Any:
    async def resolve(
        roots: Sequence[Any], info: Info, actions: list[str] | None = None, action: str | None = None, resource: str | None = None
    ) -> Sequence[Any]:
        wanted = [*(actions or ()), *([action] if action else ())] or None
        if resource is None:
            return await _on_records(noun, roots, info, wanted)
        try:
            own = str(claims_of(info.context.token).get("sub", ""))
            if any(root.id != own for root in roots):
                raise Invalid(
                    "rights on records of a kind are told of yourself only; ask viewer { can }, or accessExplain", field="resource"
                )
            about = _noun_of(resource)
        except CrmError as error:
            raise field_error(error, noun.department) from None
        found = await _asked(about, info, [""], _methods(about, commands(about.name), wanted))
        return [found[0]] * len(roots)

    words = (
        f"Which commands you may send on this person, of all or of these: {_listed(on_a_record(noun.name))}. With a resource, and on yourself "
        '(viewer): which commands you may send on any record of that kind at all, e.g. action "create", resource "customers".'
    )
    shape = {"actions": (list[str] | None, None), "action": (str | None, None), "resource": (str | None, None)}
    return edge(resolve, shape, list[Right] | None, words, _CHECK)


def _limits(noun: Noun) -> Any:
    async def resolve(roots: Sequence[Any], info: Info) -> Sequence[Any]:
        found = await _load(noun, info.context, [root.id for root in roots], (), fields=True)
        return [_told(one, lambda record: [_limit(each) for each in record.limits if each.access]) for one in found]

    words = "Fields of which you get less than all. One that is not among them, and is null or empty, has no value."
    return edge(resolve, {}, list[FieldLimit] | None, words, _CHECK)


def _limit(limit: Any) -> FieldLimit:
    level = access_pb2.FieldAccess.Name(limit.access).removeprefix("FIELD_ACCESS_")
    return FieldLimit(field=camel(limit.field), access=_ACCESS[level])


async def _on_records(noun: Noun, roots: Sequence[Any], info: Info, actions: list[str] | None) -> Sequence[Any]:
    return await _asked(noun, info, [root.id for root in roots], _methods(noun, on_a_record(noun.name), actions))


def _methods(noun: Noun, known: Mapping[str, MethodDescriptor], actions: list[str] | None) -> dict[str, str]:
    """Method → action, of the actions asked about. A field's error for one that there is not."""
    wanted = list(dict.fromkeys(known if actions is None else actions))
    try:
        for name in wanted:
            if name not in known:
                words = (
                    f"{noun.contract.resource} have no command «{name[:60]}» that can be asked about here; give some of {_listed(known)}"
                )
                raise Invalid(words, field="actions")
        if len(wanted) > MOST_ACTIONS:
            raise Invalid(f"{len(wanted)} actions; ask about {MOST_ACTIONS} at once", field="actions")
    except CrmError as error:
        raise field_error(error, noun.department) from None
    return {known[name].name: name for name in wanted}


async def _asked(noun: Noun, info: Info, ids: list[str], methods: Mapping[str, str]) -> list[Any]:
    context: Context = info.context
    found = await _load(noun, context, ids, tuple(methods), fields=False)
    language = await context.language()
    return [
        _told(one, lambda record: [_right(each, methods, language) for each in record.rights if each.method in methods]) for one in found
    ]


def _told(found: Any, make: Callable[[Any], list[Any]]) -> Any:
    """What is told of a record: the failure where the department failed, nothing where it said nothing."""
    return found if found is None or isinstance(found, Exception) else make(found)


def _right(right: Any, methods: Mapping[str, str], language: str) -> Right:
    if right.allowed:
        return Right(action=methods[right.method], allowed=True, code=None, message=None)
    refusal = spelled(CrmError(right.message, code=right.code, params=right.params))
    message = told(refusal.code, refusal.message, refusal.params, "", language)
    return Right(action=methods[right.method], allowed=False, code=right.code, message=message)


async def _load(noun: Noun, context: Context, ids: Sequence[str], methods: tuple[str, ...], *, fields: bool) -> list[Any]:
    """What the department says of each record; "" is any record at all."""

    async def load(wanted: list[str]) -> list[Any]:
        request = rights_service_pb2.CheckRightsRequest(
            resource=noun.contract.resource, record_ids=[one for one in wanted if one], methods=methods, fields=fields
        )
        try:
            answer = await context.clients.read(
                noun.department,
                _CHECK.containing_service,
                _CHECK.name,
                request,
                context.token,
                context.request_id,
                by_roles=context.by_roles,
            )
        except CrmError as error:
            return [field_error(error, noun.department)] * len(wanted)
        records = {record.record_id: record for record in answer.records}
        return [records.get(identity) for identity in wanted]

    return await context.loader((_CHECK.full_name, noun.contract.resource, methods, fields, ids == [""]), load).many(ids)


def _noun_of(resource: str) -> Noun:
    found = next((noun for noun in NOUNS.values() if noun.contract.resource == resource), None)
    if found is None:
        raise Invalid(f"there is no resource «{resource[:60]}»; name one as policies do, e.g. customers", field="resource")
    return found


def _listed(known: Mapping[str, Any]) -> str:
    return ", ".join(sorted(known))
