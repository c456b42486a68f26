"""What the page of the policy comes to: families become the resources of their contracts, and actions that no contract has fall away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from chassis.rpc.contract import departments, nouns
from services.organization.access import catalogue
from services.organization.access.model import (
    ALL,
    EVERY_ACTION,
    EVERY_DEPARTMENT,
    PERSON,
    PERSONAL,
    PERSONAL_FAMILIES,
    ROLES,
    SERVICES,
    TOOL,
    Rights,
    rights,
)


@cache
def families() -> Mapping[str, tuple[str, ...]]:
    """Family → its resources, by the contracts."""
    found: dict[str, tuple[str, ...]] = {}
    for noun in nouns():
        if not noun.traits.family:
            raise RuntimeError(f"{noun.record.full_name} belongs to no family; name one in option (crm.common.v1.noun)")
        found[noun.traits.family] = (*found.get(noun.traits.family, ()), noun.resource)
    return found


def spread(lines: Rights) -> Rights:
    """Rights by resource; a line of a single resource counts in place of its family's. Raises RuntimeError for a word that is neither."""
    known, actions = families(), catalogue.actions()
    if unknown := [name for name in lines if name not in known and name not in actions]:
        raise RuntimeError(f"the policy names {', '.join(unknown)}, which is no family and no resource of a contract")
    found = {resource: line for name, line in lines.items() for resource in known.get(name, ())}
    found |= {name: line for name, line in lines.items() if name not in known}
    left = {name: {action: scope for action, scope in line.items() if action in actions.get(name, ())} for name, line in found.items()}
    return {name: line for name, line in left.items() if line}


@cache
def roles() -> Mapping[str, Rights]:
    """What each shipped role allows."""
    return {role: spread(PERSON | lines) for role, lines in ROLES.items()}


@cache
def services() -> dict[str, Rights]:
    """What each department's own service, and the command line, may: everything with what it owns, and what it needs beside. Actions that no
    method has are among them: what a department does by itself is judged by their names too."""
    found = {f"service-{name}": _owned(name) | EVERY_DEPARTMENT | SERVICES.get(name, {}) for name in departments()}
    return found | {"service-cli": {key: line for name in departments() for key, line in _owned(name).items()} | TOOL}


def _owned(department: str) -> Rights:
    return {noun.resource: rights(ALL, *EVERY_ACTION) for noun in nouns(department)}


@cache
def personal() -> tuple[str, ...]:
    """Resources that a deputy does not take over."""
    return (*PERSONAL, *(resource for family in PERSONAL_FAMILIES for resource in families().get(family, ())))


def grants(roles: Mapping[str, Rights]) -> Iterator[tuple[str, str, str, str]]:
    """Every (role, resource, action, scope) of these roles."""
    for role, resources in sorted(roles.items()):
        for resource, actions in sorted(resources.items()):
            for action, scope in sorted(actions.items()):
                yield role, resource, action, scope
