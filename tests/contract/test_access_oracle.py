"""A hundred thousand random questions about access: the directory, its filters for the database and a second opinion in Cedar agree."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crm.common.v1 import access_pb2

from chassis.access import directory as product
from chassis.access.caller import DEPARTMENT, DEPARTMENT_AND_BELOW, OWN, TEAM, Caller, Reach
from chassis.access.contracts import Opening
from chassis.access.directory import Directory
from chassis.kernel.errors import CrmError
from tests.support import samples
from tests.support.oracle import (
    ACCESSES,
    SCOPES,
    Contract,
    Person,
    Question,
    World,
    decide_all,
    decide_at_once,
    field_access,
    shown_by_contracts,
)

SEED, WORLDS, QUESTIONS = (20261124, 170, 600) if samples.LONG else (samples.SEED, 40, 600)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PEOPLE, ROLES = ("p0", "p1", "p2", "p3", "p4", "p5", "p6"), ("REP", "LEAD", "DESK", "HEAD", "ADMIN")
RESOURCES, ACTIONS = ("customers", "deals", "notes", "people"), ("read", "create", "update", "archive", "assign")
UNITS, TEAMS, CUSTOMERS = ("u0", "u1", "u2", "u3", "u4", "u5", "u6"), ("t0", "t1", "t2", "t3"), ("c0", "c1", "c2", "c3", "c4")
FIELDS = ("phone", "email", "amount")
PERSONAL = frozenset(["people", "departments", "deals.archive"])
KEPT = frozenset(("id", "owner_id", "team_id", "department_id", "customer_id"))
TICK = timedelta(microseconds=1)
BEGINS = (None, NOW - timedelta(days=3), NOW, NOW + TICK, NOW + timedelta(days=1))
ENDS = (None, NOW + timedelta(days=3), NOW + TICK, NOW, NOW - timedelta(days=1))


@dataclass
class Case:
    """A world, the product's directory of it, and questions."""

    world: World
    directory: Directory
    questions: Sequence[Question]


# ---- worlds by chance


def make(chance: random.Random) -> Case:
    """A world and questions about it, the same for a seed."""
    parents = {unit: chance.choice(["", *UNITS[:index], *UNITS[:index]]) for index, unit in enumerate(UNITS)}
    lines = [
        (role, resource, action, chance.choice(list(SCOPES)))
        for role in ROLES for resource in RESOURCES if chance.random() < 0.6 for action in ACTIONS if chance.random() < 0.6
    ]  # fmt: skip
    fields = [
        (role, resource, name, chance.choice(ACCESSES))
        for role in ROLES for resource in RESOURCES for name in FIELDS if chance.random() < 0.6
    ]  # fmt: skip
    contracts = [_contract(chance) for _ in range(chance.choice((0, 3, 6, 9)))]
    customers = {name: {key: value for key, value in _record(chance).items() if key.endswith("_id")} for name in CUSTOMERS}
    world = World(
        lines, [_person(chance, name) for name in PEOPLE], NOW, parents, fields, PERSONAL, contracts, customers, chance.random() < 0.8
    )
    records = [_record(chance) for _ in range(14)]
    questions: list[Question] = [
        (chance.choice(PEOPLE), chance.choice(RESOURCES), chance.choice(ACTIONS), chance.choice(records)) for _ in range(QUESTIONS)
    ]
    return Case(world, Directory.of(_message(world)), questions)


def _person(chance: random.Random, name: str) -> Person:
    others = [other for other in PEOPLE if other != name]
    return Person(
        name, frozenset(chance.sample(ROLES, chance.choice((0, 1, 1, 2, 3)))), chance.choice(["", *UNITS]), chance.choice(["", *TEAMS, "u6"]),
        active=chance.random() < 0.85, deputy_id=chance.choice(others) if chance.random() < 0.5 else "", away_from=chance.choice(BEGINS),
        away_until=chance.choice(ENDS), customers=frozenset(chance.sample(CUSTOMERS, chance.choice((0, 0, 1, 2)))),
    )  # fmt: skip


def _contract(chance: random.Random) -> Contract:
    return Contract(
        chance.choice(UNITS), chance.choice((*UNITS, "t0")), chance.choice(RESOURCES), frozenset(chance.sample(FIELDS, chance.choice((1, 2)))),
        chance.choice([one for one in BEGINS if one]), chance.choice([one for one in ENDS if one]),
    )  # fmt: skip


