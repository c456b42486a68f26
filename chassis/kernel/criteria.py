"""One filter language with two compilers: a MongoDB query and a Python predicate that mean the same. Pure.

A criteria document mirrors `crm.common.v1.Criteria`: {"all": {"items": […]}}, {"any": …}, {"negated": …}, {"condition": …}. Its values may
count from now; then both mean a moment, and a third compiler tells when a document changes sides by time alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chassis.kernel import parts
from chassis.kernel.errors import Invalid
from chassis.kernel.money import HOME
from chassis.kernel.pages import value_at
from chassis.kernel.relative import MOST_DAYS, MOST_SECONDS, Relative, When

Criteria = Mapping[str, Any]
Predicate = Callable[[Mapping[str, Any]], bool]
# When, after a moment, a document comes in or goes out by time alone; None for never, or not within a hundred years.
Flips = Callable[[Mapping[str, Any], datetime], datetime | None]
_Judge = Callable[[Mapping[str, Any], When | None], bool]

DEEPEST = 6
MOST_CONDITIONS = 50
MOST_VALUES = 100
_ORDERED = {"LESS": "$lt", "LESS_OR_EQUAL": "$lte", "GREATER": "$gt", "GREATER_OR_EQUAL": "$gte"}
OPERATORS = ("EQUALS", "IN", *_ORDERED, "IS_SET", "STARTS_WITH", "CONTAINS")
_VALUE_OF = {"text": "text", "enum": "text", "number": "number", "money": "number", "flag": "flag", "time": "time", "sealed": "text"}


@dataclass(frozen=True)
class Field:
    """A field that criteria may name: its document path, kind (text, enum, number, money, flag, time, sealed) and enum values.

    A sealed one is found by its whole value only; `blind` gives what is stored for a value. `day` says that a text is one ("2026-11-30").
    A text with a `mark` is found by a part of it, however it is written: its terms are stored under the mark (chassis/kernel/parts.py); one
    without is a key, and compared as written.
    """

    path: str
    kind: str
    values: frozenset[str] = frozenset()
    repeated: bool = False
    blind: Callable[[str], str] | None = None
    day: bool = False
    mark: str = ""


Schema = Mapping[str, Field]


def refuse(why: str, rule: str = "", **told: object) -> Invalid:
    """The refusal of criteria that make no sense; a `rule` of chassis/kernel/rules.py says it in the reader's language."""
    params = {"rule": f"criteria.{rule}", **{name: str(value) for name, value in told.items()}} if rule else {}
    return Invalid(why, code="CRITERIA_INVALID", field="filter", params=params)


def to_query(criteria: Criteria | None, schema: Schema, when: When | None = None) -> dict[str, Any]:
    """The MongoDB filter at a moment; {} for no criteria. Raises Invalid with the place and the mending."""
    if not criteria:
        return {}
    _measure(criteria)
    return _query(criteria, schema, when)


def to_predicate(criteria: Criteria | None, schema: Schema, when: When | None = None) -> Predicate:
    """The test of one document at a moment; always true for no criteria. Raises as `to_query` does."""
    if not criteria:
        return lambda _: True
    _measure(criteria)
    judge = _predicate(criteria, schema)
    return lambda document: judge(document, when)


def to_flips(criteria: Criteria | None, schema: Schema, zone: str) -> Flips | None:
    """What tells when a document changes sides by time alone; None where no value counts from now. Raises as `to_query` does.

    From a moment until the one that it tells, and not longer, `to_predicate` answers the same.
    """
    if not criteria:
        return None
    _measure(criteria)
    judge, counting = _predicate(criteria, schema), list(_counting(criteria, schema))

    def flips(document: Mapping[str, Any], now: datetime) -> datetime | None:
        turns = {turn for field, value in counting for turn in value.turns(value_at(dict(document), field.path), zone, of_day=field.day)}
        inside = judge(document, When(now, zone))
        coming = sorted(turn for turn in turns if now < turn <= now + timedelta(seconds=MOST_SECONDS))
        return next((turn for turn in coming if judge(document, When(turn, zone)) is not inside), None)

    return flips if counting else None


def to_pending(criteria: Criteria, schema: Schema, when: When) -> dict[str, Any]:
    """The MongoDB filter of all documents that may change sides by time alone after a moment, and of few others; {} where no value counts
    from now."""
    found = [{field.path: {"$gte": value.from_which(when, of_day=field.day)}} for field, value in _counting(criteria, schema)]
    return {"$or": found} if found else {}


