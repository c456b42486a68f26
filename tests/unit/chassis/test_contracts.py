"""Sharing contracts: to whom they open what and when, how much of it, and that a filter finds what a judgement admits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crm.organization.v1 import sharing_contract_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.access.caller import ALL, HIDDEN, MASKED, OWN, READ, Caller
from chassis.access.contracts import AGREEMENTS, TERMS, Contract, Opening
from chassis.access.directory import Directory, Member
from chassis.access.explanation import explain
from chassis.access.fields import kept_of
from chassis.kernel.errors import NotAllowed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(milliseconds=1)
KEPT = frozenset(("id", "department_id", "owner_id", "state"))
FOREIGN = {"_id": "1", "owner_id": "x", "department_id": "a1", "state": "OPEN", "name": "n", "phone": "p", "search_terms": ["secret"]}


def contract(*fields: str, **more: Any) -> Contract:
    given: dict[str, Any] = {
        "department_ids": ("a", "a1"), "contract_id": "c", "title": "协议", "purpose": "回访", "resource": "deals", "consumers": frozenset(("b", "b1")),
        "begins": NOON - DAY, "ends": NOON + DAY, "fields": frozenset(fields),
    }  # fmt: skip
    return Contract(**given | more)


def person(*roles: str, department: str = "b", team: str = "", active: bool = True, **more: Any) -> Member:
    return Member("p", department, team, frozenset(), active, frozenset(roles), **more)


def known(one: Member, *contracts: Contract, grants: Any = None, fields: Any = None, others: tuple[Member, ...] = ()) -> Directory:
    return Directory(1, grants or {}, {each.person_id: each for each in (one, *others)}, fields=fields or {}, contracts=contracts)


def caller(one: Member) -> Caller:
    return Caller(one.person_id, one.roles, one.department_id, one.team_id)


def opened(one: Member, *contracts: Contract, moment: datetime = NOON, resource: str = "deals", **more: Any) -> tuple[Contract, ...]:
    return known(one, *contracts, **more).contracts_for(caller(one), resource, moment)


# ---- to whom, and when


@pytest.mark.parametrize(
    ("one", "opens"),
    [
        (person(), True), (person(department="b1"), True), (person(department="z", team="b1"), True), (person(department="a"), False),
        (person(department="", team=""), False), (person(active=False), False),
    ],
)  # fmt: skip
def test_a_contract_opens_to_the_people_of_the_department_and_of_units_below(one: Member, opens: bool) -> None:
    assert bool(opened(one, contract("name"))) is opens


@pytest.mark.parametrize(("moment", "runs"), [(-DAY - TICK, False), (-DAY, True), (timedelta(), True), (DAY - TICK, True), (DAY, False)])
def test_a_contract_counts_from_its_start_to_just_before_its_end(moment: timedelta, runs: bool) -> None:
    assert bool(opened(person(), contract("name"), moment=NOON + moment)) is runs


def test_neither_a_service_nor_a_key_nor_a_deputy_gets_in_by_a_contract() -> None:
    one, boss = person(department="z"), Member("boss", "b", "", frozenset(), True, frozenset(("REP",)), deputy_id="p")
    found = known(one, contract("name"), grants={("REP", "deals", "read"): OWN}, others=(boss,))
    assert found.contracts_for(caller(one), "deals", NOON) == ()
    for stranger in ("service-sales", "a-key"):
        assert found.contracts_for(Caller(stranger, frozenset(), "b"), "deals", NOON) == ()


def test_a_contract_opens_one_resource_and_no_right_of_a_role() -> None:
    one, found = person(), known(person(), contract("name"))
    assert opened(one, contract("name"), resource="orders") == ()
    assert not found.allows(caller(one), "deals", "read")
    for action in ("read", "update", "create", "import"):
        with pytest.raises(NotAllowed):
            found.reach(caller(one), "deals", action)


def test_what_a_role_hides_without_opening_anything_no_contract_shows() -> None:
    fields = {("SHY", "deals"): {"name": MASKED, "phone": HIDDEN, "state": READ}}
    (found,) = opened(person("SHY", "OTHER"), contract("name", "phone", "amount"), fields=fields)
    assert found.fields == {"amount"}
    (found,) = opened(person("SHY"), contract("name"), fields=fields, grants={("SHY", "deals", "read"): OWN})
    assert found.fields == {"name"}  # here the limit is laid on the answer, as on every record


@pytest.mark.parametrize(("department", "sees"), [("b", True), ("b1", True), ("a", True), ("a1", True), ("z", False)])
def test_a_contract_tells_its_terms_to_the_people_of_both_sides_while_it_counts(department: str, sees: bool) -> None:
    one = person(department=department)
    found = opened(one, contract("name"), resource=AGREEMENTS)
    assert [(each.contract_id, each.fields, each.clauses()) for each in found] == ([("c", TERMS, [{"_id": "c"}])] if sees else [])
    assert not any(each.admits({"_id": "other"}) for each in found)
    assert opened(one, contract("name"), resource=AGREEMENTS, moment=NOON + DAY) == ()


def test_the_terms_are_all_that_a_contract_has_beside_what_every_record_shows() -> None:
    descriptor = sharing_contract_pb2.SharingContract.DESCRIPTOR
    assert set(descriptor.fields_by_name) - kept_of(descriptor) <= TERMS < set(descriptor.fields_by_name)


# ---- how much


def test_a_record_that_only_contracts_show_shows_what_those_name_that_admit_it_and_what_every_record_shows() -> None:
    both = Opening(None, (contract("name"), contract("phone", department_ids=("a1",)), contract("amount", department_ids=("q",))), KEPT)
    kept = {"_id": "1", "owner_id": "x", "department_id": "a1", "state": "OPEN"}
    assert both.shown(FOREIGN) == {**kept, "name": "n", "phone": "p"}
    assert both.shown({**FOREIGN, "department_id": "a"}) == {**kept, "department_id": "a", "name": "n"}


def test_a_record_that_a_role_reaches_is_shown_whole() -> None:
    one = person("REP")
    found = known(one, contract("name"), grants={("REP", "deals", "read"): OWN})
    opening = Opening(found.reach(caller(one), "deals", "read"), (contract("name"),), KEPT)
    own = {**FOREIGN, "owner_id": "p"}
    assert opening.shown(own) is own
    assert "phone" not in opening.shown(FOREIGN)
    assert ([each.contract_id for each in opening.showing(FOREIGN)], opening.showing(own)) == (["c"], ())


@pytest.mark.parametrize(
    ("asked", "finds"),
    [((), True), (("name",), True), (("state", "name"), True), (("phone",), False), (("name", "phone"), False), (("no_field",), False)],
)
def test_a_question_by_what_a_contract_does_not_show_finds_nothing_by_it(asked: tuple[str, ...], finds: bool) -> None:
    opening = Opening(None, (contract("name"),), KEPT)
    assert opening.filter(asked) == ({"department_id": {"$in": ["a", "a1"]}} if finds else {"_id": {"$in": []}})


def test_each_part_of_an_opening_is_asked_by_what_it_shows_itself() -> None:
    one = person("REP")
    reach = known(one, grants={("REP", "deals", "read"): OWN}).reach(caller(one), "deals", "read")
    whole, name, phone = Opening(reach, (contract("name"), contract("phone")), KEPT).parts()
    assert (whole.filter(), whole.all_show("phone")) == (reach.filter(), True)
    assert [(part.all_show("name"), part.all_show("phone")) for part in (name, phone)] == [(True, False), (False, True)]
    assert [part.reach for part in (name, phone)] == [None, None]


def test_two_contracts_do_not_add_up_to_a_question_that_neither_answers() -> None:
    opening = Opening(None, (contract("name"), contract("phone")), KEPT)
    assert opening.filter(("name", "phone")) == {"_id": {"$in": []}}
    assert (opening.all_show("state"), opening.all_show("name")) == (True, False)


names = st.sampled_from(["a", "b", "c"])
units = st.lists(names, min_size=1, max_size=2).map(tuple)
some = st.lists(st.sampled_from(["name", "phone", "amount"]), max_size=2).map(frozenset)
contracts = st.lists(st.builds(lambda ids, fields: contract(*fields, department_ids=ids), units, some), max_size=3).map(tuple)
maybe = st.one_of(st.none(), names, st.just(""))
records = st.fixed_dictionaries(
    {"_id": names}, optional={"owner_id": maybe, "team_id": maybe, "department_id": maybe, "name": names, "phone": names}
)


def holds(query: dict[str, Any], document: dict[str, Any]) -> bool:
    if "$or" in query:
        return any(holds(part, document) for part in query["$or"])
    return all(
        document.get(name) in wanted["$in"] if isinstance(wanted, dict) else document.get(name) == wanted for name, wanted in query.items()
    )


@settings(max_examples=400)
@given(
    given=contracts, scope=st.integers(0, 5), document=records, asked=st.lists(st.sampled_from(["name", "phone", "state"]), max_size=2),
    place=st.tuples(names, names),
)  # fmt: skip
def test_a_filter_finds_what_is_admitted_and_shows_no_field_by_which_it_was_not_to_be_asked(
    given: tuple[Contract, ...], scope: int, document: dict[str, Any], asked: list[str], place: tuple[str, str]
) -> None:
    one = Member("a", *place, frozenset(), True, frozenset(("R",)))
    found = known(one, grants={("R", "deals", "read"): scope} if scope else {})
    reach = found.reach(caller(one), "deals", "read") if scope else None
    opening = Opening(reach, given, KEPT)
    by_role = bool(reach and reach.admits(document))
    counting = [each for each in given if each.admits(document) and each.shows(asked, KEPT)]
    assert holds(opening.filter(asked), document) is (by_role or bool(counting))
    for each in given:
        assert all(holds(clause, document) for clause in each.clauses()) is each.admits(document)
    if holds(opening.filter(asked), document):
        shown = opening.shown(document)
        assert by_role or set(shown) <= KEPT | {"_id"}.union(*(each.fields for each in given if each.admits(document)))
        assert all(shown.get(name) == document.get(name) for name in asked)  # what was asked by is shown


# ---- why


def test_an_explanation_names_the_contract_and_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.access.directory.now", lambda: NOON)
    one, found = (
        person("REP"),
        known(person("REP"), contract("name"), grants={("REP", "deals", "read"): OWN, ("REP", "deals", "update"): OWN}),
    )
    told = explain(found, caller(one), "deals", "read", FOREIGN, kept=KEPT)
    assert (told.allowed, [(reason.rule, reason.contract_id) for reason in told.reasons]) == (True, [("CONTRACT", "c")])
    assert "«协议»" in told.reasons[0].text
    assert "回访" in told.reasons[0].text
    for field, allowed, access in (("name", True, READ), ("state", True, READ), ("phone", False, HIDDEN)):
        told = explain(found, caller(one), "deals", "read", FOREIGN, field=field, kept=KEPT)
        assert (told.allowed, told.field_access) == (allowed, access), field
    assert not explain(found, caller(one), "deals", "update", FOREIGN).allowed
    assert not explain(found, caller(one), "deals", "read", {**FOREIGN, "department_id": "q"}).allowed
    assert not explain(found, caller(one), "deals", "read", None).allowed
    own = explain(found, caller(one), "deals", "read", {**FOREIGN, "owner_id": "p"}, field="phone")
    assert (own.allowed, own.field_access, [reason.rule for reason in own.reasons]) == (True, 4, ["ROLE", "CONTRACT"])


def test_an_explanation_says_less_than_a_contract_where_a_role_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.access.directory.now", lambda: NOON)
    one, fields = person("REP"), {("REP", "deals"): {"name": MASKED, "phone": HIDDEN}}
    found = known(one, contract("name", "phone"), grants={("REP", "deals", "read"): OWN}, fields=fields)
    for field, allowed, access in (("name", True, MASKED), ("phone", False, HIDDEN)):
        told = explain(found, caller(one), "deals", "read", FOREIGN, field=field, kept=KEPT)
        assert (told.allowed, told.field_access, told.reasons[0].rule) == (allowed, access, "FIELD"), field


def test_who_reaches_all_records_needs_no_contract() -> None:
    one = person("BOSS")
    found = known(one, contract("name"), grants={("BOSS", "deals", "read"): ALL})
    opening = Opening(found.reach(caller(one), "deals", "read"), found.contracts_for(caller(one), "deals", NOON), KEPT)
    assert opening.filter(("phone",)) == {}
    assert opening.shown(FOREIGN) is FOREIGN
