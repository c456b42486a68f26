"""What can be done with an identity provider. Whoever decides through whom people sign in decides who they are, and what they may:
so all of it but taking one out of use takes the right to give roles."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import CrmError, NotFound
from chassis.rpc.call import Call
from chassis.rpc.noun import Noun, references
from chassis.rpc.remote import first_of
from services.organization.departments.store import Departments
from services.organization.identity_providers import credentials
from services.organization.roles.actions import may_give
from services.organization.roles.store import Roles

Document = dict[str, Any]


async def create(noun: Noun, call: Call, *, client_secret: str, **values: Any) -> Document:
    """A new provider; its client secret is stored beside it."""
    may_give(call)
    made = await noun.create(call, **values)
    credentials.keep_secret(call, made["_id"], client_secret)
    return made


async def update(noun: Noun, call: Call, *, identity_provider_id: str, version: int, values: Document) -> Document:
    """Change the values named."""
    may_give(call)
    secret = values.pop("client_secret", None)
    after = await noun.update(call, version=version, values=values, identity_provider_id=identity_provider_id)
    if secret:
        credentials.keep_secret(call, identity_provider_id, secret)
    return after


async def restore(noun: Noun, call: Call, *, identity_provider_id: str, version: int | None = None) -> Document:
    """Take a provider back into use; the roles that it gives come back with the next sign-ins."""
    may_give(call)
    return await noun.restore(call, version=version, identity_provider_id=identity_provider_id)


async def place(departments: Departments, roles: Roles, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: the department and the mapped roles must exist and be in use."""
    _, refusals = await references(call, batch, departments, "home_department_id")
    wanted = {line["role_definition_id"] for one in batch for line in one.get("role_grants", []) if line.get("role_definition_id")}
    known = await roles.batch_get(call, wanted) if wanted else {}
    return first_of(refusals, [_mapping_refusal(one, known) for one in batch])


def _mapping_refusal(provider: Document, known: dict[str, Document]) -> CrmError | None:
    for index, line in enumerate(provider.get("role_grants", [])):
        identity = line.get("role_definition_id")
        role = known.get(identity or "")
        if identity and (role is None or role.get("archive_time") or role.get("role")):
            words = f"there is no role of the company's own «{identity}» in use; check role_definition_id (shipped ones go in role)"
            return NotFound(words, code="REFERENCE_NOT_FOUND", field=f"role_grants[{index}].role_definition_id")
    return None
