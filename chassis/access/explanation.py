"""Why somebody may, or may not: the same reach and limits by which every call is decided, told ground by ground. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.access.caller import HIDDEN, READ, WRITE, Caller, Ground
from chassis.access.directory import Directory
from chassis.kernel.errors import NotAllowed

Document = Mapping[str, Any]
SCOPES = (
    "none",
    "own records",
    "records of the team",
    "records of the department",
    "records of the department and those below",
    "all records",
)
ACCESSES = ("", "nothing", "a masked part", "all, but not to change", "all")


@dataclass(frozen=True)
class Reason:
    """One reason of a decision; `rule` is a name of AccessRule."""

    rule: str
    text: str
    role: str = ""
    scope: int = 0
    absent_person_id: str = ""


@dataclass(frozen=True)
class Explanation:
    """A decision and what it rests on. `field_access` is 0 when no field was asked about."""

    allowed: bool
    reasons: tuple[Reason, ...]
    field_access: int = 0


def explain(
    directory: Directory, person: Caller, resource: str, action: str, document: Document | None, *,
    customer_key: str = "", customers: Mapping[str, tuple[str, ...]] | None = None, field: str = "",
) -> Explanation:  # fmt: skip
    """Whether a person may do the action on the record, and why. No record is answered as one that lies out of reach."""
    try:
        grounds = directory.reach(person, resource, action, customer_key, customers).grounds
    except NotAllowed:
        return Explanation(False, (Reason("NONE", f"no role of the person allows «{action}» on {resource}"),))
    granting = [reason for ground in grounds for reason in _granting(ground, document)] if document is not None else []
    if not granting:
        return Explanation(False, tuple(_outside(ground) for ground in grounds))
    if not field:
        return Explanation(True, tuple(granting))
    level = directory.limits(person, resource).get(field, WRITE)
    needed = READ if action == "read" else WRITE
    allowed = level >= needed or (action == "read" and level > HIDDEN)
    limit = [Reason("FIELD", f"the roles give of «{field}» {ACCESSES[level]}")] if level < WRITE else []
    return Explanation(allowed, (*limit, *granting), level)


def _granting(ground: Ground, document: Document) -> list[Reason]:
    found = []
    if ground.by_role(document):
        rule = "DEPUTY" if ground.absent else "ROLE"
        text = f"role {ground.role} reaches {SCOPES[ground.scope]}, and this is one"
        found.append(Reason(rule, f"standing in for {ground.person_id}: {text}" if ground.absent else text, *_of(ground)))
    if ground.by_collaboration(document):
        text = f"{ground.person_id} works with the customer: on its team, or holder of open work"
        found.append(Reason("COLLABORATION", text, *_of(ground)))
    return found


def _outside(ground: Ground) -> Reason:
    text = f"role {ground.role} reaches {SCOPES[ground.scope]}; this is none of them, or there is no such record"
    return Reason("NONE", text, *_of(ground))


def _of(ground: Ground) -> tuple[str, int, str]:
    return ground.role, ground.scope, ground.person_id if ground.absent else ""
