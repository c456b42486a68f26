"""A role: permissions that exist, one line for each thing; what is shipped, and what may be done to it. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from services.organization.access.model import FIELDS, TITLES
from services.organization.access.policy import roles

Document = dict[str, Any]
Known = Mapping[str, Collection[str]]


def shipped_id(role: str) -> str:
    """The id of a shipped role's record."""
    return f"role-{role.lower().replace('_', '-')}"


def delivered(role: str) -> Document:
    """What a shipped role allows as it is delivered."""
    return {
        "permissions": [
            {"resource": resource, "action": action, "scope": scope}
            for resource, rights in sorted(roles()[role].items())
            for action, scope in sorted(rights.items())
        ],
        "field_permissions": [
            {"resource": resource, "field": field, "access": access}
            for resource, fields in sorted(FIELDS.get(role, {}).items())
            for field, access in sorted(fields.items())
        ],
    }


def shipped() -> dict[str, Document]:
    """Every shipped role as a new record, by id."""
    return {shipped_id(role): {"name": TITLES[role], "role": role, "customized": False, **delivered(role)} for role in roles()}


def check(role: Document, actions: Known, fields: Known) -> None:
    """Complete a role; refuse a permission for what no contract has, and two that contradict each other."""
    role["name"] = " ".join(role["name"].split())
    if not role["name"]:
        raise Invalid("the name consists of blanks; give the role a name", field="name")
    seen: set[tuple[str, str, str]] = set()
    for index, line in enumerate(role.get("permissions", [])):
        _known(line["resource"], line["action"], actions, f"permissions[{index}]", "action")
        _once(seen, ("permissions", line["resource"], line["action"]), index)
    for index, line in enumerate(role.get("field_permissions", [])):
        _known(line["resource"], line["field"], fields, f"field_permissions[{index}]", "field")
        _once(seen, ("field_permissions", line["resource"], line["field"]), index)


def _known(resource: str, name: str, known: Known, where: str, what: str) -> None:
    if resource not in known:
        choices = ", ".join(sorted(known))
        raise Invalid(f"there is no resource «{resource}»; use one of {choices}", code="PERMISSION_UNKNOWN", field=f"{where}.resource")
    if name not in known[resource]:
        choices = ", ".join(sorted(known[resource])) or "none"
        raise Invalid(
            f"{resource} have no {what} «{name}» to give or limit; use one of {choices}", code="PERMISSION_UNKNOWN", field=f"{where}.{what}"
        )


def _once(seen: set[tuple[str, str, str]], line: tuple[str, str, str], index: int) -> None:
    if line in seen:
        raise Invalid(f"{line[1]} / {line[2]} stands twice; keep one of the lines", field=f"{line[0]}[{index}]")
    seen.add(line)


def changed(before: Document, values: Document) -> Document:
    """The changes of an update: a shipped role keeps its name, and is a customized one from then on."""
    if not before.get("role"):
        return values
    if values.get("name", before["name"]) != before["name"]:
        raise WrongState("a shipped role keeps its name; copy it and name the copy", code="ROLE_SHIPPED", field="name")
    return values | {"customized": True}


def copied(source: Document, name: str) -> Document:
    """A new role with what another one allows."""
    kept = ("description", "permissions", "field_permissions")
    return {"name": name, **{field: source[field] for field in kept if source.get(field)}}


def reset(role: Document) -> Document:
    """The changes that give a shipped role back what it was delivered with."""
    if not role.get("role"):
        raise WrongState("only a shipped role can be reset; change this one instead", code="ROLE_SHIPPED")
    return {**delivered(role["role"]), "customized": False}


def must_be_own(role: Document) -> None:
    """Refuse to take a shipped role out of use."""
    if role.get("role"):
        raise WrongState("a shipped role cannot be archived; take its permissions away, or the role from people", code="ROLE_SHIPPED")
