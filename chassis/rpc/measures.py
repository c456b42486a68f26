"""Which fields of a record may be grouped by, and of which something is reckoned: as its contract says, for departments and the graph alike."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from chassis.kernel.groups import DATE, MONEY, NUMBER, TIME
from chassis.rpc.documents import schema_of, traits

_NUMBERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_DOUBLE}
_MESSAGES = {"google.protobuf.Timestamp": TIME, "crm.common.v1.Money": MONEY}
_PLAIN = frozenset(("enum", "flag", "text", TIME))
# A group by the id would be one record. Archived records are in no group that does not ask for them, and a version is no amount of anything.
_NEVER = frozenset(("id", "archive_time", "version"))


@cache
def groupable(descriptor: Descriptor) -> dict[str, str]:
    """Fields by whose values, or periods, records may be grouped, each with its kind: enum, flag, text, day or time. Those by which lists can be
    filtered, so that what is behind a group can be listed."""
    found = schema_of(descriptor)
    return {
        name: DATE if field.day else field.kind
        for name, field in found.items()
        if field.kind in _PLAIN and not field.repeated and name not in _NEVER and _own(descriptor.fields_by_name[name])
    }


@cache
def measurable(descriptor: Descriptor) -> dict[str, str]:
    """Fields of whose values something is reckoned, each with its kind: number, money, day or time."""
    found = {field.name: _kind(field) for field in descriptor.fields if field.name not in _NEVER and _own(field)}
    return {name: kind for name, kind in found.items() if kind}


def _own(field: FieldDescriptor) -> bool:
    """Whether a field tells the record's own values to whoever reads it: no personal ones, and none of other records."""
    return not (field.is_repeated or traits(field).personal or traits(field).copy_of)


def _kind(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return _MESSAGES.get(field.message_type.full_name, "")
    if traits(field).date:
        return DATE
    return NUMBER if field.cpp_type in _NUMBERS and field.enum_type is None else ""
