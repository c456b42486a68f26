"""RoleDefinitionService."""

from __future__ import annotations

from functools import partial

from crm.organization.v1 import role_definition_events_pb2, role_definition_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.organization.roles import actions
from services.organization.roles.store import Roles


def service(roles: Roles) -> Service:
    """The handlers of roles."""
    descriptor = role_definition_service_pb2.DESCRIPTOR.services_by_name["RoleDefinitionService"]
    return Noun(roles, descriptor, role_definition_events_pb2, actions.check).serve(
        CreateRoleDefinition=partial(actions.create, roles),
        RestoreRoleDefinition=partial(actions.restore, roles),
        UpdateRoleDefinition=partial(actions.update, roles),
        CopyRoleDefinition=partial(actions.copy, roles),
        ResetRoleDefinition=partial(actions.reset, roles),
        ArchiveRoleDefinition=partial(actions.archive, roles),
    )
