"""What can be done with a webhook source. It acts by itself, with the roles that it was given: so whoever makes, changes or restores one
needs the right to give roles."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import webhook_source_events_pb2 as events

from chassis.rpc.call import Call
from chassis.rpc.noun import Noun
from services.organization.departments.store import Departments
from services.organization.people.actions import role_refusals
from services.organization.roles.actions import may_give
from services.organization.roles.store import Roles
from services.organization.webhook_endpoints import credentials
from services.organization.webhook_receipts.effects import EFFECTS
from services.organization.webhook_sources import model

Document = dict[str, Any]


def check(source: Document) -> None:
    """The model's rule, with the types that have an effect."""
    model.check(source, EFFECTS)


async def create(noun: Noun, roles: Roles, departments: Departments, call: Call, values: Document) -> tuple[Document, str]:
    """A new source and its secret, which is shown once."""
    may_give(call)
    secret = values.pop("secret", "")
    model.check_secret(secret)
    if refusal := (await role_refusals(roles, call, [values], {}))[0]:
        raise refusal
    await departments.must_exist(call, [values.get("home_department_id")], "home_department_id")
    made = await noun.create(call, **values, enabled=True)
    return made, await credentials.renew(call, made["_id"], secret)


async def update(noun: Noun, call: Call, **given: Any) -> Document:
    """Change the values named."""
    may_give(call)
    return await noun.update(call, **given)


async def restore(noun: Noun, call: Call, **given: Any) -> Document:
    """Take a source back into use."""
    may_give(call)
    return await noun.restore(call, **given)


async def rotate_secret(noun: Noun, call: Call, *, webhook_source_id: str, secret: str = "") -> tuple[Document, str]:
    """A new secret, which is shown once."""
    may_give(call)
    model.check_secret(secret)
    before = await noun.load(call, "update", {"webhook_source_id": webhook_source_id}, None)
    fresh = await credentials.renew(call, webhook_source_id, secret)
    return noun.records.change(call, before, {"rotate_time": call.now}, events.WebhookSourceSecretRotated), fresh
