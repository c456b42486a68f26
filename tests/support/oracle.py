"""A second opinion on access, written from the specification and not from the product: Cedar decides on records, plain Python on fields.

Cedar is asked in batches, and answers a question about a world: who there is, what their roles allow, who is away, who works with whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import cedarpy

Line = tuple[str, str, str, str]  # role, resource, action, scope
Question = tuple[str, str, str, Mapping[str, Any]]  # person, resource, action, record
ANY_TIME = datetime(1, 1, 1, tzinfo=UTC)
SHARED = ("read", "create", "update")
ACCESSES = ("HIDDEN", "MASKED", "READ", "WRITE")
PERSONAL = frozenset((
    "people", "departments", "sessions", "grants", "role_definitions", "sharing_contracts", "explanations", "graph", "directory", "disclosures",
    "jobs", "preferences", "stars", "customers.erase",
))  # fmt: skip

# ---- the rules

INACTIVE = "forbid (principal, action, resource) unless { principal.active };"
RULE = """permit (principal, action == Action::{action}, resource in Kind::{resource})
when {{ ({who}) && ({what}) }};"""
SELF = "principal == {p}"
DEPUTY = """{p} has deputy && principal == {p}.deputy && {p}.active && {p}.away_from <= context.now
    && (!({p} has away_until) || context.now < {p}.away_until) && !(resource in Kind::"(personal)")"""
OWN = "resource has owner && resource.owner == {p}"
TEAM = "resource has team && {p} has team && resource.team == {p}.team"
UNIT = "resource has unit && {p} has unit && resource.unit == {p}.unit"
BELOW = "resource has unit && {p} has unit && resource.unit in {p}.unit"
SCOPES = {
    "OWN": OWN, "TEAM": f"({OWN}) || ({TEAM})", "DEPARTMENT": f"({OWN}) || ({UNIT})", "DEPARTMENT_AND_BELOW": f"({OWN}) || ({BELOW})",
    "ALL": "true",
}  # fmt: skip
SHARED_WITH = """permit (principal, action == Action::"read", resource in Kind::{resource})
when {{ resource has unit && resource.unit in {provider} && {begins} <= context.now && context.now < {ends}
    && ((principal has unit && principal.unit in {consumer}) || (principal has team_unit && principal.team_unit in {consumer})) }};"""
ANSWERED = {name: text.replace("resource.", "resource.of_").replace("resource has ", "resource has of_") for name, text in SCOPES.items()}
WORKS_WITH = "resource has customer && {p}.customers.contains(resource.customer)"


# ---- the world


@dataclass(frozen=True)
class Person:
    """Who somebody is."""

    person_id: str
    roles: frozenset[str] = frozenset()
    department_id: str = ""
    team_id: str = ""
    active: bool = True
    deputy_id: str = ""
    away_from: datetime | None = None
    away_until: datetime | None = None
    customers: frozenset[str] = frozenset()

    def away(self, now: datetime) -> bool:
        """Whether a deputy stands in now."""
        begun = self.away_from is None or self.away_from <= now
        return self.active and bool(self.deputy_id) and begun and (self.away_until is None or now < self.away_until)


@dataclass(frozen=True)
class Contract:
    """What a unit shows to another."""

    provider: str
    consumer: str
    resource: str
    fields: frozenset[str]
    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class World:
    """Everything that decides. `parents` is the tree of units; `fields` has (role, resource, field, access)."""

    lines: Sequence[Line]
    people: Sequence[Person]
    now: datetime
    parents: Mapping[str, str] = field(default_factory=dict)
    fields: Sequence[Line] = ()
    personal: frozenset[str] = PERSONAL
    contracts: Sequence[Contract] = ()
    customers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    owner_sees_all: bool = True

    def lies_in(self, unit: str, other: str) -> bool:
        """Whether a unit is another one or stands below it."""
        while unit and unit != other:
            unit = self.parents.get(unit, "")
        return unit == other

    def lent(self, resource: str, action: str = "") -> bool:
        """Whether who stands in for somebody takes a right over."""
        return resource not in self.personal and f"{resource}.{action}" not in self.personal

    def roles_for(self, person: str, resource: str, action: str = "") -> frozenset[str]:
        """The roles that count for somebody on a resource: the own, and those of whom they stand in for."""
        one = next((found for found in self.people if found.person_id == person and found.active), None)
        if one is None:
            return frozenset()
        absent = [other.roles for other in self.people if other.deputy_id == person and other.away(self.now)]
        return one.roles.union(*absent) if self.lent(resource, action) else one.roles

    def granted(self, person: str, resource: str, action: str) -> bool:
        """Whether somebody may do this to anything at all."""
        roles = self.roles_for(person, resource, action)
        return any((line[0] in roles, *line[1:3]) == (True, resource, action) for line in self.lines)


# ---- decisions


def decide(world: World, person: str, resource: str, action: str, record: Mapping[str, Any]) -> bool:
    """Whether a person may do something to one record."""
    return decide_all(world, [(person, resource, action, record)])[0]


def decide_all(world: World, questions: Sequence[Question]) -> list[bool]:
    """Whether each person may do each thing. Cedar tries every policy on every question, and each of ours names one action and one resource:
    it is asked about those together, in a world that has no lines and contracts but of them (`decide_at_once` proves it the same)."""
    alike: dict[tuple[str, str], list[int]] = {}
    for number, (_, resource, action, _) in enumerate(questions):
        alike.setdefault((resource, action), []).append(number)
    found: dict[int, bool] = {}
    for (resource, action), numbers in alike.items():
        lines = [line for line in world.lines if line[1:3] == (resource, action)]
        small = replace(world, lines=lines, contracts=[one for one in world.contracts if one.resource == resource])
        found |= zip(numbers, decide_at_once(small, [questions[number] for number in numbers]), strict=True)
    return [found[number] for number in range(len(questions))]


def decide_at_once(world: World, questions: Sequence[Question]) -> list[bool]:
    """The same by all policies of the world, which takes a hundred times as long where there are many."""
    keys = [json.dumps([resource, record], sort_keys=True) for _, resource, _, record in questions]
    records = {key: (resource, record) for key, (_, resource, _, record) in zip(keys, questions, strict=True)}
    names = {key: str(number) for number, key in enumerate(records)}
    context = json.dumps({"now": _moment(world.now)})
    requests = [
        {"principal": _id("Person", person), "action": _id("Action", action), "resource": _id("Record", names[key]), "context": context}
        for key, (person, _, action, _) in zip(keys, questions, strict=True)
    ]
    entities = [*_people(world), *_tree(world), *_kinds(world, questions)]
    entities += [_record(world, names[key], resource, record) for key, (resource, record) in records.items()]
    answers = cedarpy.is_authorized_batch(requests, "\n".join(policies(world)), entities)
    wrong = [error for answer in answers for error in answer.diagnostics.errors]
    assert not wrong, wrong[0]
    return [answer.allowed for answer in answers]


def policies(world: World) -> Iterator[str]:
    """The world's lines as Cedar policies."""
    yield INACTIVE
    for person in world.people:
        for role, resource, action, scope in world.lines:
            if role not in person.roles:
                continue
            for who in (SELF, DEPUTY) if person.deputy_id and world.lent(resource, action) else (SELF,):
                for what in _grounds(world, action, scope):
                    text = RULE.replace("{who}", who).replace("{what}", what)
                    yield text.format(p=_literal("Person", person.person_id), action=json.dumps(action), resource=json.dumps(resource))
    for one in world.contracts:
        yield SHARED_WITH.format(
            resource=json.dumps(one.resource), provider=_literal("Unit", one.provider), consumer=_literal("Unit", one.consumer),
            begins=_moment(one.begins), ends=_moment(one.ends),
        )  # fmt: skip


