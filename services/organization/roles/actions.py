"""What can be done with a role beside the standard verbs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from crm.organization.v1 import role_definition_events_pb2 as events

from chassis.kernel.errors import Conflict, NotAllowed, WrongState
from chassis.rpc.call import Call
from chassis.storage.changes import Duplicate
from services.organization.access import catalogue
from services.organization.roles import model
from services.organization.roles.store import Roles

log = logging.getLogger("crm.organization")
Document = dict[str, Any]


def check(role: Document) -> None:
    """The model's rule, with what the contracts have."""
    model.check(role, catalogue.actions(), catalogue.fields())


def may_give(call: Call) -> None:
    """Refuse who may not give roles: whoever makes or widens one, or acts for a person, would give themselves what they lack."""
    if not call.directory.allows(call.caller, "role_definitions", "assign"):
        raise NotAllowed("your roles do not let you give rights; ask an administrator («assign» on role_definitions)")


async def create(roles: Roles, call: Call, **values: Any) -> Document:
    """A role of the company's own."""
    may_give(call)
    check(values)
    return roles.create(call, values, events.RoleDefinitionCreated)


async def restore(roles: Roles, call: Call, *, role_definition_id: str, version: int | None = None) -> Document:
    """Take a role back into use."""
    may_give(call)
    before = await roles.get(call, role_definition_id, "archive")
    roles.checked_version(before, version)
    if not before.get("archive_time"):
        return before
    return roles.change(call, before, {"archive_time": None}, events.RoleDefinitionRestored)


async def update(roles: Roles, call: Call, *, role_definition_id: str, version: int, values: Document) -> Document:
    """Change the values named."""
    before = await roles.get(call, role_definition_id, "update")
    roles.checked_version(before, version)
    roles.in_use(before)
    if {"permissions", "field_permissions"} & set(values):
        may_give(call)
    after = {name: value for name, value in {**before, **model.changed(before, values)}.items() if value is not None}
    check(after)
    changes = {name: after.get(name) for name in {*before, *after, *values} if after.get(name) != before.get(name)}
    return roles.change(call, before, changes, events.RoleDefinitionUpdated)


async def copy(roles: Roles, call: Call, *, role_definition_id: str, name: str) -> Document:
    """A new role with the permissions of another one."""
    may_give(call)
    values = model.copied(await roles.get(call, role_definition_id), name)
    check(values)
    return roles.create(call, values, events.RoleDefinitionCreated)


async def reset(roles: Roles, call: Call, *, role_definition_id: str, version: int | None = None) -> Document:
    """Give a shipped role back what it was delivered with."""
    may_give(call)
    before = await roles.get(call, role_definition_id, "update")
    roles.checked_version(before, version)
    return roles.change(call, before, model.reset(before), events.RoleDefinitionReset)


async def archive(roles: Roles, call: Call, *, role_definition_id: str, version: int | None = None) -> Document:
    """Take a role of the company's own out of use; refused while people have it."""
    before = await roles.get(call, role_definition_id, "archive")
    roles.checked_version(before, version)
    roles.in_use(before)
    model.must_be_own(before)
    if await roles.is_held(call, role_definition_id):
        raise WrongState("active people have this role; give them another one first (personUpdate)", code="ROLE_IN_USE")
    return roles.change(call, before, {"archive_time": call.now}, events.RoleDefinitionArchived)


async def deliver(roles: Roles, own_call: Callable[[str], Call]) -> None:
    """Bring the shipped roles to what this build delivers, each for itself; those that somebody changed stay as they are.

    Another replica may do the same at the same moment. Where a role of the company's own has the name, the shipped one gets its code beside it.
    """
    for identity, values in model.shipped().items():
        for name in (values["name"], f"{values['name']} ({values['role']})"):
            try:
                await _deliver(roles, own_call("deliver roles"), identity, values | {"name": name})
                break
            except Duplicate as duplicate:
                if duplicate.index == "_id_":
                    break
                log.warning("name of a shipped role is taken", extra={"role": values["role"], "title": name})
            except Conflict:
                log.info("shipped role was changed meanwhile", extra={"role": values["role"]})
                break


async def _deliver(roles: Roles, call: Call, identity: str, values: Document) -> None:
    before = (await roles.batch_get(call, [identity])).get(identity)
    if before is None:
        roles.create(call, values, events.RoleDefinitionCreated, record_id=identity)
    elif not before.get("customized"):
        kept = values | {"name": before["name"]}
        if any(before.get(name) != value for name, value in kept.items()):
            roles.change(call, before, kept, events.RoleDefinitionUpdated)
    await call.changes.commit()
