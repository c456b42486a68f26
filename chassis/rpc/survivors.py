"""A question or command that names a customer who was merged into another one is meant of that one. It is changed at one door, before any handler
sees it; the answer of a question by keys comes under the keys that were asked.

What commands name the customer record itself (CustomerService) is not: who changes what is part of another one is told so.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from chassis.rpc.documents import traits
from chassis.storage.aliases import CUSTOMER_ID, Aliases

OWNER = "CustomerService"
_KEYS = (CUSTOMER_ID, "customer_ids")
_PARENTS = ("parent_id", "parent_ids")


def meant(method: MethodDescriptor, request: Message, aliases: Aliases) -> Message:
    """The request as it is meant: itself where it names no alias, else a changed copy."""
    if not len(aliases) or not _places(method.input_type):
        return request
    aside = CUSTOMER_ID if method.containing_service.name == OWNER else ""
    if not _named(request, aliases, aside, change=False):
        return request
    copy = type(request)()
    copy.CopyFrom(request)
    _named(copy, aliases, aside, change=True)
    return copy


def as_asked(asked: Any, request: Any, answer: Any) -> None:
    """Give an answer its groups, in place, under the keys that were asked, each once and in their order."""
    if "groups" not in answer.DESCRIPTOR.fields_by_name:
        return
    field = next((name for name in ("customer_ids", "parent_ids") if name in asked.DESCRIPTOR.fields_by_name), None)
    if field is None:
        return
    found = {group.key: group for group in answer.groups}
    wanted: dict[str, Any] = {}
    for key, counts in zip(getattr(asked, field), getattr(request, field), strict=True):
        wanted[key] = type(found[counts])()
        wanted[key].CopyFrom(found[counts])
        wanted[key].key = key
    del answer.groups[:]
    answer.groups.extend(wanted.values())


@cache
def _places(descriptor: Descriptor, above: frozenset[str] = frozenset()) -> tuple[FieldDescriptor, ...]:
    """The fields of a message that name customers, and those whose messages do."""
    found = []
    for field in descriptor.fields:
        inner = field.message_type
        if inner is not None:
            deeper = above | {descriptor.full_name}
            if not inner.GetOptions().map_entry and inner.full_name not in deeper and _places(inner, deeper):
                found.append(field)
        elif field.name in _KEYS or (field.name in _PARENTS and traits(field).refers_to == "Customer"):
            found.append(field)
    return tuple(found)


def _named(message: Any, aliases: Aliases, aside: str, *, change: bool) -> bool:
    """Whether a message names an alias; changed to what it leads to, in place, where that is wanted."""
    found = False
    for field in _places(message.DESCRIPTOR):
        if field.name == aside:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None:
            if field.is_repeated:
                for one in value:
                    found = _named(one, aliases, "", change=change) or found
            elif message.HasField(field.name):
                found = _named(value, aliases, "", change=change) or found
            continue
        given = list(value) if field.is_repeated else [value]
        counts = [aliases.resolve(one) for one in given]
        if counts != given:
            found = True
            if change and field.is_repeated:
                value[:] = counts
            elif change:
                setattr(message, field.name, counts[0])
    return found
