"""What a permission can name: read from the contracts of all departments, so that no role allows what does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import ModuleType

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor

from chassis.access.fields import kept_of, resource_of
from chassis.rpc import contract
from chassis.rpc.documents import traits
from services.organization.access.model import ADDED_ACTIONS


@cache
def actions() -> dict[str, frozenset[str]]:
    """Resource → its actions."""
    found: dict[str, set[str]] = {resource: set(names) for resource, names in ADDED_ACTIONS.items()}
    for module in _modules():
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                resource, _, action = str(method.GetOptions().Extensions[annotations_pb2.access]).partition(".")
                if action:
                    found.setdefault(resource, set()).add(action)
    return {resource: frozenset(names) for resource, names in found.items()}


@cache
def fields() -> dict[str, frozenset[str]]:
    """Resource → the fields of its record that a role may get less of."""
    found: dict[str, frozenset[str]] = {}
    for module in _modules():
        for message in module.DESCRIPTOR.message_types_by_name.values():
            if resource_of(message):
                found[resource_of(message)] = _limitable(message)
    return found


@cache
def shared() -> dict[str, frozenset[str]]:
    """Resource → the fields that a sharing contract may name: of records that have an owner, and so a department."""
    messages = (message for module in _modules() for message in module.DESCRIPTOR.message_types_by_name.values())
    return {
        resource_of(message): _limitable(message) for message in messages if resource_of(message) and "owner_id" in message.fields_by_name
    }


@cache
def facts() -> frozenset[str]:
    """The full name of every fact that a department announces."""
    messages = (message for module in _modules() for message in module.DESCRIPTOR.message_types_by_name.values())
    return frozenset(message.full_name for message in messages if message.GetOptions().Extensions[annotations_pb2.subject])


@cache
def copies() -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """(resource, field) → the fields of other resources that repeat its value."""
    found: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
    for module in _modules():
        for message in module.DESCRIPTOR.message_types_by_name.values():
            for field in message.fields if resource_of(message) else ():
                resource, _, name = traits(field).copy_of.partition(".")
                if name:
                    found[resource, name] = (*found.get((resource, name), ()), (resource_of(message), field.name))
    return found


@cache
def telling() -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """(resource, field) → the fields of the same record from which its value can be reckoned."""
    found: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
    for module in _modules():
        for message in module.DESCRIPTOR.message_types_by_name.values():
            for field in message.fields if resource_of(message) else ():
                for name in traits(field).tells:
                    source = (resource_of(message), name)
                    found[source] = (*found.get(source, ()), (resource_of(message), field.name))
    return found


def _limitable(message: Descriptor) -> frozenset[str]:
    return frozenset(message.fields_by_name) - kept_of(message)


def _modules() -> Iterator[ModuleType]:
    for department in ("common", *contract.departments()):
        yield from contract.modules(department)
