"""Refusals of departments in the graph's own spelling: fields as the schema names them, records by the ids that the graph gave."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.message import Message

from chassis.kernel.errors import CrmError
from chassis.kernel.words import RESOURCES
from chassis.rpc.documents import traits
from gateway.departments.ids import to_global

_SNAKE = re.compile(r"(?<![A-Za-z0-9_])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![A-Za-z0-9_])")
_QUOTED = re.compile(r"«([0-9a-z][0-9a-z-]{0,63})»")
# What the graph calls otherwise than the contracts do.
_OTHERWISE = {"page_token": "after", "page_size": "first", "amount_micros": "amount", "update_mask": "input"}


def camel(name: str) -> str:
    """snake_case → camelCase; dots and brackets stay."""
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name)


def graph_name(path: str) -> str:
    """A field of a contract, or a path of such, as the graph has it: "lines[0].unit_price" → "lines[0].unitPrice"."""
    return ".".join(camel(_otherwise(part)) for part in path.split("."))


def _otherwise(part: str) -> str:
    name, bracket, rest = part.partition("[")
    return _OTHERWISE.get(name, name) + bracket + rest


@cache
def _names() -> frozenset[str]:
    """Every name of more than one word that a contract gives a field; what policies call resources stays as policies have it."""
    comments = json.loads((Path(annotations_pb2.__file__).parents[3] / "comments.json").read_text())
    last = (name.rpartition(".")[2] for name in comments)
    return frozenset(name for name in last if _SNAKE.fullmatch(name) and name not in RESOURCES)


def spelled(error: CrmError, request: Message | None = None) -> CrmError:
    """The refusal, changed in place: its sentences, parameters and details speak the graph. `request` is what was refused, where a department
    did so; done twice it is as done once."""
    ids = dict(_ids(request)) if request is not None else {}
    for one in (error, *error.also):
        one.message = _sentence(one.message, ids)
        one.params = {name: _value(value, ids) for name, value in one.params.items()}
        one.details = _details(one.details, ids)
    return error


def _sentence(text: str, ids: dict[str, str]) -> str:
    text = _SNAKE.sub(lambda found: graph_name(found.group()) if found.group() in _names() else found.group(), text)
    return _QUOTED.sub(lambda found: f"«{ids.get(found.group(1), found.group(1))}»", text)


def _value(value: str, ids: dict[str, str]) -> str:
    return ids.get(value) or (graph_name(value) if value in _names() else value)


def _details(value: Any, ids: dict[str, str]) -> Any:
    """Details with their keys, and the names and ids among their values, in the graph's spelling."""
    if isinstance(value, dict):
        return {camel(name): _details(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [_details(one, ids) for one in value]
    return _value(value, ids) if isinstance(value, str) else value


def _ids(message: Message) -> Iterator[tuple[str, str]]:
    """Every id that a request names, with the graph's for it."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry or field.message_type.full_name.startswith("google.protobuf."):
                continue
            for part in value if field.is_repeated else (value,):
                yield from _ids(part)
        elif noun := traits(field).refers_to:
            for identity in value if field.is_repeated else (value,):
                yield identity, to_global(noun, identity)
