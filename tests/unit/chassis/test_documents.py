"""Document ↔ message: inverse for every noun of the contract; hostile messages are refused and never break the conversion."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import crm
import pytest
from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid
from chassis.rpc.documents import enum_names, enum_numbers, from_timestamp, message_class, to_document, to_message

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.integers(-62_135_596_800_000, 253_402_300_799_999).map(lambda number: EPOCH + timedelta(milliseconds=number))


def _nouns() -> list[Descriptor]:
    found = []
    root = Path(next(iter(crm.__path__)))
    for path in sorted(root.glob("*/v1/*_pb2.py")):
        module = importlib.import_module(f"crm.{path.parent.parent.name}.v1.{path.stem}")
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            if descriptor.GetOptions().Extensions[annotations_pb2.resource] or "_events_" in path.name:
                found.append(descriptor)
    return sorted(found, key=lambda descriptor: descriptor.full_name)


NOUNS = _nouns()
PLAIN = {
    FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_DOUBLE,
}  # fmt: skip


def _one(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from(sorted(enum_numbers(field.enum_type)))
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return moments
        return documents(field.message_type, depth + 1)
    whole = {FieldDescriptor.CPPTYPE_INT32: 31, FieldDescriptor.CPPTYPE_INT64: 63}
    if field.cpp_type in whole:
        bits = whole[field.cpp_type]
        return st.integers(-(2**bits), 2**bits - 1).filter(lambda number: number != 0 or field.name != "version")
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return st.floats(allow_nan=False)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(min_size=0 if field.has_presence else 1, max_size=8)
    return st.text(min_size=0 if field.has_presence else 1, max_size=8)


def documents(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Documents as the store holds them: plain booleans and numbers always, everything else at will."""
    required, optional = {}, {}
    for field in descriptor.fields:
        name = "_id" if field.name == "id" else field.name
        if field.message_type is not None and depth > 2:
            continue
        one = _one(field, depth)
        if field.is_repeated:
            optional[name] = st.lists(one, min_size=1, max_size=3)
        elif field.cpp_type in PLAIN and not field.has_presence and field.name != "version":
            required[name] = one
        else:
            optional[name] = one
    return st.fixed_dictionaries(required, optional=optional).map(lambda found: _one_of_each(descriptor, found))


def _one_of_each(descriptor: Descriptor, document: dict[str, Any]) -> dict[str, Any]:
    """The document with at most one member of every oneof."""
    gone = {field.name for union in descriptor.oneofs for field in [field for field in union.fields if field.name in document][1:]}
    return {name: value for name, value in document.items() if name not in gone}


def test_the_contract_has_nouns() -> None:
    assert {"crm.customer.v1.Customer", "crm.sales.v1.Order", "crm.support.v1.Ticket"} <= {noun.full_name for noun in NOUNS}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_document_comes_back_from_its_message_and_from_the_wire(data: st.DataObject) -> None:
    descriptor = data.draw(st.sampled_from(NOUNS), "noun")
    document = data.draw(documents(descriptor), "document")
    message = to_message(document, descriptor)
    assert to_document(message) == document
    assert to_document(message_class(descriptor).FromString(message.SerializeToString())) == document


def test_what_the_message_does_not_know_stays_behind_and_unknown_enum_names_read_as_not_given() -> None:
    customer = next(noun for noun in NOUNS if noun.full_name == "crm.customer.v1.Customer")
    message = to_message({"_id": "a", "search_terms": ["x"], "lifecycle": "FROM_THE_FUTURE", "name": None}, customer)
    assert to_document(message) == {"_id": "a"}


def test_enum_names_lose_their_prefix_and_zero() -> None:
    customer = next(noun for noun in NOUNS if noun.full_name == "crm.customer.v1.Customer")
    assert enum_names(customer.fields_by_name["lifecycle"].enum_type) == {1: "CONTACT", 2: "CONVERT", 3: "MAINTAIN", 4: "CHURN"}


@settings(max_examples=150)
@given(moment=moments)
def test_moment_is_exact_to_the_millisecond(moment: datetime) -> None:
    order = next(noun for noun in NOUNS if noun.full_name == "crm.sales.v1.Order")
    message: Any = to_message({"order_time": moment}, order)
    assert message.order_time.ToDatetime(UTC) == moment
    assert from_timestamp(message.order_time) == moment


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=253_402_300_800), Timestamp(seconds=10**18), Timestamp(seconds=-(10**12)), Timestamp(seconds=-62_135_596_801),
        Timestamp(nanos=-1), Timestamp(nanos=1_000_000_000),
    ],
)  # fmt: skip
def test_moment_that_no_calendar_has_is_refused_as_invalid(stamp: Timestamp) -> None:
    with pytest.raises(Invalid):
        from_timestamp(stamp)
