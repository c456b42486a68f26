"""Criteria for MongoDB and criteria for Python agree on every document, against a real mongod."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from chassis.kernel import parts
from chassis.kernel.criteria import Field, to_flips, to_pending, to_predicate, to_query
from chassis.kernel.relative import When
from tests.support.installation import Engines
from tests.unit.chassis import test_relative_criteria as relative

SCHEMA = {
    "name": Field("name", "text"),
    "state": Field("state", "enum", frozenset(["OPEN", "WON", "LOST"])),
    "count": Field("count", "number"),
    "share": Field("share", "number"),
    "amount": Field("amount.amount_micros", "money"),
    "pinned": Field("pinned", "flag"),
    "time": Field("time", "time"),
    "tags": Field("tags", "text", repeated=True),
    "title": Field("title", "text", mark="8"),
    "words": Field("words", "text", repeated=True, mark="80"),
    "roles": Field("roles", "enum", frozenset(["A", "B", "C"]), repeated=True),
}
MARKS = {"title": "8", "words": "80"}
letters = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "ba",
    "z",
    "A",
    "é",
    "中",
    "中文",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "😀",
    "\U0010ffff",
    "a\U0010ffff",
    "臺灣",
    "台湾电子",
    "ＡＢＣ",
    "Straße",
    "café",
    "a.c",
    "$a",
    "x" * 39 + "yz",
]
texts = st.one_of(st.sampled_from(letters), st.text(max_size=3), st.text("abcA臺台é.$", max_size=12))
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([-(2**63), 2**63 - 1, 2**53, 2**53 + 1, 10**15]))
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
moments = st.one_of(
    st.integers(-3, 3).map(lambda number: EPOCH + timedelta(milliseconds=number)), st.sampled_from([datetime(1960, 5, 5, tzinfo=UTC)])
)
STORED: dict[str, st.SearchStrategy[Any]] = {
    "name": texts, "state": st.sampled_from(["OPEN", "WON", "LOST", "FROM_THE_FUTURE"]), "count": numbers,
    "share": st.one_of(st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.5, -3.0, 1e300, float("inf")]), st.integers(-3, 3)),
    "amount": st.one_of(st.none(), st.fixed_dictionaries({"currency_code": st.just("CNY")}, optional={"amount_micros": numbers})),
    "title": texts, "words": st.lists(texts, max_size=3), "pinned": st.booleans(),
    "time": moments, "tags": st.lists(texts, max_size=3), "roles": st.lists(st.sampled_from("ABC"), max_size=3),
}  # fmt: skip
documents = st.fixed_dictionaries({}, optional={name: st.one_of(st.none(), value) for name, value in STORED.items()})
_EXACT, _ORDER = ["EQUALS", "IN", "IS_SET"], ["LESS", "LESS_OR_EQUAL", "GREATER", "GREATER_OR_EQUAL"]
_OPERATORS = {
    "text": [*_EXACT, *_ORDER, "STARTS_WITH", "CONTAINS"],
    "number": [*_EXACT, *_ORDER],
    "money": [*_EXACT, *_ORDER],
    "time": [*_EXACT, *_ORDER],
}
_ASKED = {"text": ("text", texts), "number": ("number", numbers), "money": ("number", numbers), "time": ("time", moments)}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(SCHEMA)))
    field = SCHEMA[name]
    allowed = _OPERATORS.get(field.kind, _EXACT)
    operator = draw(st.sampled_from([found for found in allowed if not (field.repeated and found in _ORDER)]))
    kind, values = _ASKED.get(field.kind, ("text", st.sampled_from(sorted(field.values) or ["x"])))
    if operator == "IS_SET" or field.kind == "flag":
        kind, values = "flag", st.booleans()
    given_values = draw(st.lists(values, min_size=1, max_size=3 if operator == "IN" else 1))
    return {"condition": {"field": name, "operator": operator, "values": [{kind: value} for value in given_values]}}


def _nest(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        lists.map(lambda items: {"all": {"items": items}}), lists.map(lambda items: {"any": {"items": items}}),
        inner.map(lambda item: {"negated": item}),
    )  # fmt: skip


criteria = st.one_of(conditions(), _nest(conditions()), _nest(_nest(conditions())))


@pytest.fixture(scope="module")
def collection(engines: Engines) -> Iterator[Collection[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(engines.mongo_uri, tz_aware=True)
    yield client["criteria_of_tests"]["documents"]
    client.drop_database("criteria_of_tests")
    client.close()


def _agree(collection: Collection[dict[str, Any]], stored: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    collection.delete_many({})
    rows = [{**document, **parts.stored(document, MARKS), "_id": index} for index, document in enumerate(stored)]
    collection.insert_many(rows)
    by_database = {row["_id"] for row in collection.find(to_query(asked, SCHEMA))}
    by_predicate = {row["_id"] for row in rows if to_predicate(asked, SCHEMA)(row)}
    assert by_predicate == by_database


@settings(max_examples=300, deadline=None)
@given(stored=st.lists(documents, min_size=1, max_size=6), asked=criteria)
def test_database_and_predicate_find_the_same_documents(
    collection: Collection[dict[str, Any]], stored: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    _agree(collection, stored, asked)


@settings(max_examples=150, deadline=None)
@given(names=st.lists(texts, min_size=1, max_size=8), prefix=texts)
@example(names=["a", "中"], prefix="\ud7ff")
def test_beginning_of_a_text_is_found_alike(collection: Collection[dict[str, Any]], names: list[str], prefix: str) -> None:
    asked = {"condition": {"field": "name", "operator": "STARTS_WITH", "values": [{"text": prefix}]}}
    _agree(collection, [{"name": name} for name in names], asked)


@settings(max_examples=150, deadline=None)
@given(
    found=st.lists(texts, min_size=1, max_size=6), asked=texts, cut=st.tuples(st.integers(0, 40), st.integers(0, 12)),
    operator=st.sampled_from(["STARTS_WITH", "CONTAINS"]), name=st.sampled_from(["title", "words", "name", "tags"]),
)  # fmt: skip
def test_part_of_a_text_is_found_alike(
    collection: Collection[dict[str, Any]], found: list[str], asked: str, cut: tuple[int, int], operator: str, name: str
) -> None:
    """What was asked for is now a text of its own, now a part of one that is there."""
    part = found[0][cut[0] :][: cut[1]] or asked
    condition = {"condition": {"field": name, "operator": operator, "values": [{"text": part}]}}
    stored: list[dict[str, Any]] = [{name: found if SCHEMA[name].repeated else text} for text in found]
    _agree(collection, stored, condition)


@settings(max_examples=80, deadline=None)
@given(
    stored=st.lists(relative.documents, min_size=1, max_size=5), asked=relative.criteria, now=relative.near, zone=st.sampled_from(relative.ZONES),
)  # fmt: skip
def test_database_and_predicate_agree_on_values_that_count_from_now(
    collection: Collection[dict[str, Any]], stored: list[dict[str, Any]], asked: dict[str, Any], now: datetime, zone: str
) -> None:
    """And so does the search for those who may change sides, with when each of them does."""
    collection.delete_many({})
    rows = [{**document, "_id": index} for index, document in enumerate(stored)]
    collection.insert_many(rows)
    schema, when = relative.SCHEMA, When(now, zone)
    by_predicate = {row["_id"] for row in rows if to_predicate(asked, schema, when)(row)}
    assert {row["_id"] for row in collection.find(to_query(asked, schema, when))} == by_predicate
    if flips := to_flips(asked, schema, zone):
        changing = {row["_id"] for row in rows if flips(row, now)}
        assert changing <= {row["_id"] for row in collection.find(to_pending(asked, schema, when))}


def test_beginning_of_an_item_must_be_one_items_own(collection: Collection[dict[str, Any]]) -> None:
    asked = {"condition": {"field": "tags", "operator": "STARTS_WITH", "values": [{"text": "m"}]}}
    stored = [{"tags": ["a", "z"]}, {"tags": ["a", "mint"]}, {"tags": []}, {}]
    collection.delete_many({})
    collection.insert_many({**document, "_id": index} for index, document in enumerate(stored))
    assert [row["_id"] for row in collection.find(to_query(asked, SCHEMA))] == [1]
    assert [index for index, document in enumerate(stored) if to_predicate(asked, SCHEMA)(document)] == [1]


@settings(max_examples=150, deadline=None)
@given(document=documents, condition=conditions())
def test_negation_is_the_exact_opposite(
    collection: Collection[dict[str, Any]], document: dict[str, Any], condition: dict[str, Any]
) -> None:
    collection.delete_many({})
    collection.insert_one({**document, "_id": 1})
    plain = collection.count_documents(to_query(condition, SCHEMA))
    assert collection.count_documents(to_query({"negated": condition}, SCHEMA)) == 1 - plain
