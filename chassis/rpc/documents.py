"""Document ↔ message: one tested conversion, compiled once per message type from its descriptor.

Field names are the same on both sides but for `_id` ↔ `id`; enum values are stored by name without prefix, moments as
UTC datetimes, money as {currency_code, amount_micros}. Fields that are not set are absent from the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf import field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from chassis.kernel.criteria import Field
from chassis.kernel.errors import Invalid
from chassis.kernel.pages import EPOCH

Document = dict[str, Any]
_NUMBERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_DOUBLE}


def snake(name: str) -> str:
    """TicketReply → ticket_reply."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def message_class(descriptor: Descriptor) -> type[Message]:
    """The generated class of a descriptor."""
    return GetMessageClass(descriptor)


@cache
def enum_names(descriptor: EnumDescriptor) -> dict[int, str]:
    """Number → name without the enum's prefix; zero (UNSPECIFIED) is left out, for it means «not given»."""
    prefix = snake(descriptor.name).upper() + "_"
    return {value.number: value.name.removeprefix(prefix) for value in descriptor.values if value.number}


@cache
def enum_numbers(descriptor: EnumDescriptor) -> dict[str, int]:
    """Name without prefix → number."""
    return {name: number for number, name in enum_names(descriptor).items()}


def to_message(document: Mapping[str, Any], descriptor: Descriptor) -> Message:
    """The message of a document; fields that the message does not know are left behind."""
    return _writer(descriptor)(document)


def to_document(message: Message) -> Document:
    """The document of a message: only what is set."""
    return _reader(message.DESCRIPTOR)(message)


def traits(field: FieldDescriptor) -> annotations_pb2.FieldTraits:
    """The traits that the contract gives a field."""
    return field.GetOptions().Extensions[annotations_pb2.traits]


@cache
def personal_fields(descriptor: Descriptor) -> tuple[str, ...]:
    """Names of the fields that hold personal data. Only texts can: anything else is a fault of the contract."""
    found = tuple(field for field in descriptor.fields if traits(field).personal)
    for field in found:
        if field.cpp_type != FieldDescriptor.CPPTYPE_STRING or field.is_repeated:
            raise RuntimeError(f"{field.full_name} is personal but no text; only texts are sealed")
    return tuple(field.name for field in found)


@cache
def naming_fields(descriptor: Descriptor) -> tuple[str, ...]:
    """Names of the fields that lie in the clear and may name the person whom a record is about."""
    return tuple(field.name for field in descriptor.fields if traits(field).names_person)


@cache
def schema_of(descriptor: Descriptor) -> dict[str, Field]:
    """What criteria may name of a record: its filterable fields."""
    found = {"id": Field("_id", "text")} if "id" in descriptor.fields_by_name else {}
    for field in descriptor.fields:
        if traits(field).filterable:
            kind, values = _kind(field)
            path = {"money": f"{field.name}.amount_micros", "sealed": f"blind.{field.name}"}.get(kind, field.name)
            mark = str(field.number) if traits(field).parts else ""
            found[field.name] = Field(path, kind, values, field.is_repeated, day=traits(field).date, mark=mark)
    return found


@cache
def marks_of(descriptor: Descriptor) -> dict[str, str]:
    """The texts of a record that are found by a part of them → the mark of their terms. Anything else than texts is a fault of the contract."""
    found = [field for field in descriptor.fields if traits(field).parts]
    for field in found:
        if schema_of(descriptor).get(field.name, Field("", "")).kind != "text":
            raise RuntimeError(f"{field.full_name} is found by parts but no filterable text in the clear; take `parts` or `personal` away")
    return {field.name: str(field.number) for field in found}