def named(criteria: Criteria | None) -> set[str]:
    """The fields that criteria name anywhere."""
    if not criteria:
        return set()
    if "condition" in criteria:
        return {str(criteria["condition"].get("field"))}
    return {name for child in _children(criteria) for name in named(child)}


def renamed(criteria: Criteria, fields: Collection[str], name: Callable[[str], str]) -> Criteria:
    """The same criteria, but the texts that conditions on the fields name go by another name."""
    if "condition" in criteria:
        condition = criteria["condition"]
        if condition.get("field") not in fields:
            return criteria
        values = [{**value, "text": name(value["text"])} if value.get("text") else value for value in condition.get("values", ())]
        return {**criteria, "condition": {**condition, "values": values}}
    if "negated" in criteria:
        return {**criteria, "negated": renamed(criteria["negated"], fields, name)}
    return {
        key: {**node, "items": [renamed(one, fields, name) for one in node.get("items", ())]} if key in ("all", "any") else node
        for key, node in criteria.items()
    }


def _measure(criteria: Criteria) -> None:
    conditions, level = 0, [criteria]
    for _ in range(DEEPEST):
        below: list[Criteria] = []
        for node in level:
            conditions += "condition" in node
            below.extend(_children(node))
        level = below
        if conditions > MOST_CONDITIONS:
            raise refuse(f"more than {MOST_CONDITIONS} conditions; use fewer, or OPERATOR_IN with several values")
    if level:
        raise refuse(f"deeper than {DEEPEST} levels; flatten the criteria")


def _children(node: Criteria) -> list[Criteria]:
    for name in ("all", "any"):
        if name in node:
            return list(node[name].get("items", ()))
    return [node["negated"]] if "negated" in node else []


def _counting(node: Criteria, schema: Schema) -> Iterator[tuple[Field, Relative]]:
    """The comparisons with values that count from now."""
    if "condition" in node:
        field, _, values = _checked(node["condition"], schema)
        yield from ((field, value) for value in values if isinstance(value, Relative))
    for child in _children(node):
        yield from _counting(child, schema)


def _query(node: Criteria, schema: Schema, when: When | None) -> dict[str, Any]:
    if "condition" in node:
        field, operator, values = _checked(node["condition"], schema)
        found = _condition_query(field, operator, values, when)
        if field.kind != "money" or operator == "IS_SET":
            return found
        return {"$and": [found, {_currency_of(field): _code(node["condition"])}]}
    parts = [_query(child, schema, when) for child in _children(node)]
    if not parts:
        raise refuse("a group without items; give at least one")
    if "negated" in node:
        return {"$nor": parts}
    return {"$and" if "all" in node else "$or": parts}


def _predicate(node: Criteria, schema: Schema) -> _Judge:
    if "condition" in node:
        field, operator, values = _checked(node["condition"], schema)
        test = _condition_predicate(field, operator, values)
        if field.kind != "money" or operator == "IS_SET":
            return test
        path, code = _currency_of(field), _code(node["condition"])
        return lambda document, when: value_at(dict(document), path) == code and test(document, when)
    parts = [_predicate(child, schema) for child in _children(node)]
    if not parts:
        raise refuse("a group without items; give at least one")
    if "negated" in node:
        inner = parts[0]
        return lambda document, when: not inner(document, when)
    if "all" in node:
        return lambda document, when: all(part(document, when) for part in parts)
    return lambda document, when: any(part(document, when) for part in parts)


def _currency_of(field: Field) -> str:
    return field.path.rpartition(".")[0] + ".currency_code"


def _code(condition: Mapping[str, Any]) -> str:
    """The currency that a condition compares."""
    return str(condition.get("currency_code") or HOME)


