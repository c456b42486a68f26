"""What generated code reads from a message is what the resolver and the scalar of the graph give; where it is not sure, it raises."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from crm.common.v1 import money_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from graphql import GraphQLObjectType, get_named_type, get_nullable_type, is_leaf_type, is_list_type, is_non_null_type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid
from chassis.rpc.documents import enum_names, from_timestamp, message_class, traits
from gateway.bootstrap import shared_schema
from gateway.engine import Read
from gateway.engine.source import Source
from gateway.graph.contract import SHOWN, is_money
from gateway.graph.edges import BATCHED
from gateway.graph.readings import Readings, amount_text, moment_text
from gateway.graph.values import plain_amount, time_text

SHARED = shared_schema()
SCHEMA = SHARED._schema
READINGS = Readings(SHARED)
QUIET = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=600, deadline=None, derandomize=True)
TYPES = sorted(name for name in SHOWN if isinstance(SCHEMA.type_map.get(name), GraphQLObjectType))
INT64 = st.integers(-(2**63), 2**63 - 1)


def object_type(name: str) -> GraphQLObjectType:
    """A type of the graph."""
    found = SCHEMA.type_map[name]
    assert isinstance(found, GraphQLObjectType)
    return found


def compiled(one: Read) -> Any:
    """The read as a function of a row."""
    source = Source()
    text = source.read(one, "row")
    return eval(f"lambda row: {text}", source.names)


def values_of(field: FieldDescriptor, deep: int) -> st.SearchStrategy[Any]:
    """Values of one field: right, wrong and at the ends."""
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            seconds = st.one_of(
                st.integers(-(2**35), 2**36), st.sampled_from((-62135596800, -62135596801, 253402300799, 253402300800, -(2**63), 2**63 - 1))
            )
            nanos = st.one_of(st.integers(0, 999_999_999), st.sampled_from((-1, 10**9, 2**31 - 1)))
            return st.builds(Timestamp, seconds=seconds, nanos=nanos)
        return messages(field.message_type, deep - 1)
    if field.enum_type is not None:
        return st.sampled_from([*(value.number for value in field.enum_type.values), 0, 99, -1])
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        days = ("2026-11-22", "0001-01-01", "9999-12-31", "2026-02-30", "20261122", "2026-W47-7", "")
        return st.sampled_from(days) if traits(field).date else st.one_of(st.text(max_size=8), st.sampled_from(("", "a", "{row}", "\0")))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return st.floats()
    return INT64 if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else st.integers(-(2**31), 2**31 - 1)


def messages(descriptor: Descriptor, deep: int = 2) -> st.SearchStrategy[Message]:
    """Messages with any of the fields set."""

    @st.composite
    def made(draw: st.DrawFn) -> Message:
        message: Any = message_class(descriptor)()
        for field in descriptor.fields:
            if field.message_type is not None and (deep <= 0 or field.message_type.GetOptions().map_entry):
                continue
            if field.is_repeated:
                getattr(message, field.name).extend(draw(st.lists(values_of(field, deep), max_size=2)))
            elif draw(st.booleans()):
                value = draw(values_of(field, deep))
                if field.message_type is not None:
                    getattr(message, field.name).CopyFrom(value)
                    getattr(message, field.name).SetInParent()
                else:
                    setattr(message, field.name, value)
        return message

    return made()


def answered(type_: Any, value: Any) -> Any:
    """The value as graphql-core completes it; raises where the answer would have an error."""
    if is_non_null_type(type_):
        found = answered(type_.of_type, value)
        if found is None:
            raise TypeError("null")
        return found
    if value is None:
        return None
    if is_list_type(type_):
        return [answered(type_.of_type, item) for item in value]
    return type_.coerce_output_value(value) if is_leaf_type(type_) else value


def resolved(name: str, field: str, message: Any) -> Any:
    """The field of the message by the graph's own resolver."""
    definition = object_type(name).fields[field]
    info: Any = SimpleNamespace(field_name=field, context=None, path=None, field_nodes=[], schema=SCHEMA)
    assert definition.resolve is not None
    return answered(definition.type, definition.resolve(message, info))


