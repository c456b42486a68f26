"""A question or command that names a customer who was merged into another one is meant of that one. It is changed at one door, before any handler
sees it; the answer of a question by keys comes under the keys that were asked.

What commands name the customer record itself (CustomerService) is not: who changes what is part of another one is told so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from chassis.rpc.documents import traits
from chassis.storage.aliases import CUSTOMER_ID, NOTHING, Aliases

OWNER = "CustomerService"
_KEYS = (CUSTOMER_ID, "customer_ids")
_PARENTS = ("parent_id", "parent_ids")


def meant(method: MethodDescriptor, request: Message, aliases: Aliases) -> tuple[Message, Mapping[str, str]]:
    """The request as it is meant: itself where it names no alias, else a changed copy; and by which alias it named each customer, where it did so
    by one id alone."""
    if not len(aliases) or not _places(method.input_type):
        return request, NOTHING
    aside = CUSTOMER_ID if method.containing_service.name == OWNER else ""
    named: dict[str, str] = {}
    _named(request, aliases, aside, named, change=False)
    if all(one == counts for one, counts in named.items()):
        return request, NOTHING
    copy = type(request)()
    copy.CopyFrom(request)
    _named(copy, aliases, aside, named, change=True)
    several = Counter(named.values())
    return copy, {counts: one for one, counts in named.items() if several[counts] == 1 and one != counts}


def row_meant(asked: Any, row: Any) -> Mapping[str, str]:
    """By which alias a row of a batch, as it was sent, named each customer that it names as it is meant: of several rows each by its own."""
    if asked is row:
        return NOTHING
    names = [field.name for field in _places(row.DESCRIPTOR) if field.message_type is None and not field.is_repeated]
    return {getattr(row, name): getattr(asked, name) for name in names if getattr(row, name) != getattr(asked, name)}


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


def _named(message: Any, aliases: Aliases, aside: str, named: dict[str, str], *, change: bool) -> None:
    """Note the ids by which a message names customers, with what they lead to; with `change` they are changed to that, in place."""
    for field in _places(message.DESCRIPTOR):
        if field.name == aside:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None:
            for one in value if field.is_repeated else [value] if message.HasField(field.name) else []:
                _named(one, aliases, "", named, change=change)
            continue
        given = list(value) if field.is_repeated else [value]
        if not change:
            named |= {one: aliases.resolve(one) for one in given if one}
        elif field.is_repeated:
            value[:] = [named.get(one, one) for one in given]
        elif value:
            setattr(message, field.name, named[value])
