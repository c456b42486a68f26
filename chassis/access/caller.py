"""Who is calling, and how far each right of theirs reaches. The mechanism only: which role may what is data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.kernel.errors import NotAllowed
from chassis.kernel.rules import sentence

OWN, TEAM, DEPARTMENT, DEPARTMENT_AND_BELOW, ALL = range(1, 6)
HIDDEN, MASKED, READ, WRITE = range(1, 5)
# What collaboration opens, for those whose roles allow it on any record at all.
COLLABORATION = frozenset(("read", "create", "update"))


@dataclass(frozen=True)
class Caller:
    """A verified person or service. `session_id` is empty for services; `token` is what was sent, to be passed on."""

    person_id: str
    roles: frozenset[str]
    department_id: str = ""
    team_id: str = ""
    session_id: str = ""
    token: str = ""

    @property
    def is_service(self) -> bool:
        """Whether this is a department or tool rather than a person."""
        return self.person_id.startswith("service-")

    @property
    def is_key(self) -> bool:
        """Whether this is an API key, which is its own session."""
        return bool(self.session_id) and self.session_id == self.person_id


@dataclass(frozen=True)
class Ground:
    """One ground on which a right reaches records: a scope as seen from one person, the caller or somebody absent for whom they stand in.

    `role` is the role that grants it; `customer_ids` are the customers with whom the person works, `owned_ids` those whose owner the scope
    reaches, `customer_key` the field that names a record's customer ("" where neither opens anything).
    """

    scope: int
    person_id: str = ""
    team_id: str = ""
    department_ids: tuple[str, ...] = ()
    role: str = ""
    absent: bool = False
    customer_key: str = ""
    customer_ids: tuple[str, ...] = ()
    owned_ids: tuple[str, ...] = ()

    def clauses(self) -> list[dict[str, Any]]:
        """The MongoDB filters any of which admits; not for the scope ALL."""
        found: list[dict[str, Any]] = [{"owner_id": self.person_id}]
        if self.scope == TEAM and self.team_id:
            found.append({"team_id": self.team_id})
        if self.scope in (DEPARTMENT, DEPARTMENT_AND_BELOW) and self.department_ids:
            found.append({"department_id": {"$in": list(self.department_ids)}})
        if self.customer_key and (known := dict.fromkeys((*self.customer_ids, *self.owned_ids))):
            found.append({self.customer_key: {"$in": list(known)}})
        return found

    def by_role(self, document: Mapping[str, Any]) -> bool:
        """Whether the scope of the role alone admits a record."""
        if self.scope == ALL or document.get("owner_id") == self.person_id:
            return True
        if self.scope == TEAM:
            return bool(self.team_id) and document.get("team_id") == self.team_id
        if self.scope in (DEPARTMENT, DEPARTMENT_AND_BELOW):
            return document.get("department_id") in self.department_ids
        return False

    def by_collaboration(self, document: Mapping[str, Any]) -> bool:
        """Whether the person works with the record's customer."""
        return bool(self.customer_key) and document.get(self.customer_key) in self.customer_ids

    def by_ownership(self, document: Mapping[str, Any]) -> bool:
        """Whether the scope admits the record's customer: whoever answers for a customer sees all that is done with it."""
        return bool(self.customer_key) and document.get(self.customer_key) in self.owned_ids

    def admits(self, document: Mapping[str, Any]) -> bool:
        """Whether a record is within reach; means the same as the clauses."""
        return self.by_role(document) or self.by_collaboration(document) or self.by_ownership(document)


@dataclass(frozen=True)
class Reach:
    """How far one right reaches: one ground or several, which add up. The caller's own comes first."""

    grounds: tuple[Ground, ...]

    @property
    def everything(self) -> bool:
        """Whether it reaches every record."""
        return any(ground.scope == ALL for ground in self.grounds)

    def filter(self) -> dict[str, Any]:
        """The MongoDB filter of the records within reach."""
        if self.everything:
            return {}
        if not self.grounds:
            return {"_id": {"$in": []}}
        clauses: list[dict[str, Any]] = []
        for clause in (clause for ground in self.grounds for clause in ground.clauses()):
            if clause not in clauses:
                clauses.append(clause)
        return clauses[0] if len(clauses) == 1 else {"$or": clauses}

    def admits(self, document: Mapping[str, Any]) -> bool:
        """Whether a record is within reach; means the same as `filter`."""
        return any(ground.admits(document) for ground in self.grounds)

    def deputy_for(self, document: Mapping[str, Any]) -> str:
        """The absent person in whose reach alone the record lies; "" when the caller reaches it without standing in."""
        deciding = next((ground for ground in self.grounds if ground.admits(document)), None)
        return deciding.person_id if deciding and deciding.absent else ""


def refused(resource: str, action: str) -> NotAllowed:
    """The refusal of an action on a resource, without telling whether the record exists."""
    return _refused("right.here", action=action, resource=resource)


def lacking(resource: str, action: str) -> NotAllowed:
    """The refusal of an action that the caller may do on no record of a resource."""
    return _refused("right", action=action, resource=resource)


def not_settable(name: str, path: str) -> NotAllowed:
    """The refusal of a field that the caller may not set."""
    return _refused("right.field", path, name=name)


def _refused(rule: str, field: str = "", **params: str) -> NotAllowed:
    told = {"rule": rule, **params}
    return NotAllowed(sentence(told), field=field, params=told)
