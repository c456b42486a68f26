"""Numbers that are kept of other records: told to who may read all that is counted, for a number tells of what it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from chassis.access.caller import Reach
from chassis.access.fields import records_in
from chassis.kernel.errors import NotAllowed

# What decides on what is counted: it follows the owner and the customer of the record on which it hangs.
DECIDING = ("owner_id", "team_id", "department_id", "customer_id")


@cache
def counts_of(descriptor: Descriptor) -> Mapping[str, str]:
    """Field that counts → the resource that it counts (`count_of` in the contract)."""
    found = {field.name: str(field.GetOptions().Extensions[annotations_pb2.traits].count_of) for field in descriptor.fields}
    return {name: resource for name, resource in found.items() if resource}


@cache
def _holds(descriptor: Descriptor, above: frozenset[str] = frozenset()) -> bool:
    """Whether a message may hold a record that counts others."""
    if counts_of(descriptor):
        return True
    deeper = above | {descriptor.full_name}
    below = (field.message_type for field in descriptor.fields if field.message_type)
    return any(message.full_name not in deeper and _holds(message, deeper) for message in below)


def limit_counts(message: Message, reach: Callable[[str], Reach], whole: Callable[[str], bool]) -> None:
    """Take out of an answer, in place, the numbers that its reader does not get. `whole` says of a record's id whether it is shown by
    something that names its fields, which is then what counts."""
    if not _holds(message.DESCRIPTOR):
        return
    for _, record in records_in(message):
        for name, resource in counts_of(record.DESCRIPTOR).items():
            if record.HasField(name) and not whole(record.id) and not _admitted(record, resource, reach):
                record.ClearField(name)


def _admitted(record: Any, resource: str, reach: Callable[[str], Reach]) -> bool:
    try:
        found = reach(resource)
    except NotAllowed:
        return False
    document = {name: getattr(record, name) for name in DECIDING if name in record.DESCRIPTOR.fields_by_name and getattr(record, name)}
    return found.everything or found.admits(document)