def _checked(condition: Mapping[str, Any], schema: Schema) -> tuple[Field, str, list[Any]]:
    name = condition.get("field", "")
    field = schema.get(name)
    if field is None:
        raise refuse(f"«{name}» is not a field to filter by; use one of {', '.join(sorted(schema))}", "field", name=name)
    operator = condition.get("operator", "")
    if operator not in OPERATORS:
        raise refuse(f"«{name}» has no operator; use one of {', '.join(OPERATORS)}")
    if condition.get("currency_code") and field.kind != "money":
        raise refuse(f"«{name}» is no amount and has no currency; leave currency_code out")
    kind = "flag" if operator == "IS_SET" else _VALUE_OF[field.kind]
    values = []
    for value in condition.get("values", ()):
        if "relative_seconds" in value or "relative_days" in value:
            values.append(_relative(name, field, operator, value))
            continue
        if set(value) != {kind}:
            raise refuse(f"«{name}» with {operator or 'no operator'} is compared with a {kind} value; got {', '.join(value) or 'none'}")
        values.append(value[kind])
    if not 1 <= len(values) <= (MOST_VALUES if operator == "IN" else 1):
        raise refuse(f"«{name}» with {operator} takes {'1 to 100 values' if operator == 'IN' else 'one value'}, not {len(values)}")
    _check_enum(name, field, operator, values)
    return field, operator, values


def _relative(name: str, field: Field, operator: str, value: Mapping[str, Any]) -> Relative:
    """A value that counts from now. Raises Invalid where it makes no sense."""
    kind = next(iter(value))
    if len(value) > 1:
        raise refuse(f"a value of «{name}» has {' and '.join(sorted(value))}; give one of them")
    if field.repeated or not (field.kind == "time" or field.day):
        raise refuse(
            f"«{name}» is no time, so {kind} says nothing about it; give a {_VALUE_OF[field.kind]} value", "no_time", name=name, kind=kind
        )
    if field.day and kind == "relative_seconds":
        raise refuse(f"«{name}» is a day and has no time; use relative_days", "day", name=name)
    if operator not in _ORDERED and (operator != "EQUALS" or kind == "relative_seconds"):
        also = " or EQUALS" if kind == "relative_days" else ""
        words = f"«{name}» with {operator} takes no {kind}; use {', '.join(_ORDERED)}{also}, and join several by «any»"
        raise refuse(words, "operator", name=name, operator=operator, kind=kind)
    most = MOST_DAYS if kind == "relative_days" else MOST_SECONDS
    if abs(value[kind]) > most:
        words = f"{kind} {value[kind]} of «{name}» lies more than a hundred years away; use -{most} to {most}"
        raise refuse(words, "far", name=name, kind=kind, most=most)
    return Relative(days=value[kind]) if kind == "relative_days" else Relative(seconds=value[kind])


def _check_enum(name: str, field: Field, operator: str, values: list[Any]) -> None:
    if field.kind == "sealed" and operator not in ("EQUALS", "IN", "IS_SET"):
        raise refuse(f"«{name}» is kept encrypted and found only by its whole value; use EQUALS, IN or IS_SET")
    if operator in ("STARTS_WITH", "CONTAINS") and field.kind != "text":
        raise refuse(f"«{name}» is no text; {operator} cannot be used")
    if operator in _ORDERED and (field.kind in ("flag", "enum") or field.repeated):
        raise refuse(f"«{name}» has no order; use EQUALS or IN")
    if field.kind == "enum" and operator != "IS_SET":
        unknown = [value for value in values if value not in field.values]
        if unknown:
            raise refuse(f"«{unknown[0]}» is no value of «{name}»; use one of {', '.join(sorted(field.values))}")


def _bounds(value: Relative, field: Field, operator: str, when: When | None) -> list[tuple[str, Any]]:
    if when is None:
        raise RuntimeError("criteria that count from now mean something at a moment only; give it")
    return value.bounds(operator, when, of_day=field.day)


def _condition_query(field: Field, operator: str, values: list[Any], when: When | None) -> dict[str, Any]:
    if isinstance(values[0], Relative):
        return {field.path: {_ORDERED.get(one, "$eq"): value for one, value in _bounds(values[0], field, operator, when)}}
    if field.blind and operator != "IS_SET":
        values = [field.blind(value) for value in values]
    value = values[0]
    if operator == "EQUALS":
        # A flag that was never set is stored as nothing and means false.
        return {field.path: {"$in": [False, None]}} if value is False else {field.path: value}
    if operator == "IN":
        wanted = [*values, None] if field.kind == "flag" and False in values else values
        return {field.path: {"$in": wanted}}
    if operator in _ORDERED:
        return {field.path: {_ORDERED[operator]: value}}
    if operator == "IS_SET":
        return {field.path: {"$nin": [None, []]}} if value else {field.path: {"$in": [None, []]}}
    return _starts_query(field, value) if operator == "STARTS_WITH" else _part_query(field, value)


