"""What can be done with a role beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import role_definition_events_pb2 as events

from chassis.kernel.errors import WrongState
from chassis.rpc.call import Call
from services.organization.roles import catalogue, model
from services.organization.roles.store import Roles

Document = dict[str, Any]


def check(role: Document) -> None:
    """The model's rule, with what the contracts have."""
    model.check(role, catalogue.actions(), catalogue.fields())


async def update(roles: Roles, call: Call, *, role_definition_id: str, version: int, values: Document) -> Document:
    """Change the values named."""
    before = await roles.get(call, role_definition_id, "update")
    roles.checked_version(before, version)
    roles.in_use(before)
    after = {name: value for name, value in {**before, **model.changed(before, values)}.items() if value is not None}
    check(after)
    changes = {name: after.get(name) for name in {*before, *after, *values} if after.get(name) != before.get(name)}
    return roles.change(call, before, changes, events.RoleDefinitionUpdated)


async def copy(roles: Roles, call: Call, *, role_definition_id: str, name: str) -> Document:
    """A new role with the permissions of another one."""
    values = model.copied(await roles.get(call, role_definition_id), name)
    check(values)
    return roles.create(call, values, events.RoleDefinitionCreated)


async def reset(roles: Roles, call: Call, *, role_definition_id: str, version: int | None = None) -> Document:
    """Give a shipped role back what it was delivered with."""
    before = await roles.get(call, role_definition_id, "update")
    roles.checked_version(before, version)
    return roles.change(call, before, model.reset(before, catalogue.actions()), events.RoleDefinitionReset)


async def archive(roles: Roles, call: Call, *, role_definition_id: str, version: int | None = None) -> Document:
    """Take a role of the company's own out of use; refused while people have it."""
    before = await roles.get(call, role_definition_id, "archive")
    roles.checked_version(before, version)
    roles.in_use(before)
    model.must_be_own(before)
    if await roles.is_held(call, role_definition_id):
        raise WrongState("active people have this role; give them another one first (personUpdate)", code="ROLE_IN_USE")
    return roles.change(call, before, {"archive_time": call.now}, events.RoleDefinitionArchived)


async def deliver(roles: Roles, call: Call) -> None:
    """Bring the shipped roles to what this build delivers; those that somebody changed stay as they are."""
    fresh = model.shipped(catalogue.actions())
    stored = await roles.batch_get(call, fresh)
    for identity, values in fresh.items():
        before = stored.get(identity)
        if before is None:
            roles.create(call, values, events.RoleDefinitionCreated, record_id=identity)
        elif not before.get("customized") and any(before.get(name) != value for name, value in values.items()):
            roles.change(call, before, values, events.RoleDefinitionUpdated)
