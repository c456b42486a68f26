"""The graph's types from the contracts: one message, one type, the same field names and comments. Nothing of a department here."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import Any, NewType

import strawberry
from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from strawberry.schema.config import StrawberryConfig

from chassis.access.fields import stands
from chassis.kernel.errors import Invalid
from chassis.rpc.documents import enum_names, from_timestamp, traits
from gateway.departments import ids
from gateway.departments.spelling import camel
from gateway.graph.criteria import as_filter, criteria_of
from gateway.graph.sizes import declared
from gateway.graph.values import moment_text, plain_amount

_COMMENTS: dict[str, str] = json.loads((Path(annotations_pb2.__file__).parents[3] / "comments.json").read_text())
_TIMESTAMP, _MONEY, _CRITERIA = "google.protobuf.Timestamp", "crm.common.v1.Money", "crm.common.v1.Criteria"
LARGEST = 2**53 - 1

Long = NewType("Long", int)
Json = NewType("Json", object)


def comment(full_name: str) -> str | None:
    """The contract's words about an element."""
    return _COMMENTS.get(full_name)


# ---- scalars


def _parse_time(text: object) -> datetime:
    if not isinstance(text, str):
        raise ValueError('a time is a text, e.g. "2026-11-22T10:00:00+08:00"')
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"«{text[:50]}» is no time; write e.g. 2026-11-22T10:00:00+08:00") from None
    if moment.tzinfo is None:
        raise ValueError(f"«{text}» has no zone; end it with Z or an offset, e.g. +08:00")
    return moment.astimezone(UTC)


def _parse_date(text: object) -> date:
    try:
        if not isinstance(text, str) or len(text) != 10 or text[4] != "-" or "W" in text:
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"«{str(text)[:50]}» is no day; write YYYY-MM-DD") from None


def _parse_decimal(text: object) -> Decimal:
    try:
        value = Decimal(text if isinstance(text, str | int) and not isinstance(text, bool) else "x")
    except InvalidOperation:
        raise ValueError(f'«{str(text)[:50]}» is no amount; write it as a text, e.g. "1234.50"') from None
    if not value.is_finite() or value.adjusted() > 11:
        raise ValueError("the amount must be finite and below 900 000 000 000")
    return value


def _parse_long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        raise ValueError("a Long is a whole number between -(2^53-1) and 2^53-1")
    return value


SCALARS: dict[object, Any] = {
    datetime: strawberry.scalar(
        name="DateTime", description="A moment with its zone, ISO 8601; answers are in UTC.", serialize=moment_text, parse_value=_parse_time
    ),
    date: strawberry.scalar(name="Date", description="A day of the calendar, YYYY-MM-DD.", serialize=str, parse_value=_parse_date),
    Decimal: strawberry.scalar(
        name="Decimal", description="An exact amount as a text, e.g. \"1234.50\"; at most six decimals.", serialize=str, parse_value=_parse_decimal
    ),
    Long: strawberry.scalar(name="Long", description="A whole number up to 2^53-1.", serialize=int, parse_value=_parse_long),
    Json: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=lambda value: value, parse_value=lambda value: value),
}  # fmt: skip


# ---- ids


to_global = ids.to_global


def from_global(text: str, noun: str = "", field: str = "id") -> tuple[str, str]:
    """(type, id) of a Relay id; refuses what is none, or one of another type than `noun`."""
    try:
        kind, _, identity = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        if not identity or len(text) > 200:
            raise ValueError(text)
    except (ValueError, binascii.Error):
        raise Invalid(
            f"«{text[:60]}» is no id of this graph; use an id that it gave you", field=field, params={"rule": "pattern.id"}
        ) from None
    if noun and kind != noun:
        params = {"rule": "id.kind", "kind": kind[:60], "wanted": noun}
        raise Invalid(f"this is the id of a {kind}; {field} takes the id of a {noun}", field=field, params=params)
    return kind, identity


# ---- output types


@strawberry.interface(description="Anything with an id of its own.")
class Node:
    """Relay's Node."""

    id: strawberry.ID = strawberry.field(description="Opaque identity, for `node(id)` and wherever this record is named.")


@strawberry.type(description="An amount in one currency.")
class Money:
    """The graph's Money; read from the contract's."""

    currency_code: str = strawberry.field(description="ISO 4217 code, three capital letters.")
    amount: Decimal = strawberry.field(description="Exact amount in units of the currency.")


@cache
def enum_type(descriptor: EnumDescriptor) -> Any:
    """The graph's enum of a contract's enum, without the prefix and without «not given»."""
    members = {name: name for name in enum_names(descriptor).values()}
    values = {
        name: strawberry.enum_value(name, description=comment(f"{descriptor.full_name}.{descriptor.values_by_number[number].name}"))
        for number, name in enum_names(descriptor).items()
    }
    return strawberry.enum(Enum(descriptor.name, values or members), name=descriptor.name, description=comment(descriptor.full_name))  # type: ignore[call-overload]