def _starts_query(field: Field, value: str) -> dict[str, Any]:
    sought = parts.plain(value) if field.mark else value
    if not field.mark or not sought:
        return _prefix_query(field.path, sought, repeated=field.repeated)
    by_term = _term_query(parts.begins(field.mark, sought))
    if len(sought) <= parts.BEGINNING:
        return by_term
    return {"$and": [by_term, _prefix_query(f"{parts.PLAIN}.{field.path}", sought, repeated=field.repeated)]}


def _part_query(field: Field, value: str) -> dict[str, Any]:
    sought = parts.plain(value) if field.mark else value
    if not sought:
        return _prefix_query(field.path, "", repeated=field.repeated)
    if field.mark and len(sought) <= parts.LENGTH:
        return _term_query(parts.holds(field.mark, sought))
    path = f"{parts.PLAIN}.{field.path}" if field.mark else field.path
    held = _held_in(f"${path}", sought, repeated=field.repeated)
    return {"$and": [{parts.TERMS: {"$all": parts.all_of(field.mark, sought)}}, held]} if field.mark else held


def _held_in(path: str, sought: str, *, repeated: bool) -> dict[str, Any]:
    """What holds a text that is no pattern: the place is looked for, nothing is matched."""

    def within(text: str) -> dict[str, Any]:
        return {"$gte": [{"$indexOfCP": [text, {"$literal": sought}]}, 0]}

    if not repeated:
        return {"$expr": within(path)}
    return {"$expr": {"$anyElementTrue": [{"$map": {"input": {"$ifNull": [path, []]}, "in": within("$$this")}}]}}


def _term_query(beginning: str) -> dict[str, Any]:
    return _prefix_query(parts.TERMS, beginning, repeated=True)


def _prefix_query(path: str, prefix: str, *, repeated: bool) -> dict[str, Any]:
    bounds = _prefix_range(prefix)  # of a list, both bounds must hold for one and the same item
    return {path: {"$elemMatch": bounds} if repeated else bounds}


def _prefix_range(prefix: str) -> dict[str, Any]:
    """Texts beginning with the prefix as an index range; the upper bound is the next text of the same length."""
    for index in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[index])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1
            return {"$gte": prefix, "$lt": prefix[:index] + chr(following)}
    return {"$gte": prefix}


def _condition_predicate(field: Field, operator: str, values: list[Any]) -> _Judge:
    value, path = values[0], field.path
    if isinstance(value, Relative):
        return lambda document, when: all(
            _holds(value_at(dict(document), path), one, fixed) for one, fixed in _bounds(value, field, operator, when)
        )
    test = _fixed(field, operator, values)
    return lambda document, _: test(value_at(dict(document), path))


def _holds(found: Any, operator: str, value: Any) -> bool:
    return bool(found == value) if operator == "EQUALS" else _compare(found, operator, value)


def _fixed(field: Field, operator: str, values: list[Any]) -> Callable[[Any], bool]:
    """The test of a stored value by values that are the same at every moment."""
    value = values[0]
    if operator in ("EQUALS", "IN"):
        wanted = set(values) | ({None} if field.kind == "flag" and False in values else set())
        return lambda stored: _any_in(stored, wanted)
    if operator == "IS_SET":
        return lambda stored: (stored not in (None, [])) is value
    if operator in ("STARTS_WITH", "CONTAINS"):
        shown = parts.plain if field.mark else str
        sought, test = shown(value), str.startswith if operator == "STARTS_WITH" else str.__contains__
        return lambda stored: _any(stored, lambda found: isinstance(found, str) and test(shown(found), sought))
    return lambda stored: _compare(stored, operator, value)


def _any(found: Any, test: Callable[[Any], bool]) -> bool:
    return any(test(item) for item in found) if isinstance(found, list) else test(found)


def _any_in(found: Any, wanted: set[Any]) -> bool:
    return _any(found, lambda item: item in wanted)


def _compare(found: Any, operator: str, value: Any) -> bool:
    if found is None or isinstance(found, bool) or isinstance(found, (str, datetime)) != isinstance(value, (str, datetime)):
        return False
    if operator == "LESS":
        return bool(found < value)
    if operator == "LESS_OR_EQUAL":
        return bool(found <= value)
    return bool(found > value) if operator == "GREATER" else bool(found >= value)
