"""What can be done with an API key."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import api_key_events_pb2 as events

from chassis.access.caller import Caller
from chassis.access.tokens import Signer
from chassis.rpc.call import Call
from services.organization.api_keys import model
from services.organization.api_keys.store import ApiKeys
from services.organization.departments.store import Departments
from services.organization.people.actions import role_refusals
from services.organization.roles.store import Roles
from services.organization.sessions.actions import as_department

Document = dict[str, Any]


async def create(keys: ApiKeys, roles: Roles, departments: Departments, call: Call, values: Document) -> tuple[Document, str]:
    """A new key and its secret, which is shown once. Whoever gives it roles must be allowed to."""
    model.check(values, call.now)
    refusal = (await role_refusals(roles, call, [values], {}))[0]
    if refusal:
        raise refusal
    await departments.must_exist(call, [values.get("home_department_id")], "home_department_id")
    secret = model.new_secret()
    return keys.create(call, values | {"fingerprint": model.fingerprint(secret)}, events.ApiKeyCreated), secret


async def revoke(keys: ApiKeys, call: Call, *, api_key_id: str) -> Document:
    """End a key; ending it twice changes nothing more."""
    before = await keys.get(call, api_key_id, "update")
    if before.get("revoke_time"):
        return before
    return keys.change(call, before, {"revoke_time": call.now}, events.ApiKeyRevoked)


async def exchange(keys: ApiKeys, signer: Signer, call: Call, *, secret: str) -> tuple[str, int]:
    """A token for a key, and its end. Raises API_KEY_REFUSED."""
    key = await keys.by_fingerprint(as_department(call), model.fingerprint(secret))
    if key is None or not model.is_good(key, call.now):
        raise model.refused()
    roles = frozenset((*key["roles"], *key.get("role_definition_ids", [])))
    caller = Caller(key["_id"], roles, key.get("home_department_id", ""), session_id=key["_id"])
    return signer.sign(caller, ends=key["expire_time"].timestamp())
