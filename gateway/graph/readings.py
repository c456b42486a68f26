"""How the engine reads what departments send: straight from the messages, and from pages of them.

Each expression gives what the resolvers and scalars of `contract` would give; where that cannot be promised it raises, and the
engine asks them. A test compares both for every field of every message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import Any

import strawberry
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo
from strawberry.types import Info
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from chassis.access.fields import stands
from chassis.rpc.documents import enum_names, message_class, traits
from gateway.departments.spelling import camel
from gateway.engine import Batch, Read, Shape
from gateway.graph.connections import BATCHED, CONNECTIONS, EDGES, Edge, Page, Standing
from gateway.graph.contract import CONFIG, SHOWN, is_money, to_global
from gateway.graph.criteria import as_filter, criteria_of
from gateway.graph.selection import once_asked
from gateway.graph.values import plain_amount, time_text

_STRAWBERRY = "strawberry-definition"
_EPOCH_DAY = date(1970, 1, 1)


class Readings:
    """The shapes of the graph's types, and their edges."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self._scalars = schema.schema_converter.scalar_registry
        self._shapes: dict[str, Shape | None] = {}

    def shape(self, parent: GraphQLObjectType) -> Shape | None:
        """How rows of a type are read."""
        if parent.name not in self._shapes:
            self._shapes[parent.name] = _of_rows(_shape(parent.name), parent)
        return self._shapes[parent.name]

    def batch(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Batch | None:
        """The edge behind a field."""
        declared: StrawberryField | None = definition.extensions.get(_STRAWBERRY)
        if declared is None or BATCHED not in declared.metadata:
            return None
        resolve = declared.metadata[BATCHED]

        async def batch(rows: Sequence[Any], info: GraphQLResolveInfo[Any], arguments: dict[str, Any]) -> Sequence[Any]:
            asked = Info(_raw_info=info, _field=declared)
            given = once_asked(asked, "arguments", lambda: convert_arguments(arguments, declared.arguments, self._scalars, CONFIG))
            found: Sequence[Any] = await resolve(rows, asked, **given)
            return found

        return batch


def _of_rows(shape: Shape | None, parent: GraphQLObjectType) -> Shape | None:
    """The shape without what the graph does not show, or makes of many rows at once."""
    if shape is None:
        return None
    shown = {name: definition.extensions.get(_STRAWBERRY) for name, definition in parent.fields.items()}
    reads = {name: one for name, one in shape.reads.items() if name in shown and BATCHED not in getattr(shown[name], "metadata", {})}
    return replace(shape, reads=reads)


def _shape(name: str) -> Shape | None:
    if name == "PageInfo":
        return Shape(Standing, {camel(field): Read(f"{{row}}.{field}") for field in Standing._fields})
    if name in CONNECTIONS:
        names = ("nodes", "edges", "page_info", "missing_departments")
        return Shape(Page, {camel(one): Read(f"{{row}}.{one}") for one in names})
    if name in EDGES:
        return Shape(Edge, {"cursor": Read("{text}({row}.cursor)", {"text": _text}), "node": Read("{row}.node")})
    descriptor = SHOWN.get(name)
    if descriptor is None:
        return None
    if is_money(descriptor):
        amount = Read("{amount}({row}.amount_micros)", {"amount": amount_text})
        return Shape(message_class(descriptor), {"currencyCode": Read("{row}.currency_code"), "amount": amount})
    return Shape(message_class(descriptor), {camel(field.name): _read(descriptor, field) for field in descriptor.fields})


def _read(descriptor: Descriptor, field: FieldDescriptor) -> Read:
    here = f"{{row}}.{field.name}"
    if field.name == "id" and not traits(field).refers_to:
        return Read("{shown}({noun}, {row}.id)", {"shown": to_global, "noun": descriptor.name})
    if field.is_repeated:
        one = _one(field, "item")
        return Read(f"[{one.code} for item in {here}]" if one.code != "item" else f"list({here})", one.names)
    one = _one(field, here)
    if not field.has_presence:
        return one
    without = "{lacking}()" if stands(field) else "None"
    return Read(f"{one.code} if {{row}}.HasField({field.name!r}) else {without}", {**one.names, "lacking": _lacking})


def _one(field: FieldDescriptor, value: str) -> Read:
    """How one value of a field is shown; `value` is the expression that gives it."""
    if field.enum_type is not None:
        names = enum_names(field.enum_type)  # a number that it does not have is null, which only some fields may be
        nullable = field.has_presence and not stands(field)
        return Read(f"{{names}}.get({value})" if nullable else f"{{names}}[{value}]", {"names": names})
    if field.message_type is not None:
        converted = {"google.protobuf.Timestamp": moment_text, "crm.common.v1.Criteria": partial(as_filter, record=criteria_of(field))}.get(
            field.message_type.full_name
        )
        return Read(f"{{shown}}({value})", {"shown": converted}) if converted else Read(value)
    mark = traits(field)
    if mark.refers_to:
        return Read(f"{{shown}}({{noun}}, {value})", {"shown": to_global, "noun": mark.refers_to})
    if mark.date:
        return Read(f"{{shown}}({value})", {"shown": _date_text})
    if mark.names:
        return Read(f"{{shown}}({value})", {"shown": camel})
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return Read(f"{{shown}}({value})", {"shown": _finite})
    return Read(value)


def _lacking() -> None:
    raise ValueError


def moment_text(stamp: Timestamp) -> str:
    """A contract's moment as the graph shows it; equal to `time_text`, at a third of its time, for days are written once."""
    days, second = divmod(stamp.seconds, 86400)
    if not 0 <= stamp.nanos < 1_000_000_000:
        return time_text(stamp)
    minute, second = divmod(second, 60)
    return f"{_day(days)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}.{stamp.nanos // 1_000_000:03d}Z"


@lru_cache(4096)
def _day(days: int) -> str:
    return str(_EPOCH_DAY + timedelta(days))


def amount_text(micros: int) -> str:
    """Millionths as the text of a Decimal: two decimals at least, no more than needed; equal to str(plain_amount(micros))."""
    if micros < 0 or micros % 10_000:
        return str(plain_amount(micros))
    return f"{micros // 1_000_000}.{micros // 10_000 % 100:02d}"


def _date_text(text: str) -> str:
    return str(date.fromisoformat(text))


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(value)
    return value


def _finite(value: float) -> float:
    if value - value != 0:
        raise ValueError(value)
    return value
