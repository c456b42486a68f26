"""Why somebody may, or may not: the same reach and limits by which every call is decided, told ground by ground. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis.access.caller import HIDDEN, READ, WRITE, Caller, Ground
from chassis.access.contracts import Contract
from chassis.access.directory import Customers, Directory, Owned
from chassis.access.fields import KEPT
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
    contract_id: str = ""


@dataclass(frozen=True)
class Explanation:
    """A decision and what it rests on. `field_access` is 0 when no field was asked about."""

    allowed: bool
    reasons: tuple[Reason, ...]
    field_access: int = 0


def explain(
    directory: Directory, person: Caller, resource: str, action: str, document: Document | None, *,
    customer_key: str = "", customers: Customers | None = None, owned: Owned | None = None, field: str = "", kept: frozenset[str] = KEPT,
) -> Explanation:  # fmt: skip
    """Whether a person may do the action on the record, and why. No record is answered as one that lies out of reach."""
    grounds = _grounds(directory, person, resource, action, customer_key, customers, owned)
    granting = [reason for ground in grounds for reason in _granting(ground, document)] if document is not None else []
    shown = [one for one in _contracts(directory, person, resource, action) if document is not None and one.admits(document)]
    reasons = (*granting, *map(_by_contract, shown))
    if not reasons:
        outside = [_outside(ground) for ground in grounds]
        return Explanation(False, tuple(outside) or (Reason("NONE", f"no role of the person allows «{action}» on {resource}"),))
    if not field:
        return Explanation(True, reasons)
    if not granting:
        return _shown(shown, field, directory.limits(person, resource).get(field, WRITE), kept)
    return _limited(directory.limits(person, resource).get(field, WRITE), field, action, reasons)


def _grounds(
    directory: Directory, person: Caller, resource: str, action: str, customer_key: str, customers: Customers | None, owned: Owned | None
) -> tuple[Ground, ...]:
    try:
        return directory.reach(person, resource, action, customer_key, customers, owned).grounds
    except NotAllowed:
        return ()


def _contracts(directory: Directory, person: Caller, resource: str, action: str) -> tuple[Contract, ...]:
    return directory.contracts_for(person, resource) if action == "read" else ()


def _limited(level: int, field: str, action: str, granting: tuple[Reason, ...]) -> Explanation:
    """A field of a record that a role or collaboration reaches."""
    needed = READ if action == "read" else WRITE
    allowed = level >= needed or (action == "read" and level > HIDDEN)
    limit = [Reason("FIELD", f"the roles give of «{field}» {ACCESSES[level]}")] if level < WRITE else []
    return Explanation(allowed, (*limit, *granting), level)


def _shown(contracts: list[Contract], field: str, level: int, kept: frozenset[str]) -> Explanation:
    """A field of a record that only contracts show: no more than they name, and than the roles give of it."""
    naming = [one for one in contracts if one.shows((field,), kept)]
    limit = [Reason("FIELD", f"the roles give of «{field}» {ACCESSES[level]}")] if level < READ else []
    if not naming:
        limit = [Reason("FIELD", f"none of the contracts names «{field}»")]
    found = min(level, READ) if naming else HIDDEN
    return Explanation(found > HIDDEN, (*limit, *map(_by_contract, naming or contracts)), found)


def _by_contract(contract: Contract) -> Reason:
    text = f"sharing contract «{contract.title}» shows it to the department of the person, for: {contract.purpose}"
    return Reason("CONTRACT", text, contract_id=contract.contract_id)


def _granting(ground: Ground, document: Document) -> list[Reason]:
    found = []
    if ground.by_role(document):
        rule = "DEPUTY" if ground.absent else "ROLE"
        text = f"role {ground.role} reaches {SCOPES[ground.scope]}, and this is one"
        found.append(Reason(rule, f"standing in for {ground.person_id}: {text}" if ground.absent else text, *_of(ground)))
    if ground.by_collaboration(document):
        text = f"{ground.person_id} works with the customer: on its team, or holder of open work"
        found.append(Reason("COLLABORATION", text, *_of(ground)))
    if ground.by_ownership(document) and not found:
        text = f"role {ground.role} reaches {SCOPES[ground.scope]}, and the customer is one: who answers for it sees what is done with it"
        found.append(Reason("OWNERSHIP", text, *_of(ground)))
    return found


def _outside(ground: Ground) -> Reason:
    text = f"role {ground.role} reaches {SCOPES[ground.scope]}; this is none of them, or there is no such record"
    return Reason("NONE", text, *_of(ground))


def _of(ground: Ground) -> tuple[str, int, str]:
    return ground.role, ground.scope, ground.person_id if ground.absent else ""