@cache
def sortable_fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields by which lists of a record are sorted: those in the clear by which they are filtered, that have one value and an order."""
    ordered = {name for name, field in schema_of(descriptor).items() if not field.repeated and field.kind not in ("sealed", "flag")}
    found = (field for field in descriptor.fields if field.name in ordered and field.name != "id")
    return {field.name: field for field in found if not traits(field).refers_to}


def _kind(field: FieldDescriptor) -> tuple[str, frozenset[str]]:
    if field.enum_type is not None:
        return "enum", frozenset(enum_numbers(field.enum_type))
    if field.message_type is not None:
        name = field.message_type.full_name
        return {"google.protobuf.Timestamp": "time", "crm.common.v1.Money": "money"}[name], frozenset()
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "flag", frozenset()
    if traits(field).personal:
        return "sealed", frozenset()
    return ("number" if field.cpp_type in _NUMBERS else "text"), frozenset()


@cache
def _writer(descriptor: Descriptor) -> Callable[[Mapping[str, Any]], Message]:
    make = message_class(descriptor)
    plan = [(field.name, "_id" if field.name == "id" else field.name, _write_value(field)) for field in descriptor.fields]

    def write(document: Mapping[str, Any]) -> Message:
        values: dict[str, Any] = {}
        get = document.get
        for name, key, convert in plan:
            value = get(key)
            if value is not None:
                values[name] = value if convert is None else convert(value)
        return make(**values)

    return write


def _write_value(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    one = _write_one(field)
    if one is None or not field.is_repeated:
        return one
    return lambda values: [one(value) for value in values]


def _write_one(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    if field.enum_type is not None:
        numbers = enum_numbers(field.enum_type)
        return lambda name: numbers.get(name, 0)  # a name from a newer version reads as «not given»
    if field.message_type is None:
        return None
    name = field.message_type.full_name
    if name == "google.protobuf.Timestamp":
        return _to_timestamp
    if name == "google.protobuf.FieldMask":
        return lambda paths: field_mask_pb2.FieldMask(paths=paths)
    descriptor = field.message_type
    return lambda document: _writer(descriptor)(document)


def _to_timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    milliseconds = (moment - EPOCH) // timedelta(milliseconds=1)
    return timestamp_pb2.Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)


def from_timestamp(stamp: timestamp_pb2.Timestamp) -> datetime:
    """The instant of a Timestamp, UTC, to the millisecond; exact, without floats."""
    try:
        return (EPOCH + timedelta(seconds=stamp.seconds)).replace(microsecond=stamp.nanos // 1_000_000 * 1000)
    except (ValueError, OverflowError):
        raise Invalid("a time lies outside of the years 1 to 9999, or its nanoseconds are no part of a second; correct it") from None


@cache
def _reader(descriptor: Descriptor) -> Callable[[Message], Document]:
    plan = [(field.name, "_id" if field.name == "id" else field.name, _presence(field), _read_value(field)) for field in descriptor.fields]

    def read(message: Message) -> Document:
        document: Document = {}
        for name, key, has_presence, convert in plan:
            if has_presence:
                if not message.HasField(name):
                    continue
            elif not getattr(message, name) and has_presence is None:
                continue
            value = getattr(message, name)
            converted = value if convert is None else convert(value)
            if converted is not None:
                document[key] = converted
        return document

    return read


def _presence(field: FieldDescriptor) -> bool | None:
    """True: HasField tells; None: empty means not set; False: always written (plain booleans and numbers, 0 is a value)."""
    if field.has_presence and not field.is_repeated:
        return True
    plain = field.cpp_type == FieldDescriptor.CPPTYPE_BOOL or (field.cpp_type in _NUMBERS and field.name != "version")
    return False if plain and not field.is_repeated else None


def _read_value(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    one = _read_one(field)
    if field.is_repeated:
        return list if one is None else lambda values: [one(value) for value in values]
    return one


def _read_one(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    if field.enum_type is not None:
        names = enum_names(field.enum_type)
        return lambda number: names.get(number)
    if field.message_type is None:
        return None
    name = field.message_type.full_name
    if name == "google.protobuf.Timestamp":
        return from_timestamp
    if name == "google.protobuf.FieldMask":
        return lambda mask: list(mask.paths)
    descriptor = field.message_type
    return lambda message: _reader(descriptor)(message)
