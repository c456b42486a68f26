"""What a department knows of policy, people and units: read-only, replaced whole when the organization announces a change. What changes by
itself, such as rates, comes beside it in parts (`chassis/access/parts.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from crm.common.v1 import access_pb2

from chassis.access.calendars import upward
from chassis.access.caller import ALL, COLLABORATION, DEPARTMENT, DEPARTMENT_AND_BELOW, READ, WRITE, Caller, Ground, Reach, refused
from chassis.access.contracts import AGREEMENTS, Agreement, Contract
from chassis.access.parts import WORK_TIMES, Parts
from chassis.kernel.clock import now
from chassis.kernel.errors import unauthenticated
from chassis.kernel.worktime import WorkTime

NO_LIMITS: Mapping[str, int] = {}
Customers = Mapping[str, tuple[str, ...]]  # person → ids
Owned = Mapping[tuple[str, int], tuple[str, ...]]  # person and scope → ids


@dataclass(frozen=True)
class Member:
    """What another department needs to know of a person."""

    person_id: str
    department_id: str
    team_id: str
    skills: frozenset[str]
    active: bool
    roles: frozenset[str]
    deputy_id: str = ""
    absent_from: datetime | None = None
    absent_until: datetime | None = None
    manager_id: str = ""
    successor_id: str = ""
    time_zone: str = ""
    calendar_id: str = ""

    def away(self, moment: datetime) -> bool:
        """Whether the person is absent and somebody stands in."""
        if not self.deputy_id or not self.active or (self.absent_from and moment < self.absent_from):
            return False
        return self.absent_until is None or moment < self.absent_until


@dataclass
class Directory:
    """Policy, people and units at one revision. `fields` holds role and resource → field → how much (only what is limited);
    `personal` the resources whose rights a deputy does not take over, and single rights ("customers.erase"); `contracts` what departments
    show to others; `owner_sees_all` says that a scope reaches what belongs to a customer by the owner of that customer too; `above` the units
    over each unit, the nearest first; `leads` who leads a unit; `calendars` the own work calendars of units; `parts` what comes with it and changes by itself."""

    revision: int = 0
    grants: dict[tuple[str, str, str], int] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    below: dict[str, tuple[str, ...]] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
    fields: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    personal: frozenset[str] = frozenset()
    contracts: tuple[Contract, ...] = ()
    owner_sees_all: bool = False
    above: dict[str, tuple[str, ...]] = field(default_factory=dict)
    leads: dict[str, str] = field(default_factory=dict)
    calendars: dict[str, str] = field(default_factory=dict)
    parts: Parts = field(default_factory=Parts)

    def __post_init__(self) -> None:
        self._resources = {(role, resource) for role, resource, _ in self.grants}
        self._limited = {resource for _, resource in self.fields}
        self._limits: dict[tuple[frozenset[str], str], Mapping[str, int]] = {}
        self._scopes: dict[tuple[frozenset[str], str, str], tuple[tuple[int, str], ...]] = {}
        self._contracts: dict[str, list[Contract]] = {}
        for contract in self.contracts:
            self._contracts.setdefault(contract.resource, []).append(contract)
            self._contracts.setdefault(AGREEMENTS, []).append(Agreement.of(contract))
        self._represented: dict[str, list[Member]] = {}
        for member in self.members.values():
            if member.deputy_id:
                self._represented.setdefault(member.deputy_id, []).append(member)

    @staticmethod
    def of(message: access_pb2.Directory, parts: Parts | None = None) -> Directory:
        """The directory as the organization sent it, with the parts that are held."""
        grants: dict[tuple[str, str, str], int] = {}
        for grant in message.grants:
            key = (grant.role, grant.resource, grant.action)
            grants[key] = max(grants.get(key, 0), grant.scope)
        fields: dict[tuple[str, str], dict[str, int]] = {}
        for line in message.field_grants:
            fields.setdefault((line.role, line.resource), {})[line.field] = line.access
        below = _below(message.units)
        return Directory(
            message.revision, grants, {m.person_id: _member(m) for m in message.members}, below,
            frozenset(message.revoked_session_ids), fields, frozenset(message.personal_resources),
            tuple(_contract(one, below) for one in message.contracts), message.owner_sees_all,
            {unit.department_id: tuple(reversed(unit.ancestor_ids)) for unit in message.units},
            {unit.department_id: unit.lead_id for unit in message.units if unit.lead_id},
            {unit.department_id: unit.work_calendar_id for unit in message.units if unit.work_calendar_id}, parts or Parts(),
        )  # fmt: skip

    def with_parts(self, parts: Parts) -> Directory:
        """The same directory with other parts; people, units and policy are shared, not made anew."""
        found = copy(self)
        found.parts = parts
        return found

    def present(self, caller: Caller) -> Caller:
        """The caller with the roles and the place that they have now; a token may be older. Raises NotAllowed for one who has left."""
        member = self.members.get(caller.person_id)
        if member is None:  # a service, or somebody whom the next revision brings
            return caller
        if not member.active:
            raise unauthenticated("The person has left.")
        return replace(caller, roles=member.roles, department_id=member.department_id, team_id=member.team_id)

    def available(self, person_id: str, moment: datetime | None = None) -> bool:
        """Whether somebody works here and is not away: whom work may be given to without being asked for."""
        member = self.members.get(person_id)
        return member is not None and member.active and not member.away(moment or now())

    def has_left(self, person_id: str) -> bool:
        """Whether it is known that somebody works here no more; of whom the directory knows nothing yet, it is not."""
        member = self.members.get(person_id)
        return member is not None and not member.active

    def substitute(self, person_id: str, moment: datetime | None = None) -> str:
        """Who takes the work of somebody who is away or has left: the deputy or successor, else the manager, else who leads the team, the
        department or a unit above, the nearest first. One of them who is away hands on to the own deputy. "" where there is nobody."""
        moment, member = moment or now(), self.members.get(person_id)
        if member is None:
            return ""
        for candidate in (member.deputy_id if member.away(moment) else member.successor_id, member.manager_id, *self._leads_of(member)):
            found = self._reached(candidate, moment, {person_id})
            if found:
                return found
        return ""

    def _reached(self, person_id: str, moment: datetime, passed: set[str]) -> str:
        """The person, or who stands in or came after, as often as it takes; "" where the line ends or comes back."""
        while person_id and person_id not in passed:
            if self.available(person_id, moment):
                return person_id
            passed = passed | {person_id}
            member = self.members.get(person_id)
            person_id = "" if member is None else member.deputy_id if member.active else member.successor_id
        return ""

    def _leads_of(self, member: Member) -> Iterator[str]:
        for unit in (member.team_id, member.department_id, *self.above.get(member.department_id, ())):
            if unit in self.leads:
                yield self.leads[unit]

    def calendar_of(self, person_id: str = "", department_id: str = "") -> str:
        """The work calendar that counts for a person or a unit: the own one, else that of the team, the department, the units above, the nearest
        first, else the default, which is also that of whom nobody knows. "" as long as no calendars came."""
        member = self.members.get(person_id)
        line = upward((member.team_id, member.department_id) if member else (department_id,), self.above)
        own = (member.calendar_id if member else "", *(self.calendars.get(unit, "") for unit in line))
        return self.parts.get(WORK_TIMES).effective(filter(None, own))

    def working_time(self, moment: datetime, *, person_id: str = "", department_id: str = "", calendar_id: str = "") -> WorkTime:
        """The working time of a person, a unit, or by a calendar, for the years around a moment. It stands on what the organization sent last, so
        it is there while that is away. Raises Conflict as long as no calendars came."""
        return self.parts.get(WORK_TIMES).work_time(calendar_id or self.calendar_of(person_id, department_id), moment.year)

    def scope(self, roles: Iterable[str], resource: str, action: str) -> int:
        """The widest scope that the roles grant; 0 for none."""
        grants = self.grants
        return max((grants.get((role, resource, action), 0) for role in roles), default=0)

    def represented(self, person_id: str, moment: datetime | None = None) -> list[Member]:
        """The absent people for whom a person stands in at the moment."""
        found = self._represented.get(person_id)
        if not found:
            return []
        moment = moment or now()
        return [member for member in found if member.away(moment)]

    def allows(self, caller: Caller, resource: str, action: str) -> bool:
        """Whether the caller may do the action on any record of the resource at all."""
        if self.scope(caller.roles, resource, action):
            return True
        if self.is_personal(resource, action):
            return False
        return any(self.scope(member.roles, resource, action) for member in self.represented(caller.person_id))

    def is_personal(self, resource: str, action: str) -> bool:
        """Whether a right is somebody's own and not lent to who stands in."""
        return resource in self.personal or f"{resource}.{action}" in self.personal

    def scopes(self, roles: frozenset[str], resources: Iterable[str]) -> frozenset[int]:
        """The scopes in which the roles read any of the resources."""
        return frozenset(scope for resource in resources for scope, _ in self._granted(roles, resource, "read"))

    def reach(
        self, caller: Caller, resource: str, action: str, customer_key: str = "", customers: Customers | None = None,
        owned: Owned | None = None,
    ) -> Reach:  # fmt: skip
        """How far the caller's right reaches; raises NotAllowed when there is none.

        `customers` are the customers with whom the caller and those they stand in for work, `owned` by person and scope those whose owner it
        reaches, `customer_key` the field of a record that names one.
        """
        own = owned if owned and action == "read" and self.owner_sees_all and customer_key != "_id" else {}
        key = customer_key if (customers or own) and action in COLLABORATION else ""
        known = (customers or {}, own)
        place = (caller.person_id, caller.department_id, caller.team_id)
        grounds = self._grounds(place, caller.roles, resource, action, key, known)
        if not self.is_personal(resource, action):
            for member in self.represented(caller.person_id):
                place = (member.person_id, member.department_id, member.team_id)
                grounds += self._grounds(place, member.roles, resource, action, key, known, absent=True)
        if not grounds:
            raise refused(resource, action)
        return Reach(tuple(grounds))

    def contracts_for(self, caller: Caller, resource: str, moment: datetime | None = None) -> tuple[Contract, ...]:
        """The contracts that open records of the resource to the caller at the moment, to be read in part.

        They are for the people of a department: not for services and keys, and not for who stands in for somebody from there.
        """
        found = self._contracts.get(resource)
        if not found:
            return ()
        member, units = self.members.get(caller.person_id), {caller.department_id, caller.team_id}
        if member is None or not member.active:
            return ()
        moment = moment or now()
        secret = self._secret(caller.roles, resource)
        running = (one for one in found if one.runs(moment) and not one.consumers.isdisjoint(units))
        return tuple(replace(one, fields=one.fields - secret) if secret else one for one in running)

    def _secret(self, roles: frozenset[str], resource: str) -> frozenset[str]:
        """What roles show less of without opening anything of the resource: then no limit is laid on an answer, and a contract must not show it."""
        if any((role, resource) in self._resources for role in roles):
            return frozenset()
        lines = (self.fields.get((role, resource), {}) for role in roles)
        return frozenset(name for line in lines for name, level in line.items() if level < READ)

    def _grounds(
        self, place: tuple[str, str, str], roles: frozenset[str], resource: str, action: str, key: str,
        known: tuple[Customers, Owned], *, absent: bool = False,
    ) -> list[Ground]:  # fmt: skip
        """One ground for each scope that the roles give: a team may reach into another department, so the wider one does not hold both."""
        person_id, department_id, team_id = place
        working = known[0].get(person_id, ()) if key else ()
        grounds = []
        for scope, role in self._granted(roles, resource, action):
            departments: tuple[str, ...] = ()
            if scope in (DEPARTMENT, DEPARTMENT_AND_BELOW) and department_id:
                departments = (department_id,) if scope == DEPARTMENT else (department_id, *self.below.get(department_id, ()))
            owned = known[1].get((person_id, scope), ()) if key else ()
            grounds.append(Ground(scope, person_id, team_id, departments, role, absent, key, working, owned))
        return grounds

    def _granted(self, roles: frozenset[str], resource: str, action: str) -> tuple[tuple[int, str], ...]:
        """The scopes that the roles give, the widest first, each with a role that gives it; worked out once."""
        found = self._scopes.get((roles, resource, action))
        if found is None:
            by_scope = {self.grants.get((role, resource, action), 0): role for role in sorted(roles, reverse=True)}
            wanted = [ALL] if ALL in by_scope else sorted(by_scope.keys() - {0}, reverse=True)
            found = self._scopes[roles, resource, action] = tuple((scope, by_scope[scope]) for scope in wanted)
        return found

    def limits(self, caller: Caller, resource: str) -> Mapping[str, int]:
        """Fields of the resource of which the caller gets less than all, with how much. Of several roles that grant anything on it, the widest counts."""
        if resource not in self._limited:
            return NO_LIMITS
        roles = caller.roles
        if resource not in self.personal and not any((role, resource) in self._resources for role in roles):
            # Only what the absent lend at all comes with their fields: else a deputyship would show more of everybody's records.
            lent = [member.roles for member in self.represented(caller.person_id)]
            return _narrowest([self._limit(each, resource) for each in lent if any((role, resource) in self._resources for role in each)])
        key = (roles, resource)
        found = self._limits.get(key)
        if found is None:
            found = self._limits[key] = self._limit(roles, resource)
        return found

    def _limit(self, roles: frozenset[str], resource: str) -> Mapping[str, int]:
        lines = [self.fields.get((role, resource), {}) for role in roles if (role, resource) in self._resources]
        if not lines:
            return NO_LIMITS
        names = set(lines[0]).intersection(*lines[1:])  # a role that does not name a field gets all of it
        widest = {name: max(line[name] for line in lines) for name in names}
        return {name: level for name, level in widest.items() if level < WRITE}