def _record(chance: random.Random) -> dict[str, Any]:
    """A record; what it lacks is missing, null or empty."""
    found: dict[str, Any] = {"id": chance.choice((*CUSTOMERS, "n1", "n2"))}
    for name, values in (("owner_id", PEOPLE), ("team_id", TEAMS), ("department_id", UNITS), ("customer_id", CUSTOMERS)):
        if chance.random() < 0.8:
            found[name] = chance.choice(values) if chance.random() < 0.9 else chance.choice((None, ""))
    return found


def _message(world: World) -> access_pb2.Directory:
    """The world as the organization would send it."""
    made = access_pb2.Directory(revision=1, personal_resources=sorted(world.personal), owner_sees_all=world.owner_sees_all)
    for role, resource, action, scope in world.lines:
        made.grants.add(role=role, resource=resource, action=action, scope=access_pb2.Scope.Value(f"SCOPE_{scope}"))
    for role, resource, name, access in world.fields:
        made.field_grants.add(role=role, resource=resource, field=name, access=access_pb2.FieldAccess.Value(f"FIELD_ACCESS_{access}"))
    for unit in world.parents:
        above = [unit]
        while parent := world.parents[above[0]]:
            above.insert(0, parent)
        made.units.add(department_id=unit, ancestor_ids=above[:-1])
    for index, each in enumerate(world.contracts):
        terms = made.contracts.add(
            contract_id=f"s{index}", provider_department_id=each.provider, consumer_department_id=each.consumer, resource=each.resource,
            fields=sorted(each.fields),
        )  # fmt: skip
        terms.start_time.FromDatetime(each.begins)
        terms.end_time.FromDatetime(each.ends)
    for one in world.people:
        member = made.members.add(
            person_id=one.person_id, department_id=one.department_id, team_id=one.team_id, active=one.active, roles=sorted(one.roles),
            deputy_id=one.deputy_id,
        )  # fmt: skip
        if one.away_from:
            member.absence_start_time.FromDatetime(one.away_from)
        if one.away_until:
            member.absence_end_time.FromDatetime(one.away_until)
    return made


# ---- the product's answers


class Asked:
    """Asks a directory as a department does, and remembers how far somebody reaches."""

    def __init__(self, case: Case) -> None:
        self.directory = case.directory
        self.customers = {one.person_id: tuple(sorted(one.customers)) for one in case.world.people}
        self.owned = {
            (one.person_id, scope): tuple(name for name, place in case.world.customers.items() if _answers(case.world, one, scope, place))
            for one in case.world.people for scope in (OWN, TEAM, DEPARTMENT, DEPARTMENT_AND_BELOW)
        }  # fmt: skip
        self.reaches: dict[tuple[str, str, str], Reach | None] = {}

    def reach(self, person: str, resource: str, action: str) -> Reach | None:
        """How far somebody reaches; None where they are refused."""
        key = (person, resource, action)
        if key not in self.reaches:
            try:
                caller = self.directory.present(Caller(person, frozenset()))
                customer_key = "_id" if resource == "customers" else "customer_id"
                self.reaches[key] = self.directory.reach(caller, resource, action, customer_key, self.customers, self.owned)
            except CrmError:
                self.reaches[key] = None
        return self.reaches[key]

    def opening(self, person: str, resource: str, action: str) -> Opening:
        """What somebody reads, or reaches with another action: that no contract opens."""
        try:
            caller = self.directory.present(Caller(person, frozenset()))
        except CrmError:
            return Opening(None, (), frozenset())
        contracts = self.directory.contracts_for(caller, resource) if action == "read" else ()
        return Opening(self.reach(person, resource, action), contracts, KEPT)

    def allows(self, person: str, resource: str, action: str) -> bool:
        """Whether somebody may do this to anything at all."""
        try:
            return self.directory.allows(self.directory.present(Caller(person, frozenset())), resource, action)
        except CrmError:
            return False


def _answers(world: World, one: Person, scope: int, place: Mapping[str, Any]) -> bool:
    """Whether a scope reaches a customer from a person's place, as the departments' copy says it."""
    if place.get("owner_id") == one.person_id or (scope == TEAM and one.team_id and place.get("team_id") == one.team_id):
        return True
    unit = place.get("department_id") or ""
    if scope == DEPARTMENT_AND_BELOW:
        return bool(one.department_id) and world.lies_in(unit, one.department_id)
    return scope == DEPARTMENT and bool(unit) and unit == one.department_id


