"""What a department knows of policy, people and units: read-only, replaced whole when the organization announces a change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from crm.common.v1 import access_pb2

from chassis.access.caller import DEPARTMENT, DEPARTMENT_AND_BELOW, Caller, Reach, refused


@dataclass(frozen=True)
class Member:
    """What another department needs to know of a person."""

    person_id: str
    department_id: str
    team_id: str
    skills: frozenset[str]
    active: bool
    roles: frozenset[str]


@dataclass
class Directory:
    """Policy, people and units at one revision."""

    revision: int = 0
    grants: dict[tuple[str, str, str], int] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    below: dict[str, tuple[str, ...]] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    @staticmethod
    def of(message: access_pb2.Directory) -> Directory:
        """The directory as the organization sent it."""
        grants: dict[tuple[str, str, str], int] = {}
        for grant in message.grants:
            key = (grant.role, grant.resource, grant.action)
            grants[key] = max(grants.get(key, 0), grant.scope)
        members = {
            m.person_id: Member(m.person_id, m.department_id, m.team_id, frozenset(m.skills), m.active, frozenset(m.roles))
            for m in message.members
        }
        return Directory(message.revision, grants, members, _below(message.units), frozenset(message.revoked_session_ids))

    def scope(self, roles: Iterable[str], resource: str, action: str) -> int:
        """The widest scope that the roles grant; 0 for none."""
        return max((self.grants.get((role, resource, action), 0) for role in roles), default=0)

    def allows(self, caller: Caller, resource: str, action: str) -> bool:
        """Whether the caller may do the action on any record of the resource at all."""
        return self.scope(caller.roles, resource, action) > 0

    def reach(self, caller: Caller, resource: str, action: str) -> Reach:
        """How far the caller's right reaches; raises NotAllowed when there is none."""
        scope = self.scope(caller.roles, resource, action)
        if not scope:
            raise refused(resource, action)
        departments: tuple[str, ...] = ()
        if scope == DEPARTMENT and caller.department_id:
            departments = (caller.department_id,)
        elif scope == DEPARTMENT_AND_BELOW and caller.department_id:
            departments = (caller.department_id, *self.below.get(caller.department_id, ()))
        return Reach(scope, caller.person_id, caller.team_id, departments)


def _below(units: Iterable[access_pb2.Unit]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for unit in units:
        for ancestor in unit.ancestor_ids:
            found.setdefault(ancestor, []).append(unit.department_id)
    return {unit: tuple(sorted(ids)) for unit, ids in found.items()}
