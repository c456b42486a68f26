"""Reach: the filter for the database and the judgement of one document mean the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.access.caller import Caller, Ground, Reach
from chassis.access.directory import Directory
from chassis.kernel.errors import NotAllowed

names = st.sampled_from(["a", "b", "c"])
maybe = st.one_of(st.none(), names)
_lists = st.lists(names, max_size=2).map(tuple)
_some = st.sampled_from(["", "a", "b"])
grounds = st.builds(
    Ground,
    st.integers(0, 6),
    _some,
    _some,
    _lists,
    absent=st.booleans(),
    customer_key=st.sampled_from(["", "_id", "customer_id"]),
    customer_ids=_lists,
)
reaches = st.builds(Reach, st.lists(grounds, min_size=1, max_size=3).map(tuple))
records = st.fixed_dictionaries(
    {}, optional={"owner_id": maybe, "team_id": maybe, "department_id": maybe, "_id": names, "customer_id": maybe}
)


def _holds(query: dict[str, Any], document: dict[str, Any]) -> bool:
    """MongoDB's meaning of the few operators that a reach uses."""
    for key, wanted in query.items():
        if key == "$or":
            if not any(_holds(part, document) for part in wanted):
                return False
        elif isinstance(wanted, dict):
            if document.get(key) not in wanted["$in"]:
                return False
        elif document.get(key) != wanted:
            return False
    return True


@settings(max_examples=300)
@given(reach=reaches, document=records)
def test_filter_and_admits_mean_the_same(reach: Reach, document: dict[str, Any]) -> None:
    assert reach.admits(document) is _holds(reach.filter(), document)


@given(reach=reaches)
def test_record_without_owner_is_admitted_only_by_reach_over_everything(reach: Reach) -> None:
    assert reach.admits({}) is any(ground.scope == 5 for ground in reach.grounds)


def test_department_scope_takes_in_those_below_only_when_granted() -> None:
    caller = Caller("p", frozenset(["LEAD"]), "d", "t")
    below = {"d": ("d1", "d2")}
    narrow = Directory(1, {("LEAD", "deals", "read"): 3}, below=below).reach(caller, "deals", "read")
    wide = Directory(1, {("LEAD", "deals", "read"): 4}, below=below).reach(caller, "deals", "read")
    assert (narrow.grounds[0].department_ids, wide.grounds[0].department_ids) == (("d",), ("d", "d1", "d2"))


def test_widest_of_several_roles_counts_and_none_is_refused() -> None:
    directory = Directory(1, {("A", "deals", "read"): 1, ("B", "deals", "read"): 2})
    assert directory.reach(Caller("p", frozenset(["A", "B"]), "d", "t"), "deals", "read").grounds[0].scope == 2
    with pytest.raises(NotAllowed):
        directory.reach(Caller("p", frozenset(["A", "B"])), "deals", "archive")
    with pytest.raises(NotAllowed):
        directory.reach(Caller("p", frozenset()), "deals", "read")
