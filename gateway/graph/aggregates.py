"""Counts and sums in groups, from contracts: `<noun>Aggregate` of every noun that has the verb, and the records behind each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache, partial
from typing import Annotated, Any

import strawberry
from crm.common.v1 import aggregate_pb2, criteria_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.documents import enum_numbers, from_timestamp, traits
from chassis.rpc.measures import groupable, measurable
from chassis.rpc.service import request_class
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.loaders import load_records, rows_of
from gateway.departments.spelling import camel
from gateway.graph.arguments import signed
from gateway.graph.connections import LARGEST, Page, connection_type, whole
from gateway.graph.contract import Long, Money, Node, comment, enum_member, enum_type, finish, to_global
from gateway.graph.edges import edge
from gateway.graph.inputs import filter_type, to_criteria
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, Noun, list_arguments, list_request
from gateway.graph.selection import selected
from gateway.graph.sizes import ROWS

_PROTO = "crm.common.v1"
_FUNCTION, _GRANULARITY = aggregate_pb2.AggregateFunction.DESCRIPTOR, aggregate_pb2.Granularity.DESCRIPTOR
MOST, ABOUT = 1000, 100
SECONDS = 2.5  # departments themselves end after two
_FIRST: Any = Annotated[int, strawberry.argument(description=f"Groups wanted, 1 to {MOST}; what is in none of them is in `others`.")]


@dataclass(frozen=True, slots=True)
class Key:
    """What the records of a group have alike, by one grouping; `refers` is the noun and id that its value names."""

    field: str
    value: str | None
    last_day: date | None
    unfinished: bool
    refers: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Value:
    """What a measure came to."""

    field: str | None
    function: Any
    count: int | None
    number: float | None
    amount: Any
    amounts: Sequence[Any]
    unconverted: Sequence[Any]
    day: date | None
    time: datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """A group; `drill` lists its records."""

    keys: Sequence[Key]
    count: int
    values: Sequence[Value]
    drill: criteria_pb2.Criteria


@dataclass(frozen=True, slots=True)
class Answer:
    """The groups."""

    rows: Sequence[Row]
    totals: Row
    others: Row | None
    as_of: datetime
    path: Any


def _typed(name: str, message: str, shapes: dict[str, Any], **more: Any) -> type:
    """A type in the words of a message of the contract. `more` are fields with resolvers."""
    namespace: dict[str, Any] = {"__annotations__": dict(shapes)}
    for field in shapes:
        # What is in a group is small: an answer costs as many groups as are asked for.
        namespace[field] = strawberry.field(description=comment(f"{_PROTO}.{message}.{field}"), metadata={ROWS: 1})
    return type(name, (), namespace | more | {"__doc__": comment(f"{_PROTO}.{message}")})


@cache
def value_type() -> Any:
    """What a measure came to."""
    shapes = {
        "field": str | None, "function": enum_type(_FUNCTION), "count": Long | None, "number": float | None, "amount": Money | None,
        "amounts": list[Money], "unconverted": list[Money], "day": date | None, "time": datetime | None,
    }  # fmt: skip
    return finish(_typed("AggregateValue", "AggregateValue", shapes))


@cache
def _key_type() -> Any:
    async def record(roots: Sequence[Key], info: Info) -> Sequence[Any]:
        found: dict[tuple[str, str], Any] = {}
        wanted = list(dict.fromkeys(root.refers for root in roots if root.refers))
        for name in dict.fromkeys(noun for noun, _ in wanted):
            ids = [identity for noun, identity in wanted if noun == name]
            records = await load_records(info.context, NOUNS[name], ids, selected(info, NOUNS[name].descriptor))
            found |= zip(((name, identity) for identity in ids), records, strict=True)
        return [found.get(root.refers) if root.refers else None for root in roots]

    words = "The record that the value names; null where it names none that you may see."
    methods = {NOUNS[target].by_id for noun in aggregated() for target in _targets(noun.descriptor).values()}
    shapes = {"field": str, "value": str | None, "last_day": date | None, "unfinished": bool}
    made = _typed("AggregateKey", "AggregateKey", shapes, record=edge(record, {}, Node | None, words, *sorted(methods, key=str)))
    return finish(made)


@cache
def total_type() -> Any:
    """How many records there are together, and what the measures came to."""
    shapes = {"count": Long, "values": list[value_type()]}  # type: ignore[misc]
    made = _typed("AggregateTotal", "AggregateRow", shapes)
    made.__doc__ = "Records put together: how many they are, and what the measures came to."
    return finish(made)


def aggregated() -> list[Noun]:
    """The nouns whose records are counted and summed."""
    return [noun for noun in NOUNS.values() if noun.contract.traits.aggregated]


def queries() -> dict[str, Any]:
    """One field a noun."""
    return {f"{noun.field}Aggregate": _query(noun) for noun in aggregated()}


async def asked(context: Context, noun: Noun, method: MethodDescriptor, request: Any) -> Any:
    """The answer of a department, which looks through up to 20,000 records for it. Raises its refusal."""
    clients = context.clients
    return await clients.read(
        noun.department, noun.service, method.name, request, context.token, context.request_id, seconds=max(SECONDS, clients.read_seconds)
    )


def _method(noun: Noun, verb: str) -> MethodDescriptor:
    return next(method for method in noun.service.methods if method.name.startswith(verb))


def _targets(descriptor: Descriptor) -> dict[str, str]:
    """Fields that are grouped by and name records → the noun that they name."""
    found = {name: str(traits(descriptor.fields_by_name[name]).refers_to) for name in groupable(descriptor)}
    return {name: target for name, target in found.items() if target in NOUNS and NOUNS[target].by_id is not None}


def _query(noun: Noun) -> Any:
    method = _method(noun, "Aggregate")
    arguments = {
        "filter": (filter_type(noun.descriptor) | None, None),
        "group_by": (list[_grouping(noun)] | None, None),  # type: ignore[misc]
        "measures": (list[_measure(noun)] | None, None),  # type: ignore[misc]
        "first": (_FIRST, ABOUT),
    }

    async def resolve(info: Info, **given: Any) -> Any:
        context: Context = info.context
        try:
            request = _request(noun, method, given)
            answer = await asked(context, noun, method, request)
        except (CrmError, ValueError) as error:
            raise field_error(error if isinstance(error, CrmError) else Invalid(str(error)), noun.department) from None
        return _answer(noun, answer.aggregate)

    return strawberry.field(
        resolver=signed(resolve, arguments, _answer_type(noun) | None), description=comment(method.full_name), metadata=by(method)
    )


def _request(noun: Noun, method: MethodDescriptor, given: dict[str, Any]) -> Any:
    """The request of an aggregate. Raises Invalid."""
    most = given["first"]
    if not 1 <= most <= MOST:
        params = {"rule": "number.between", "least": "1", "most": str(MOST)}
        raise Invalid(f"first is {most}; ask for 1 to {MOST} groups", field="first", params=params)
    request: Any = request_class(method)(limit=most)
    if given.get("filter") is not None:
        request.filter.CopyFrom(to_criteria(given["filter"], noun.descriptor))
    for one in given.get("group_by") or ():
        granularity = enum_numbers(_GRANULARITY)[one.granularity.value] if one.granularity else None
        request.groupings.add(field=one.field.value, granularity=granularity, top=one.top or 0)
    for one in given.get("measures") or ():
        request.measures.add(field=one.field.value if one.field else "", function=enum_numbers(_FUNCTION)[one.function.value])
    return request


@cache
def _fields(name: str, names: tuple[str, ...], descriptor: Descriptor, words: str) -> Any:
    """An enum of fields of a record."""
    members = {one.upper(): strawberry.enum_value(one, description=comment(f"{descriptor.full_name}.{one}")) for one in names}
    return strawberry.enum(Enum(name, members), name=name, description=words)  # type: ignore[call-overload]


def _grouping(noun: Noun) -> Any:
    words = f"A field by which {noun.contract.words} records may be put into groups."
    fields = _fields(f"{noun.name}GroupField", tuple(groupable(noun.descriptor)), noun.descriptor, words)
    return _input(f"{noun.name}Grouping", "Grouping", {
        "field": (fields, ...), "granularity": (enum_type(_GRANULARITY) | None, None), "top": (int | None, None),
    })  # fmt: skip


def _measure(noun: Noun) -> Any:
    names = tuple(dict.fromkeys((*measurable(noun.descriptor), *groupable(noun.descriptor))))
    words = f"A field of {noun.contract.words} records of which something may be reckoned."
    fields = _fields(f"{noun.name}MeasureField", names, noun.descriptor, words)
    return _input(f"{noun.name}Measure", "Measure", {"field": (fields | None, None), "function": (enum_type(_FUNCTION), ...)})


def _input(name: str, message: str, shapes: dict[str, tuple[Any, Any]]) -> Any:
    namespace: dict[str, Any] = {"__annotations__": {field: shape for field, (shape, _) in shapes.items()}}
    for field, (_, default) in shapes.items():
        more = {} if default is ... else {"default": default}
        namespace[field] = strawberry.field(description=comment(f"{_PROTO}.{message}.{field}"), **more)
    return strawberry.input(type(name, (), namespace), name=name, description=comment(f"{_PROTO}.{message}"))


def _answer_type(noun: Noun) -> Any:
    keyed = {"keys": list[_key_type()], "count": Long, "values": list[value_type()]}  # type: ignore[misc]
    row = finish(_typed(f"{noun.name}AggregateRow", "AggregateRow", keyed, records=_records(noun)))
    path = enum_type(aggregate_pb2.AggregatePath.DESCRIPTOR)
    shapes = {"rows": list[row], "totals": total_type(), "others": total_type() | None, "as_of": datetime, "path": path}  # type: ignore[valid-type]
    return finish(_typed(f"{noun.name}Aggregate", "Aggregate", shapes))


def _records(noun: Noun) -> Any:
    """The records behind a row: of all rows of a level in one call, up to a hundred."""
    method = _method(noun, "Drill")
    drills = method.output_type.fields_by_name["drills"].message_type
    rows = rows_of(drills, noun.descriptor)

    async def load(context: Context, request: Any, wanted: list[bytes]) -> list[Any]:
        batch = type(request)()
        batch.CopyFrom(request)
        batch.filters.extend(criteria_pb2.Criteria.FromString(one) for one in wanted)
        try:
            answer = await asked(context, noun, method, batch)
        except CrmError as error:
            return [field_error(error, noun.department)] * len(wanted)
        return [Page(getattr(one, rows), one.next_page_token, one.row_tokens, bool(request.page_token)) for one in answer.drills]

    async def resolve(roots: Sequence[Row], info: Info, **given: Any) -> Sequence[Any]:
        try:
            request = list_request(method, noun.descriptor, given, info)
            if len(roots) > LARGEST:
                raise Invalid(f"records of {len(roots)} groups are asked for; ask for {LARGEST} groups at most (first)", field="records")
        except CrmError as error:
            raise field_error(error, noun.department) from None
        loader = info.context.loader(
            (method.full_name, request.SerializeToString(deterministic=True)), partial(load, info.context, request)
        )
        found = await loader.many([root.drill.SerializeToString(deterministic=True) for root in roots])
        for root, page in zip(roots, found, strict=True):
            if isinstance(page, Page):
                page.total = whole(root.count)
        return found

    arguments = {name: shape for name, shape in list_arguments(method, noun.descriptor).items() if name != "filter"}
    return edge(resolve, arguments, connection_type(noun.type) | None, comment(method.full_name) or "", method)


# ---- what came out


def _answer(noun: Noun, found: aggregate_pb2.Aggregate) -> Answer:
    path = enum_member(aggregate_pb2.AggregatePath.DESCRIPTOR, aggregate_pb2.AggregatePath.Name(found.path).removeprefix("AGGREGATE_PATH_"))
    others = row_of(noun, found.others) if found.HasField("others") else None
    rows = [row_of(noun, row) for row in found.rows]
    return Answer(rows, row_of(noun, found.totals), others, from_timestamp(found.as_of), path)


def row_of(noun: Noun, row: aggregate_pb2.AggregateRow) -> Row:
    """A group as the graph shows it."""
    return Row([_key(noun, key) for key in row.keys], row.count, [value_of(value) for value in row.values], row.drill)


def _key(noun: Noun, key: aggregate_pb2.AggregateKey) -> Key:
    value, target = (key.value if key.HasField("value") else None), str(traits(noun.descriptor.fields_by_name[key.field]).refers_to)
    last = date.fromisoformat(key.last_day) if key.HasField("last_day") else None
    refers = (target, value) if value and target in NOUNS else None
    return Key(camel(key.field), to_global(target, value) if value and target else value, last, key.unfinished, refers)


def value_of(value: aggregate_pb2.AggregateValue) -> Value:
    """What a measure came to, as the graph shows it."""
    name = aggregate_pb2.AggregateFunction.Name(value.function).removeprefix("AGGREGATE_FUNCTION_")
    return Value(
        camel(value.field) or None, enum_member(_FUNCTION, name), value.count if value.HasField("count") else None,
        value.number if value.HasField("number") else None, value.amount if value.HasField("amount") else None, value.amounts,
        value.unconverted, date.fromisoformat(value.day) if value.HasField("day") else None,
        from_timestamp(value.time) if value.HasField("time") else None,
    )  # fmt: skip
