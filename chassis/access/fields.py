"""Field permissions, in one place for every method: what an answer shows of each record in it, and what a command may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.access.caller import MASKED, READ, WRITE, not_settable
from chassis.kernel.masking import masked

Limits = Callable[[str], Mapping[str, int]]
# Beside the contract's own: without them a record is none, or its scope could not be decided.
KEPT = frozenset((
    "id", "version", "create_time", "update_time", "creator_id", "updater_id", "owner_id", "team_id", "department_id", "archive_time",
    "customer_id", "state", "resource", "occur_time",
))  # fmt: skip


@cache
def kept_of(descriptor: Descriptor) -> frozenset[str]:
    """The fields that whoever sees a record at all sees of it: what is kept of every record, and without which this one is none."""
    return KEPT | {field.name for field in descriptor.fields if not can_lack(field)}


def stands(field: FieldDescriptor) -> bool:
    """Whether whoever sees the message sees this field of it: nothing is stored or told without it, and no role or contract takes it away."""
    kept = not resource_of(field.containing_type) or field.name in KEPT
    return kept and annotations_pb2.BEHAVIOR_REQUIRED in _trait(field).behaviors


def can_lack(field: FieldDescriptor) -> bool:
    """Whether a record without the field is still one: it may be unset, empty, or a text without a form."""
    return field.has_presence or field.is_repeated or is_maskable(field)


def resource_of(descriptor: Descriptor) -> str:
    """The resource whose record a message is; "" for none."""
    return str(descriptor.GetOptions().Extensions[annotations_pb2.resource])


def limit_answer(message: Message, limits: Limits) -> None:
    """Take out of an answer, in place, what its reader does not get: hidden fields are cleared, masked texts are masked."""
    found = {resource: limits(resource) for resource in _resources(message.DESCRIPTOR)}
    if not any(found.values()):
        return
    for resource, record in records_in(message):
        for name, level in found[resource].items():
            if level < READ:
                _reduce(record, name, level)


def refuse_writes(message: Message, row: Descriptor | None, limits: Mapping[str, int]) -> None:
    """Refuse a command that names a field which its sender may not write. `row` is the record's type, for batches of whole records."""
    if not limits:
        return
    for path, name in _named(message, row):
        if limits.get(name, WRITE) < WRITE:
            raise not_settable(name, path)


def told(value: Any, level: int, field: FieldDescriptor | None) -> Any:
    """A value as somebody with this much of its field gets it, in a history."""
    if level >= READ or value is None:
        return value
    return masked(value) if level == MASKED and isinstance(value, str) and field and is_maskable(field) else None


def is_maskable(field: FieldDescriptor) -> bool:
    """Whether a part of a value is one: a text without a form. A masked date or id would be none."""
    return field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not _trait(field).date and not _trait(field).refers_to


def _trait(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[annotations_pb2.traits]


@cache
def _plan(descriptor: Descriptor) -> tuple[str, tuple[tuple[FieldDescriptor, Descriptor], ...]]:
    """The resource of a message, and its fields below which records may lie."""
    inner = tuple((field, field.message_type) for field in descriptor.fields if field.message_type and _holds(field.message_type, ()))
    return resource_of(descriptor), inner


@cache
def _resources(descriptor: Descriptor) -> frozenset[str]:
    """The resources whose records a message may hold."""
    resource, inner = _plan(descriptor)
    return frozenset((resource,) if resource else ()).union(*(_resources(below) for _, below in inner))


def _holds(descriptor: Descriptor, seen: tuple[str, ...]) -> bool:
    if descriptor.full_name in seen:
        return False
    if resource_of(descriptor):
        return True
    deeper = (*seen, descriptor.full_name)
    return any(_holds(field.message_type, deeper) for field in descriptor.fields if field.message_type)


def records_in(message: Any) -> Iterator[tuple[str, Any]]:
    resource, inner = _plan(message.DESCRIPTOR)
    if resource:
        yield resource, message
    for field, _ in inner:
        if field.is_repeated:
            for item in getattr(message, field.name):
                yield from records_in(item)
        elif message.HasField(field.name):
            yield from records_in(getattr(message, field.name))


def _reduce(record: Any, name: str, level: int) -> None:
    field = record.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        return
    if level == MASKED and is_maskable(field):
        value = getattr(record, name)
        if field.is_repeated:
            value[:] = [masked(item) for item in value]
        elif value:
            setattr(record, name, masked(value))
        return
    record.ClearField(name)


def _named(message: Any, row: Descriptor | None) -> Iterable[tuple[str, str]]:
    """(path, name) of each field that a command sets: its mask's, or those given; of whole records, theirs."""
    fields = message.DESCRIPTOR.fields_by_name
    if "update_mask" in fields:
        return [("update_mask", path.split(".")[0]) for path in message.update_mask.paths]
    found = [(field.name, _trait(field).sets or field.name) for field, _ in message.ListFields()]
    for field, value in message.ListFields():
        if row is not None and field.message_type is row and field.is_repeated:
            found += [(f"{field.name}[{i}].{inner.name}", inner.name) for i, item in enumerate(value) for inner, _ in item.ListFields()]
    return found