SHOWN: dict[str, Descriptor] = {}
"""Contract messages by the name of their graph type."""


def is_money(descriptor: Descriptor) -> bool:
    """Whether a message is the contract's Money, which has a type of its own here."""
    return descriptor.full_name == _MONEY


@cache
def output_class(descriptor: Descriptor) -> type:
    """The class of a message's type; edges may be added to it before it is finished by `finish`."""
    if is_money(descriptor):
        SHOWN["Money"] = descriptor
        return Money
    is_node = "id" in descriptor.fields_by_name
    SHOWN[descriptor.name] = descriptor
    made = type(descriptor.name, (Node,) if is_node else (), {"__annotations__": {}, "__doc__": comment(descriptor.full_name)})
    for field in descriptor.fields:
        if field.name != "id" and not (field.message_type and field.message_type.GetOptions().map_entry):
            made.__annotations__[field.name] = output_annotation(field)
            setattr(made, field.name, strawberry.field(
                description=comment(field.full_name), metadata=declared(field), deprecation_reason=traits(field).told_by or None
            ))  # fmt: skip
    made.is_type_of = classmethod(lambda _, value, __: getattr(value, "DESCRIPTOR", None) is descriptor)  # type: ignore[attr-defined]
    return made


_finished: set[type] = set()
COMPLETED: list[Callable[[type], None]] = []
"""What is done to a class before it becomes a type: whoever hangs something on types of all kinds."""


def finish(made: type) -> Any:
    """Make the class a type of the graph; once, and when every noun is known."""
    if made is Money or made in _finished:
        return made
    _finished.add(made)
    for complete in COMPLETED:
        complete(made)
    return strawberry.type(made, name=made.__name__, description=made.__doc__)


def finish_all() -> None:
    """Make types of the classes of messages that nobody made one of by hand."""
    for descriptor in list(SHOWN.values()):
        finish(output_class(descriptor))


def output_annotation(field: FieldDescriptor) -> Any:
    """The graph type of a field; nullable where the contract can tell «not set» and it does not stand on every one."""
    one = _output_one(field)
    if field.is_repeated:
        return list[one]  # type: ignore[valid-type]
    return one | None if field.has_presence and not stands(field) else one


def _output_one(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return enum_type(field.enum_type)
    if field.message_type is not None:
        name = field.message_type.full_name
        if name in (_TIMESTAMP, _CRITERIA):
            return datetime if name == _TIMESTAMP else Json
        return output_class(field.message_type)
    mark = traits(field)
    if mark.refers_to:
        return strawberry.ID
    if mark.date:
        return date
    return scalar_of(field)


def scalar_of(field: FieldDescriptor) -> Any:
    """The plain graph type of a scalar field."""
    return {
        FieldDescriptor.CPPTYPE_STRING: str, FieldDescriptor.CPPTYPE_BOOL: bool, FieldDescriptor.CPPTYPE_DOUBLE: float,
        FieldDescriptor.CPPTYPE_INT32: int, FieldDescriptor.CPPTYPE_INT64: Long,
    }[field.cpp_type]  # fmt: skip


# ---- reading a message's field in the graph


@cache
def _reader(descriptor: Descriptor, name: str) -> Callable[[Any], Any]:
    if descriptor.full_name == _MONEY and name == "amount":
        return lambda message: plain_amount(message.amount_micros)
    field = descriptor.fields_by_name[name]
    if name == "id" and traits(field).refers_to == "":
        return lambda message: to_global(descriptor.name, message.id)
    one = _read_one(field)
    if field.is_repeated:
        return lambda message: [one(value) for value in getattr(message, name)]
    if field.has_presence:
        return lambda message: one(getattr(message, name)) if message.HasField(name) else None
    return lambda message: one(getattr(message, name))


def _read_one(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.enum_type is not None:
        members = {number: enum_member(field.enum_type, name) for number, name in enum_names(field.enum_type).items()}
        return members.get
    if field.message_type is not None:
        if field.message_type.full_name == _TIMESTAMP:
            return from_timestamp
        if field.message_type.full_name == _CRITERIA:
            return partial(as_filter, record=criteria_of(field))
        return lambda message: message
    mark = traits(field)
    if mark.refers_to:
        return lambda identity: to_global(mark.refers_to, identity)
    if mark.date:
        return date.fromisoformat
    return camel if mark.names else lambda value: value


def enum_member(descriptor: EnumDescriptor, name: str) -> Enum:
    """The Python member of a graph enum."""
    found: Enum = enum_type(descriptor)[name]
    return found


def read(source: Any, name: str) -> Any:
    """The default resolver: a field of a message, as the graph shows it; of anything else, the attribute."""
    descriptor = getattr(source, "DESCRIPTOR", None)
    if descriptor is None:
        return source.get(name) if isinstance(source, dict) else getattr(source, name)
    return _reader(descriptor, name)(source)


CONFIG = StrawberryConfig(default_resolver=read, scalar_map=SCALARS, relay_max_results=100)
