"""How a field of a record stands in the requests that set it."""

from __future__ import annotations

import re

from cli.standard.shape import record_parts
from cli.standard.text import Member

STANDARD = frozenset(part.name for part in record_parts())
_TRAITS = re.compile(r",? ?\(crm\.common\.v1\.traits\) = \{(.*?)\}$")
_STRICTER = re.compile(r"\b(min_len|min_items): \d+(, )?|\bnot_in: \[0\](, )?|\bunique: true(, )?")
_ALONE = re.compile(r"\(buf\.validate\.field\)\.(required = true|ignore = \w+|(repeated|string)\.(min_items|min_len) = \d+)(, )?")
_KEPT_TRAITS = re.compile(r'\b(refers_to: "\w+"|date: true|secret: true|names: true|form: \w+)')


def has(member: Member, behavior: str) -> bool:
    """Whether a record's field has the behavior, e.g. "REQUIRED"."""
    return f"BEHAVIOR_{behavior}" in member.options


def own(members: list[Member]) -> list[Member]:
    """The fields of a record that commands may set, by their names."""
    return [one for one in members if one.number and one.name not in STANDARD and not has(one, "OUTPUT_ONLY")]


def differs(asked: Member, kept: Member) -> str:
    """How a request's field contradicts the record's; "" where it only asks for more."""
    if asked.shape.removeprefix("optional ") != kept.shape.removeprefix("optional "):
        return f"is {asked.shape}, and {kept.shape} in the record"
    if _rules(asked.options) != _rules(kept.options):
        return f"has the rules «{_rules(asked.options)}», and the record «{_rules(kept.options)}»"
    marks = [set(_KEPT_TRAITS.findall(one.options)) for one in (asked, kept)]
    if marks[0] != marks[1]:
        return f"has the traits {sorted(marks[0])}, and the record {sorted(marks[1])}"
    return ""


def _rules(options: str) -> str:
    """The rules of a field without those by which a command asks for more: a value at all, no value twice."""
    left = _ALONE.sub("", _STRICTER.sub("", _TRAITS.sub("", options)))
    left = re.sub(r", ?(?=[}\]])|, $", "", left)
    left = re.sub(r"\(buf\.validate\.field\)\.\w+ = \{\}(, )?|, items: \{string: \{\}\}|items: \{string: \{\}\}", "", left)
    return re.sub(r"\.(\w+) = \{(\w+): (\d+)\}", r".\1.\2 = \3", left).strip(", ")


def in_create(kept: Member, number: int) -> str:
    """The line by which a create takes a record's field."""
    options = _plain(kept.options)
    if has(kept, "REQUIRED"):
        options = _needed(kept.shape, options)
    return _line(kept.shape, kept.name, number, options)


def in_update(kept: Member, number: int) -> str:
    """The line by which an update takes a record's field: not set means cleared where the mask names it."""
    plain = kept.shape.startswith(("repeated ", "optional ", "bool", "google.", "crm."))
    return _line(kept.shape if plain else f"optional {kept.shape}", kept.name, number, _plain(kept.options))


def _plain(options: str) -> str:
    found = _TRAITS.search(options)
    if not found:
        return options
    traits = ", ".join(_KEPT_TRAITS.findall(found[1]))
    rest = _TRAITS.sub("", options)
    return ", ".join(part for part in (rest, f"(crm.common.v1.traits) = {{{traits}}}" if traits else "") if part)


def _needed(shape: str, options: str) -> str:
    """Rules by which no command comes without a value."""
    if shape.startswith("repeated "):
        return _with(options, "(buf.validate.field).repeated.min_items = 1", r"\.repeated = \{", "min_items: 1, ")
    if shape == "string" and ".string = {" in options:
        return re.sub(r"\.string = \{", ".string = {min_len: 1, ", options, count=1)
    if ".enum = {defined_only: true" in options:
        return options.replace("defined_only: true", "defined_only: true, not_in: [0]", 1)
    return ", ".join(part for part in ("(buf.validate.field).required = true", options) if part)


def _with(options: str, alone: str, inside: str, more: str) -> str:
    if re.search(inside, options):
        return re.sub(inside, lambda found: found[0] + more, options, count=1)
    return ", ".join(part for part in (alone, options) if part)


def _line(shape: str, name: str, number: int, options: str) -> str:
    return f"  {shape} {name} = {number}{f' [{options}]' if options else ''};"
