"""A request is judged by the rules of its contract, at a cost that its sender does not choose."""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.kernel.errors import Invalid
from chassis.kernel.rules import rule_of, sentence
from chassis.rpc import forms
from chassis.rpc.errors import MOST_VIOLATIONS

MOST_ROWS = 500  # of a batch whose rows are judged one by one
# In a message of more bytes the first broken rule is told alone: to find them all costs as many as there are.
JUDGED_WHOLE_BYTES = 8_192


@cache
def validator() -> Any:
    """The contracts' rules. Loaded by servers: who only asks others does without its 10 MB."""
    import protovalidate

    return protovalidate.Validator()


def bound(message: Message, path: str = "") -> None:
    """Refuse a list that is longer than its contract has it, before anything reads what is in it. Raises Invalid."""
    for field, most in _lists(message.DESCRIPTOR):
        value = getattr(message, field.name)
        if not field.is_repeated:
            if message.HasField(field.name):
                bound(value, f"{path}{field.name}.")
            continue
        if most and len(value) > most:
            raise _of_rule(f"{path}{field.name}", rule_of("repeated.max_items", most), "")
        inner = field.message_type
        if inner is not None and not inner.GetOptions().map_entry and _lists(inner):
            for index, part in enumerate(value):
                bound(part, f"{path}{field.name}[{index}].")


def validate(message: Message, *, whole: bool = True) -> None:
    """Refuse a message that breaks rules of its contract: the first is the refusal, the others are told with it, as many as travel. Without
    `whole`, and in long messages, the first alone is looked for."""
    found = validator().collect_violations(message, fail_fast=True)
    whole = whole and message.ByteSize() <= JUDGED_WHOLE_BYTES
    if found and whole:
        found = validator().collect_violations(message)
    broken = [_broken(one) for one in found[:MOST_VIOLATIONS]]
    named = {one.field for one in broken}
    if whole or not broken:
        more = (_of_rule(path, {"rule": rule}, "") for path, rule in forms.broken(message) if path not in named)
        broken = [one for one, _ in zip(chain(broken, more), range(MOST_VIOLATIONS), strict=False)]
    if broken:
        broken[0].also = tuple(broken[1:])
        raise broken[0]


@cache
def _lists(descriptor: Descriptor, above: frozenset[str] = frozenset()) -> tuple[tuple[FieldDescriptor, int], ...]:
    """The lists of a message, each with how many it may have (0 for any number), and the fields of messages that have lists."""
    inside, found = above | {descriptor.full_name}, list[tuple[FieldDescriptor, int]]()
    for field in descriptor.fields:
        inner = field.message_type
        if field.is_repeated:
            found.append((field, most_of(field)))
        elif inner is not None and (inner.full_name in inside or _lists(inner, inside)):
            found.append((field, 0))
    return tuple(found)


def most_of(field: FieldDescriptor) -> int:
    """How many a list may have by its contract; 0 for any number."""
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]
    return int(rules.repeated.max_items or rules.map.max_pairs) or (MOST_ROWS if rules.ignore == validate_pb2.IGNORE_ALWAYS else 0)


def _broken(violation: Any) -> Invalid:
    """The refusal of what protovalidate found, in words that name no regular expression."""
    proto = violation.proto
    path = _path(proto.field.elements if proto.field else ())
    return _of_rule(path, rule_of(proto.rule_id, violation.rule_value, proto.message), proto.message)


def _of_rule(path: str, params: dict[str, str], otherwise: str) -> Invalid:
    return Invalid(f"{path or 'the request'}: {sentence(params) or otherwise}", field=path, params=params)


def _path(elements: Any) -> str:
    path = ""
    for element in elements:
        path += f".{element.field_name}" if path else element.field_name
        subscript = getattr(element.subscript, "value", element.subscript)
        if subscript is not None:
            path += f"[{subscript}]"
    return path
