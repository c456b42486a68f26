"""Tickets: states with the time in each, replies, the least loaded person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.kernel.errors import WrongState
from services.support.tickets import model

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STATES = ("NEW", "OPEN", "PENDING", "RESOLVED", "CLOSED")
ALLOWED = {
    ("NEW", "OPEN"), ("PENDING", "OPEN"), ("NEW", "PENDING"), ("OPEN", "PENDING"), ("NEW", "RESOLVED"), ("OPEN", "RESOLVED"),
    ("PENDING", "RESOLVED"), ("RESOLVED", "CLOSED"),
}  # fmt: skip


def ticket(state: str = "NEW", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"state": state, **more}
    model.check(found)
    model.begun(found, NOW, "p1")
    return found


def test_a_ticket_is_completed() -> None:
    assert ticket() == {
        "state": "NEW", "kind": "QUESTION", "priority": "NORMAL", "reply_count": 0,
        "state_history": [{"state": "NEW", "enter_time": NOW, "actor_id": "p1"}],
    }  # fmt: skip


@pytest.mark.parametrize(("present", "following"), list(product(STATES, STATES[1:])))
def test_a_ticket_goes_the_allowed_ways_only(present: str, following: str) -> None:
    if (present, following) in ALLOWED:
        changes = model.moved(ticket(present), following, NOW + timedelta(1), "p2")
        assert changes["state"] == following
        assert changes["state_history"][0]["leave_time"] == changes["state_history"][1]["enter_time"] == NOW + timedelta(1)
    else:
        with pytest.raises(WrongState) as refused:
            model.moved(ticket(present), following, NOW, "p2")
        assert refused.value.code == "TICKET_STATE_NOT_ALLOWED"


def test_resolving_tells_how_and_when_and_reopening_forgets_when() -> None:
    found = ticket()
    found |= model.resolved(found, "restarted", NOW + timedelta(1), "p2")
    assert (found["state"], found["resolution"], found["resolve_time"]) == ("RESOLVED", "restarted", NOW + timedelta(1))
    changes = model.reopened(found, NOW + timedelta(2), "p3")
    assert (changes["state"], changes["resolve_time"]) == ("OPEN", None)
    assert [stay["state"] for stay in changes["state_history"]] == ["NEW", "RESOLVED", "OPEN"]


@pytest.mark.parametrize("state", ["NEW", "OPEN", "PENDING"])
def test_what_is_worked_on_is_not_reopened(state: str) -> None:
    with pytest.raises(WrongState):
        model.reopened(ticket(state), NOW, "p")


@pytest.mark.parametrize(
    ("state", "author", "internal", "after"),
    [
        ("NEW", "AGENT", False, "OPEN"), ("NEW", "AGENT", True, "NEW"), ("NEW", "CUSTOMER", False, "NEW"), ("OPEN", "AGENT", False, "OPEN"),
        ("PENDING", "CUSTOMER", False, "OPEN"), ("PENDING", "AGENT", False, "PENDING"), ("RESOLVED", "CUSTOMER", False, "OPEN"),
        ("RESOLVED", "AGENT", False, "RESOLVED"), ("PENDING", "CUSTOMER", True, "PENDING"),
    ],
)  # fmt: skip
def test_a_reply_moves_the_ticket(state: str, author: str, internal: bool, after: str) -> None:
    before = ticket(state, reply_count=3)
    changes = model.replied(before, author, internal, NOW + timedelta(1), "p2")
    assert changes["reply_count"] == 4
    assert changes.get("state", state) == after
    assert ("first_reply_time" in changes) == (author == "AGENT" and not internal)


def test_the_first_reply_is_timed_once() -> None:
    assert "first_reply_time" not in model.replied(ticket("OPEN", first_reply_time=NOW), "AGENT", False, NOW + timedelta(1), "p")


def test_a_customers_answer_takes_back_the_resolution_time() -> None:
    assert model.replied(ticket("RESOLVED", resolve_time=NOW), "CUSTOMER", False, NOW, "p")["resolve_time"] is None


@pytest.mark.parametrize("author", ["AGENT", "CUSTOMER"])
def test_nobody_speaks_in_a_closed_ticket(author: str) -> None:
    with pytest.raises(WrongState) as refused:
        model.replied(ticket("CLOSED"), author, False, NOW, "p")
    assert refused.value.code == "TICKET_STATE_NOT_ALLOWED"


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 5), max_size=8),
    st.sets(st.text("abc", min_size=1, max_size=4), max_size=8),
)
def test_the_least_loaded_is_chosen_whatever_the_order(loads: dict[str, int], people: set[str]) -> None:
    chosen = model.least_loaded(people, loads)
    assert chosen == model.least_loaded(sorted(people, reverse=True), loads)
    if people:
        assert chosen == sorted(people, key=lambda one: (loads.get(one, 0), one))[0]
    else:
        assert chosen is None


@given(st.integers(1, 9), st.integers(0, 60))
def test_one_after_the_other_is_balanced_within_one(people: int, tickets: int) -> None:
    loads: dict[str, int] = {}
    for _ in range(tickets):
        chosen = model.least_loaded([f"p{number}" for number in range(people)], loads)
        assert chosen
        loads[chosen] = loads.get(chosen, 0) + 1
    counts = [loads.get(f"p{number}", 0) for number in range(people)]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(("state", "carries"), [("NEW", True), ("OPEN", True), ("PENDING", True), ("RESOLVED", False), ("CLOSED", False)])
def test_only_what_is_worked_on_is_carried(state: str, carries: bool) -> None:
    assert model.carried({"state": state, "owner_id": "p"}) == ("p" if carries else None)
    assert model.carried({"state": state}) is None
    assert model.carried(None) is None
