"""Who somebody is now, for whom they stand in, and an explanation that never says other than what is decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.access.caller import Caller
from chassis.access.directory import Directory, Member
from chassis.access.explanation import explain
from chassis.kernel.clock import now
from chassis.kernel.errors import NotAllowed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
RIGHTS = {("REP", "deals", "read"): 1, ("REP", "deals", "archive"): 1, ("LEAD", "deals", "read"): 2, ("ADMIN", "people", "update"): 5}


def member(person_id: str, *roles: str, team: str = "t", **more: Any) -> Member:
    return Member(person_id, "d", team, frozenset(), more.pop("active", True), frozenset(roles), **more)


def directory(*members: Member) -> Directory:
    return Directory(1, RIGHTS, {one.person_id: one for one in members}, personal=frozenset(["people"]))


def test_a_caller_has_the_roles_and_the_place_of_now_not_those_of_the_token() -> None:
    old = Caller("p", frozenset(["LEAD"]), "d0", "t0", "s", "token")
    found = directory(member("p", "REP")).present(old)
    assert (found.roles, found.department_id, found.team_id, found.session_id, found.token) == ({"REP"}, "d", "t", "s", "token")
    assert directory().present(old) is old
    with pytest.raises(NotAllowed):
        directory(member("p", "REP", active=False)).present(old)


@pytest.mark.parametrize(
    ("begins", "ends", "moment", "away"),
    [
        (None, None, NOON, True),
        (NOON, None, NOON, True),
        (NOON, None, NOON - timedelta(seconds=1), False),
        (NOON - timedelta(days=1), NOON, NOON, False),
        (NOON - timedelta(days=1), NOON + timedelta(seconds=1), NOON, True),
    ],
)
def test_a_deputy_stands_in_from_the_beginning_to_the_end(begins: Any, ends: Any, moment: datetime, away: bool) -> None:
    absent = member("boss", "LEAD", deputy_id="p", absent_from=begins, absent_until=ends)
    assert bool(directory(absent, member("p")).represented("p", moment)) is away


def test_a_deputy_gets_the_reach_of_the_absent_for_work_and_for_nothing_personal() -> None:
    boss = member("boss", "LEAD", "ADMIN", team="t9", deputy_id="p")
    known = directory(boss, member("p", "REP"))
    deputy = known.present(Caller("p", frozenset()))
    reach = known.reach(deputy, "deals", "read")
    own, theirs, foreign = {"owner_id": "p"}, {"owner_id": "x", "team_id": "t9"}, {"owner_id": "x", "team_id": "t"}
    assert [reach.admits(one) for one in (own, theirs, foreign)] == [True, True, False]
    assert [reach.deputy_for(one) for one in (own, theirs)] == ["", "boss"]
    assert not known.allows(deputy, "people", "update")
    with pytest.raises(NotAllowed):
        known.reach(deputy, "people", "update")


def test_who_has_left_is_represented_by_nobody() -> None:
    gone = member("boss", "LEAD", deputy_id="p", active=False)
    assert directory(gone, member("p")).represented("p", now()) == []


def test_collaboration_opens_reading_and_changing_to_those_whose_role_allows_it_at_all() -> None:
    known = directory(member("p", "REP"), member("q", "ADMIN"))
    rep = Caller("p", frozenset(["REP"]))
    deal = {"owner_id": "x", "customer_id": "c"}
    assert known.reach(rep, "deals", "read", "customer_id", {"p": ("c",)}).admits(deal)
    assert not known.reach(rep, "deals", "read", "customer_id", {"p": ("other",)}).admits(deal)
    assert not known.reach(rep, "deals", "archive", "customer_id", {"p": ("c",)}).admits(deal)
    with pytest.raises(NotAllowed):
        known.reach(Caller("q", frozenset(["ADMIN"])), "deals", "read", "customer_id", {"q": ("c",)})


names = st.sampled_from(["p", "q", "r"])
documents = st.fixed_dictionaries(
    {"owner_id": names, "team_id": st.sampled_from(["t", "u"]), "department_id": st.just("d"), "customer_id": st.sampled_from(["c", "k"])}
)


@settings(max_examples=200)
@given(
    roles=st.lists(st.sampled_from(["REP", "LEAD", "ADMIN"]), max_size=2), absent=st.booleans(), document=st.none() | documents,
    customers=st.lists(st.sampled_from(["c", "k"]), max_size=1),
)  # fmt: skip
def test_an_explanation_says_what_is_decided(roles: list[str], absent: bool, document: Any, customers: list[str]) -> None:
    known = directory(member("p", *roles), member("q", "LEAD", team="u", deputy_id="p" if absent else ""))
    caller, working = Caller("p", frozenset(roles), "d", "t"), {"p": tuple(customers)}
    found = explain(known, caller, "deals", "read", document, customer_key="customer_id", customers=working)
    try:
        decided = document is not None and known.reach(caller, "deals", "read", "customer_id", working).admits(document)
    except NotAllowed:
        decided = False
    assert found.allowed is decided
    assert found.reasons
    assert all((reason.rule == "NONE") is not decided for reason in found.reasons)


def led(*members: Member, leads: dict[str, str] | None = None) -> Directory:
    return Directory(1, RIGHTS, {one.person_id: one for one in members}, above={"d": ("company", "group")}, leads=leads or {})


@pytest.mark.parametrize(
    ("person", "leads", "expected"),
    [
        (member("p", active=False, successor_id="s", manager_id="m"), {"t": "l"}, "s"),
        (member("p", active=False, manager_id="m"), {"t": "l"}, "m"),
        (member("p", active=False), {"t": "l", "d": "m"}, "l"),
        (member("p", active=False), {"d": "l", "company": "m"}, "l"),
        (member("p", active=False), {"group": "l", "other": "m"}, "l"),
        (member("p", active=False), {}, ""),
        (member("p", active=False, successor_id="left", manager_id="m"), {}, "late"),  # who left had a successor too
        (member("p", active=False, manager_id="away"), {}, "s"),  # who is away has a deputy
        (member("p", active=False, manager_id="circle"), {"t": "l"}, "l"),
        (member("p", active=False, manager_id="nobody"), {"t": "l"}, "l"),
        (member("p", deputy_id="s", manager_id="m"), {}, "s"),
        (member("p", deputy_id="s", absent_until=NOON, manager_id="m"), {}, "m"),  # back: whoever stood in does so no more
        (member("p"), {"t": "p", "d": "l"}, "l"),  # nobody comes after themselves
    ],
)  # fmt: skip
def test_who_takes_the_work_of_somebody(person: Member, leads: dict[str, str], expected: str) -> None:
    others = [member(one) for one in ("s", "m", "l", "late")] + [
        member("left", active=False, successor_id="late"), member("away", deputy_id="s"), member("circle", active=False, successor_id="p"),
    ]  # fmt: skip
    assert led(person, *others, leads=leads).substitute("p", NOON) == expected


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_work_goes_to_nobody_who_is_away_or_gone_nor_back(data: st.DataObject) -> None:
    names = ["a", "b", "c", "d"]
    somebody = st.sampled_from(["", *names])
    members = [
        member(name, active=data.draw(st.booleans()), deputy_id=data.draw(somebody), successor_id=data.draw(somebody), manager_id=data.draw(somebody))
        for name in names
    ]  # fmt: skip
    found = led(*members, leads={"t": data.draw(st.sampled_from(names))})
    for name in names:
        taker = found.substitute(name, NOON)
        assert taker != name
        assert not taker or found.available(taker, NOON)
    assert led().substitute("a", NOON) == ""