def _narrowest(limits: list[Mapping[str, int]]) -> Mapping[str, int]:
    """Of several people's limits, the least of each field."""
    names = {name for each in limits for name in each}
    return {name: min(each.get(name, WRITE) for each in limits) for name in names}


def _member(message: access_pb2.Member) -> Member:
    begins, ends = message.absence_start_time, message.absence_end_time
    return Member(
        message.person_id, message.department_id, message.team_id, frozenset(message.skills), message.active, frozenset(message.roles),
        message.deputy_id, begins.ToDatetime(UTC) if message.HasField("absence_start_time") else None,
        ends.ToDatetime(UTC) if message.HasField("absence_end_time") else None, message.manager_id, message.successor_id, message.time_zone,
        message.work_calendar_id,
    )  # fmt: skip


def _contract(message: access_pb2.SharingTerms, below: Mapping[str, tuple[str, ...]]) -> Contract:
    provider, consumer = message.provider_department_id, message.consumer_department_id
    return Contract(
        department_ids=(provider, *below.get(provider, ())), consumers=frozenset((consumer, *below.get(consumer, ()))),
        contract_id=message.contract_id, title=message.display_name, purpose=message.purpose, resource=message.resource,
        fields=frozenset(message.fields), begins=message.start_time.ToDatetime(UTC), ends=message.end_time.ToDatetime(UTC),
    )  # fmt: skip


def _below(units: Iterable[access_pb2.Unit]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for unit in units:
        for ancestor in unit.ancestor_ids:
            found.setdefault(ancestor, []).append(unit.department_id)
    return {unit: tuple(sorted(ids)) for unit, ids in found.items()}
