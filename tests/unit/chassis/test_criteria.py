"""Criteria that make no sense are refused with the place and the mending, by both compilers alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.kernel.criteria import Field, to_predicate, to_query
from chassis.kernel.errors import Invalid

SCHEMA = {
    "name": Field("name", "text"),
    "state": Field("state", "enum", frozenset(["OPEN", "WON"])),
    "count": Field("count", "number"),
    "amount": Field("amount.amount_micros", "money"),
    "pinned": Field("pinned", "flag"),
    "time": Field("time", "time"),
    "tags": Field("tags", "text", repeated=True),
}


def _is(field: str, operator: str, *values: dict[str, Any]) -> dict[str, Any]:
    return {"condition": {"field": field, "operator": operator, "values": list(values)}}


def _deep(levels: int) -> dict[str, Any]:
    node = _is("count", "EQUALS", {"number": 1})
    for _ in range(levels - 1):
        node = {"negated": node}
    return node


WRONG = {
    "unknown field": _is("secret", "EQUALS", {"text": "a"}),
    "no field": {"condition": {"operator": "EQUALS", "values": [{"text": "a"}]}},
    "path for a field": _is("amount.amount_micros", "EQUALS", {"number": 1}),
    "operator of the database": _is("$where", "EQUALS", {"text": "1"}),
    "wrong kind of value": _is("count", "EQUALS", {"text": "1"}),
    "empty value": _is("count", "EQUALS", {}),
    "no values": _is("count", "EQUALS"),
    "two values": _is("count", "EQUALS", {"number": 1}, {"number": 2}),
    "mixed values": _is("count", "IN", {"number": 1}, {"text": "2"}),
    "more than 100 values": _is("count", "IN", *({"number": number} for number in range(101))),
    "set compared with text": _is("name", "IS_SET", {"text": "a"}),
    "beginning of a number": _is("count", "STARTS_WITH", {"number": 1}),
    "part of a number": _is("count", "CONTAINS", {"number": 1}),
    "part of an enum": _is("state", "CONTAINS", {"text": "O"}),
    "beginning of an enum": _is("state", "STARTS_WITH", {"text": "O"}),
    "order of enums": _is("state", "LESS", {"text": "OPEN"}),
    "order of flags": _is("pinned", "GREATER", {"flag": True}),
    "order of lists": _is("tags", "LESS", {"text": "a"}),
    "unknown enum value": _is("state", "IN", {"text": "OPEN"}, {"text": "LOST"}),
    "no operator": _is("name", "", {"text": "a"}),
    "unknown operator": _is("name", "MATCHES", {"text": "a"}),
    "unknown operator on a number": _is("count", "MODULO", {"number": 3}),
    "currency of what is no amount": {"condition": {**_is("count", "LESS", {"number": 1})["condition"], "currency_code": "CNY"}},
    "empty all": {"all": {"items": []}},
    "empty any": {"any": {}},
    "empty item": {"all": {"items": [{}]}},
    "empty negation": {"negated": {}},
    "unknown node": {"none": {"items": [_is("count", "EQUALS", {"number": 1})]}},
    "seven levels": _deep(7),
    "51 conditions": {"any": {"items": [_is("count", "EQUALS", {"number": 1})] * 51}},
}


@pytest.mark.parametrize("criteria", WRONG.values(), ids=WRONG)
def test_senseless_criteria_are_refused_by_both_compilers(criteria: dict[str, Any]) -> None:
    told = []
    for compiler in (to_query, to_predicate):
        with pytest.raises(Invalid) as refusal:
            compiler(criteria, SCHEMA)
        assert (refusal.value.code, refusal.value.field) == ("CRITERIA_INVALID", "filter")
        told.append(refusal.value.message)
    assert told[0] == told[1]


def test_six_levels_and_fifty_conditions_are_allowed() -> None:
    fifty = {"any": {"items": [_is("count", "EQUALS", {"number": 1})] * 50}}
    assert to_predicate(_deep(6), SCHEMA)({"count": 1}) is False  # five negations
    assert to_predicate(fifty, SCHEMA)({"count": 1}) is True
    assert len(to_query(fifty, SCHEMA)["$or"]) == 50


def test_no_criteria_admit_everything() -> None:
    assert to_query(None, SCHEMA) == {}
    assert to_query({}, SCHEMA) == {}
    assert to_predicate(None, SCHEMA)({}) is True


def test_refusal_names_what_may_be_used() -> None:
    with pytest.raises(Invalid, match="«secret» is not a field to filter by; use one of amount, count, name, pinned, state, tags, time"):
        to_query(WRONG["unknown field"], SCHEMA)
    with pytest.raises(Invalid, match="«LOST» is no value of «state»; use one of OPEN, WON"):
        to_query(WRONG["unknown enum value"], SCHEMA)


def test_query_says_what_was_meant() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    greater = {"amount.amount_micros": {"$gt": 5}}
    assert to_query(_is("amount", "GREATER", {"number": 5}), SCHEMA) == {"$and": [greater, {"amount.currency_code": "CNY"}]}
    dollars = _is("amount", "GREATER", {"number": 5})
    dollars["condition"]["currency_code"] = "USD"
    assert to_query(dollars, SCHEMA) == {"$and": [greater, {"amount.currency_code": "USD"}]}
    assert to_query(_is("amount", "IS_SET", {"flag": True}), SCHEMA) == {"amount.amount_micros": {"$nin": [None, []]}}
    assert to_query(_is("pinned", "EQUALS", {"flag": False}), SCHEMA) == {"pinned": {"$in": [False, None]}}
    assert to_query(_is("name", "STARTS_WITH", {"text": "ab"}), SCHEMA) == {"name": {"$gte": "ab", "$lt": "ac"}}
    part = {"$expr": {"$gte": [{"$indexOfCP": ["$name", {"$literal": "$ab"}]}, 0]}}
    assert to_query(_is("name", "CONTAINS", {"text": "$ab"}), SCHEMA) == part
    assert to_query({"negated": _is("time", "LESS", {"time": moment})}, SCHEMA) == {"$nor": [{"time": {"$lt": moment}}]}
