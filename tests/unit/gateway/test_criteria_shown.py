"""Criteria come back in the language in which filters are given: what is read can be sent back and means the same."""

from __future__ import annotations

from typing import Any

from crm.common.v1 import criteria_pb2
from crm.customer.v1 import customer_pb2
from graphql.utilities import coerce_input_value
from hypothesis import given
from hypothesis import strategies as st
from strawberry.types.arguments import convert_argument

from chassis.rpc.documents import traits
from gateway.bootstrap import shared_schema
from gateway.departments.spelling import camel
from gateway.graph.contract import CONFIG, to_global
from gateway.graph.criteria import as_filter
from gateway.graph.inputs import filter_type, to_criteria

RECORD = customer_pb2.Customer.DESCRIPTOR
SCHEMA = shared_schema()
SHAPE: Any = SCHEMA._schema.type_map["CustomerFilter"]


def _given(name: str, kind: str) -> st.SearchStrategy[Any]:
    """A value of a comparison, as a client writes it."""
    leaf = kind.rstrip("!").lstrip("[").rstrip("]").rstrip("!")
    enum = getattr(SCHEMA._schema.type_map.get(leaf), "values", None)
    known: dict[str, st.SearchStrategy[Any]] = {
        "String": st.text("ab云栖 ", min_size=1, max_size=5), "Boolean": st.booleans(), "Long": st.integers(-(2**53) + 1, 2**53 - 1),
        "Decimal": st.integers(-(10**9), 10**9).map(lambda cents: f"{cents / 100:.2f}"), "Date": st.dates().map(str),
        "DateTime": st.integers(1, 28).map(lambda day: f"2026-11-{day:02d}T10:20:30.456Z"),
        "RelativeTimeInput": st.sampled_from([{"days": -7}, {"days": 3}, {"seconds": -60}]),
        "ID": st.sampled_from("abc").map(lambda one: to_global(_refers(name), one)),
    }  # fmt: skip
    one = known[leaf] if leaf in known else st.sampled_from(sorted(enum))
    return st.lists(one, min_size=1, max_size=3) if kind.startswith("[") else one


def _refers(name: str) -> str:
    return RECORD.name if name == "id" else next(str(traits(field).refers_to) for field in RECORD.fields if camel(field.name) == name)


def _conditions() -> st.SearchStrategy[dict[str, Any]]:
    found = []
    for name, field in SHAPE.fields.items():
        if name in ("and", "or", "not"):
            continue
        comparisons = {key: _given(name, str(one.type)) for key, one in field.type.fields.items() if key != "currencyCode"}
        some = st.fixed_dictionaries({}, optional=comparisons).filter(bool)
        found.append(some.map(lambda one, name=name: {name: one}))  # type: ignore[misc]
    return st.lists(st.one_of(found), min_size=1, max_size=3).map(lambda some: {key: one for each in some for key, one in each.items()})


FILTERS = st.recursive(
    _conditions(),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
    ),
    max_leaves=4,
)  # fmt: skip


def _criteria(given: dict[str, Any]) -> criteria_pb2.Criteria:
    value = convert_argument(coerce_input_value(given, SHAPE), filter_type(RECORD), SCHEMA.schema_converter.scalar_registry, CONFIG)
    return to_criteria(value, RECORD)


@given(FILTERS)
def test_what_is_read_means_the_same_when_it_is_sent_back(asked: dict[str, Any]) -> None:
    try:
        criteria = _criteria(asked)
    except Exception as deep:
        assert "levels" in str(deep) or "relative" in str(deep) or "currency" in str(deep), deep
        return
    assert _criteria(as_filter(criteria, RECORD)) == criteria


def test_a_plain_filter_comes_back_as_it_went_in() -> None:
    for asked in (
        {"industry": {"eq": "软件"}},
        {"name": {"startsWith": "云"}, "ownerId": {"in": [to_global("Person", "p1")]}},
        {"or": [{"industry": {"eq": "a"}}, {"not": {"region": {"isSet": True}}}]},
        {"createTime": {"gteRelative": {"days": -90}}},
    ):
        shown = as_filter(_criteria(asked), RECORD)
        assert shown == asked or _criteria(shown) == _criteria(asked)
        assert set(shown) == set(asked)