def holds(query: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """MongoDB's meaning of $or, $in and equality; nothing else is understood."""
    for key, wanted in query.items():
        if key == "$or":
            if not any(holds(part, document) for part in wanted):
                return False
        elif isinstance(wanted, Mapping):
            assert list(wanted) == ["$in"], wanted
            if document.get(key) not in wanted["$in"]:
                return False
        else:
            assert not key.startswith("$"), key
            if document.get(key) != wanted:
                return False
    return True


def told(world: World, question: Question) -> str:
    """What one needs to know to follow a decision."""
    person, resource, action, record = question
    lines = [line for line in world.lines if line[1:3] == (resource, action)]
    near = [one for one in world.people if one.person_id == person or one.deputy_id == person]
    known = "\n".join(f"  {one}: {[line for line in lines if line[0] in one.roles]}" for one in near)
    return f"{person} {action} {resource} {dict(record)}\n{known}\n  parents {dict(world.parents)}"


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment of every world: absences begin and end exactly then."""
    monkeypatch.setattr(product, "now", lambda: NOW)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("stopped_clock")
def test_the_directory_decides_as_cedar_does_from_the_specification() -> None:
    chance, decisions, allowed, wrong = random.Random(SEED), 0, 0, []
    for _ in range(WORLDS):
        case = make(chance)
        asked = Asked(case)
        for question, right in zip(case.questions, decide_all(case.world, case.questions), strict=True):
            person, resource, action, record = question
            document = {("_id" if name == "id" else name): value for name, value in record.items()}
            reach, opening = asked.reach(person, resource, action), asked.opening(person, resource, action)
            decided = (reach is not None and reach.admits(document)) or any(one.admits(document) for one in opening.contracts)
            filtered = holds(opening.filter(), document)
            decisions, allowed = decisions + 1, allowed + right
            if decided is not right or filtered is not right:
                wrong.append(f"Cedar {right}, admits {decided}, filter {filtered}: {told(case.world, question)}")
            assert asked.allows(person, resource, action) is (reach is not None) is case.world.granted(person, resource, action)
    print(f"\nseed {SEED}: {decisions:,} decisions in {WORLDS} worlds, {allowed:,} allowed ({allowed / decisions:.0%}), {len(wrong)} wrong")
    assert decisions >= (100_000 if samples.LONG else 20_000)
    assert 0.1 < allowed / decisions < 0.9
    assert not wrong, f"{len(wrong)} of {decisions} decisions differ, for example\n" + "\n".join(wrong[:5])


def test_cedar_says_by_all_policies_what_it_says_by_those_of_an_action_on_a_resource() -> None:
    for number in range(WORLDS if samples.LONG else 5):
        case = make(random.Random(f"{SEED} {number}"))
        assert decide_all(case.world, case.questions) == decide_at_once(case.world, case.questions)


@pytest.mark.usefixtures("stopped_clock")
def test_contracts_show_what_the_specification_says_and_roles_show_the_rest() -> None:
    chance, parts, wholes = random.Random(SEED + 2), 0, 0
    for _ in range(WORLDS):
        case = make(chance)
        asked, questions = Asked(case), [question for question in case.questions if question[2] == "read"]
        right = zip(questions, decide_all(case.world, questions), decide_all(replace(case.world, contracts=()), questions), strict=True)
        for (person, resource, _, record), allowed, by_role in right:
            if not allowed:
                continue
            row = {name: value for name, value in record.items() if name != "id"} | {"_id": record["id"]} | dict.fromkeys(FIELDS, "x")
            opening = asked.opening(person, resource, "read")
            shown = frozenset(opening.shown(row)) & frozenset(FIELDS)
            expected = frozenset(FIELDS) if by_role else shown_by_contracts(case.world, person, resource, record)
            assert shown == expected, told(case.world, (person, resource, "read", record))
            for name in FIELDS if not by_role else ():  # what is not shown is found by nothing
                assert name in expected or not holds(opening.filter((name,)), row)
            parts, wholes = parts + (not by_role), wholes + by_role
    print(f"\nseed {SEED + 2}: {parts} records in part, {wholes} whole")
    assert min(parts, wholes) > (200 if samples.LONG else 10)


@pytest.mark.usefixtures("stopped_clock")
def test_the_directory_limits_fields_as_the_specification_says() -> None:
    chance, counted = random.Random(SEED + 1), dict.fromkeys(ACCESSES, 0)
    for _ in range(WORLDS * 3):
        case = make(chance)
        for one in case.world.people:
            if not one.active:
                continue
            for resource in RESOURCES:
                limits = case.directory.limits(case.directory.present(Caller(one.person_id, frozenset())), resource)
                right = {name: field_access(case.world, one.person_id, resource, name) for name in FIELDS}
                assert {name: ACCESSES[level - 1] for name, level in limits.items()} == {
                    name: access for name, access in right.items() if access != "WRITE"
                }, told(case.world, (one.person_id, resource, "read", {}))
                for access in right.values():
                    counted[access] += 1
    print(f"\nseed {SEED + 1}: fields {counted}")
    assert min(counted.values()) > 200