@pytest.mark.parametrize("name", TYPES)
def test_every_field_of_a_message_is_read_as_it_is_resolved(name: str) -> None:
    shape = READINGS.shape(object_type(name))
    assert shape is not None
    reads = {field: compiled(one) for field, one in shape.reads.items() if field in object_type(name).fields}

    @QUIET
    @given(messages(SHOWN[name]))
    def run(message: Message) -> None:
        assert type(message) is shape.kind
        for field, function in reads.items():
            try:
                ours = function(message)
                ours = list(ours) if is_list_type(get_nullable_type(object_type(name).fields[field].type)) else ours
            except Exception:
                continue  # not sure: the resolver is asked
            theirs = resolved(name, field, message)
            assert ours == theirs, field
            assert type(ours) is type(theirs) or isinstance(ours, Message | list), field
            if is_leaf_type(get_named_type(object_type(name).fields[field].type)):
                assert json.dumps(ours) == json.dumps(theirs), field

    run()


@pytest.mark.parametrize("name", TYPES)
def test_a_read_is_sure_of_what_departments_send(name: str) -> None:
    shape = READINGS.shape(object_type(name))
    assert shape is not None

    def plain(descriptor: Descriptor, deep: int) -> Any:
        message: Any = message_class(descriptor)()
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                continue  # the graph shows none
            if field.message_type is not None:
                value = plain(field.message_type, deep - 1) if deep else message_class(field.message_type)()
            elif field.enum_type is not None:
                value = next(iter(enum_names(field.enum_type)))
            elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
                value = "2026-11-22" if traits(field).date else "a"
            else:
                value = 1
            if field.is_repeated:
                getattr(message, field.name).append(value)
            elif field.message_type is not None:
                getattr(message, field.name).CopyFrom(value)
            else:
                setattr(message, field.name, value)
        return message

    message = plain(SHOWN[name], 2)
    for field, one in shape.reads.items():
        if field in object_type(name).fields:
            compiled(one)(message)


def test_every_field_of_a_message_in_the_graph_has_a_read_or_a_batch() -> None:
    for name in TYPES:
        shape = READINGS.shape(object_type(name))
        assert shape is not None
        for field, definition in object_type(name).fields.items():
            declared = definition.extensions["strawberry-definition"]
            batched = BATCHED in declared.metadata
            assert (field in shape.reads) != batched, f"{name}.{field}"
            assert (READINGS.batch(object_type(name), field, definition) is not None) == batched, f"{name}.{field}"


def test_messages_that_are_no_money_are_shown_with_all_their_fields() -> None:
    for name in TYPES:
        if not is_money(SHOWN[name]):
            shape = READINGS.shape(object_type(name))
            assert shape is not None
            assert set(shape.reads) <= set(object_type(name).fields), name


@MANY
@given(INT64)
def test_amounts_are_the_texts_of_their_decimals(micros: int) -> None:
    assert amount_text(micros) == str(plain_amount(micros))
    assert Decimal(amount_text(micros)) * 1_000_000 == micros


@MANY
@given(st.integers(-(2**63) // 10_000, 2**63 // 10_000 - 1), st.sampled_from((1, 10, 100, 1000, 10_000, 1_000_000)))
def test_round_amounts_are_the_texts_of_their_decimals(units: int, step: int) -> None:
    micros = max(-(2**63), min(2**63 - 1, units * step))
    assert amount_text(micros) == str(plain_amount(micros))


@pytest.mark.parametrize(
    "micros",
    [0, 1, -1, 9_999, 10_000, -10_000, 999_999, 1_000_000, -1_000_000, 990_000, 2**63 - 1, -(2**63), -(2**63) + 5_808, 2**63 - 5_807],
)
def test_amounts_at_the_ends(micros: int) -> None:
    assert amount_text(micros) == str(plain_amount(micros))
    money = money_pb2.Money(currency_code="CNY", amount_micros=micros)
    assert resolved("Money", "amount", money) == amount_text(micros)


@MANY
@given(st.integers(-62135596900, 253402300900), st.integers(-5, 10**9 + 5))
def test_moments_are_the_texts_that_the_scalar_gives(seconds: int, nanos: int) -> None:
    stamp = Timestamp(seconds=seconds, nanos=nanos)
    scalar: Any = SCHEMA.type_map["DateTime"]
    try:
        moment = from_timestamp(stamp)
    except Invalid:
        with pytest.raises((Invalid, OverflowError)):
            moment_text(stamp)
        return
    assert moment_text(stamp) == time_text(stamp) == scalar.coerce_output_value(moment)
    assert len(time_text(stamp)) == len("2026-11-22T10:00:00.000Z")


@MANY
@given(st.dates())
def test_days_are_the_texts_that_the_scalar_gives(day: date) -> None:
    scalar: Any = SCHEMA.type_map["Date"]
    assert scalar.coerce_output_value(day) == str(date.fromisoformat(day.isoformat()))