def _grounds(world: World, action: str, scope: str) -> Iterator[str]:
    """What a line admits: by the record's owner; by its customer's, to read; to who works with the customer."""
    yield SCOPES[scope]
    if action in SHARED:
        yield WORKS_WITH
    if action == "read" and world.owner_sees_all:
        yield ANSWERED[scope]


def _literal(kind: str, name: str) -> str:
    return f"{kind}::{json.dumps(name)}"


def _id(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _moment(time: datetime) -> int:
    return (time - ANY_TIME) // timedelta(microseconds=1)


def _entity(kind: str, name: str, parents: Sequence[dict[str, str]] = (), **attributes: Any) -> dict[str, Any]:
    """An entity; what is empty it does not have."""
    known = {key: value for key, value in attributes.items() if value not in (None, "")}
    return {"uid": _id(kind, name), "attrs": known, "parents": list(parents)}


def _reference(kind: str, name: str) -> Any:
    return {"__entity": _id(kind, name)} if name else None


def _people(world: World) -> Iterator[dict[str, Any]]:
    for one in world.people:
        yield _entity(
            "Person", one.person_id, active=one.active, customers=sorted(one.customers), team=one.team_id,
            unit=_reference("Unit", one.department_id), team_unit=_reference("Unit", one.team_id), deputy=_reference("Person", one.deputy_id),
            away_from=_moment(one.away_from or ANY_TIME), away_until=_moment(one.away_until) if one.away_until else None,
        )  # fmt: skip


def _tree(world: World) -> Iterator[dict[str, Any]]:
    for unit, parent in world.parents.items():
        yield _entity("Unit", unit, [_id("Unit", parent)] if parent else [])


def _kinds(world: World, questions: Sequence[Question]) -> Iterator[dict[str, Any]]:
    for resource in {question[1] for question in questions}:
        yield _entity("Kind", resource, [_id("Kind", "(personal)")] if resource in world.personal else [])


def _record(world: World, name: str, resource: str, record: Mapping[str, Any]) -> dict[str, Any]:
    customer = record.get("id" if resource == "customers" else "customer_id")
    above = world.customers.get(customer or "", {}) if resource != "customers" else {}
    return _entity(
        "Record", name, [_id("Kind", resource)], owner=_reference("Person", record.get("owner_id") or ""), team=record.get("team_id"),
        unit=_reference("Unit", record.get("department_id") or ""), customer=customer,
        of_owner=_reference("Person", above.get("owner_id") or ""), of_team=above.get("team_id"),
        of_unit=_reference("Unit", above.get("department_id") or ""),
    )  # fmt: skip


# ---- fields


def field_access(world: World, person: str, resource: str, name: str) -> str:
    """How much of a field a person gets where they reach the record: by their own roles, if any grants something on the resource; else
    the least of what those would get for whom they stand in."""
    one = next((found for found in world.people if found.person_id == person and found.active), None)
    if one is None:
        return "WRITE"
    lending = [] if resource in world.personal else [o.roles for o in world.people if o.deputy_id == person and o.away(world.now)]
    own = _widest(world, one.roles, resource, name)
    told = [own] if own is not None else [level for roles in lending if (level := _widest(world, roles, resource, name)) is not None]
    return ACCESSES[min(told, default=ACCESSES.index("WRITE"))]


def _widest(world: World, roles: frozenset[str], resource: str, name: str) -> int | None:
    """The widest access that roles give to a field; None when none of them grants anything on the resource."""
    counting = {role for role in roles if any(line[:2] == (role, resource) for line in world.lines)}
    limits = {line[0]: ACCESSES.index(line[3]) for line in world.fields if line[1:3] == (resource, name)}
    return max((limits.get(role, ACCESSES.index("WRITE")) for role in counting), default=None)


def shown_by_contracts(world: World, person: str, resource: str, record: Mapping[str, Any]) -> frozenset[str]:
    """The fields that contracts show of a record, whatever roles do. Who has no role for the resource gets none that a role of theirs
    shows less of; otherwise that is for `field_access` to say."""
    one = next(found for found in world.people if found.person_id == person)
    shown: set[str] = set()
    for each in world.contracts:
        theirs = any(unit and world.lies_in(unit, each.consumer) for unit in (one.department_id, one.team_id))
        whose = bool(record.get("department_id")) and world.lies_in(record["department_id"], each.provider)
        if each.resource == resource and theirs and whose and each.begins <= world.now < each.ends:
            shown |= each.fields
    if _widest(world, one.roles, resource, "") is None:
        shown -= {
            name for role, kind, name, access in world.fields if role in one.roles and kind == resource and access in ("HIDDEN", "MASKED")
        }
    return frozenset(shown)
