"""What can be done with a sharing contract: who makes, changes or restores one gives rights, and needs the right to."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from chassis.rpc.noun import Noun, references
from chassis.rpc.remote import first_of
from services.organization.access import catalogue
from services.organization.departments.store import Departments
from services.organization.roles.actions import may_give
from services.organization.sharing_contracts import model

Document = dict[str, Any]


def check(contract: Document) -> None:
    """The model's rule, with what the contracts of the departments have."""
    model.check(contract, catalogue.shared())


async def between(departments: Departments, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: both units must exist and be in use, and the one that shows its records must have some."""
    providers, no_provider = await references(call, batch, departments, "provider_department_id")
    _, no_consumer = await references(call, batch, departments, "consumer_department_id")
    found = (providers.get(contract["provider_department_id"]) for contract in batch)
    return first_of(no_provider, no_consumer, [model.provider_refusal(unit) if unit else None for unit in found])


async def create(noun: Noun, call: Call, **values: Any) -> Document:
    """A new contract."""
    may_give(call)
    return await noun.create(call, **values)


async def update(noun: Noun, call: Call, **given: Any) -> Document:
    """Change the values named."""
    may_give(call)
    return await noun.update(call, **given)


async def restore(noun: Noun, call: Call, **given: Any) -> Document:
    """Take a contract back into use."""
    may_give(call)
    return await noun.restore(call, **given)
