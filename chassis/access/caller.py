"""Who is calling, and how far each right of theirs reaches. The mechanism only: which role may what is data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.kernel.errors import NotAllowed

OWN, TEAM, DEPARTMENT, DEPARTMENT_AND_BELOW, ALL = range(1, 6)


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


@dataclass(frozen=True)
class Reach:
    """How far one right reaches: the fields of a record that decide, and the values that admit."""

    scope: int
    person_id: str = ""
    team_id: str = ""
    department_ids: tuple[str, ...] = ()

    def filter(self) -> dict[str, Any]:
        """The MongoDB filter of the records within reach."""
        if self.scope == ALL:
            return {}
        mine = {"owner_id": self.person_id}
        if self.scope == TEAM and self.team_id:
            return {"$or": [mine, {"team_id": self.team_id}]}
        if self.scope in (DEPARTMENT, DEPARTMENT_AND_BELOW) and self.department_ids:
            return {"$or": [mine, {"department_id": {"$in": list(self.department_ids)}}]}
        return mine

    def admits(self, document: Mapping[str, Any]) -> bool:
        """Whether a record is within reach; means the same as `filter`."""
        if self.scope == ALL or document.get("owner_id") == self.person_id:
            return True
        if self.scope == TEAM:
            return bool(self.team_id) and document.get("team_id") == self.team_id
        if self.scope in (DEPARTMENT, DEPARTMENT_AND_BELOW):
            return document.get("department_id") in self.department_ids
        return False


def refused(resource: str, action: str) -> NotAllowed:
    """The refusal of an action on a resource, without telling whether the record exists."""
    return NotAllowed(
        f"your roles do not allow «{action}» on {resource} here; ask an administrator for the right or the owner for the record"
    )
