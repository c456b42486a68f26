"""RoleDefinitionService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.organization.roles import actions, model
from services.organization.roles.store import Roles


def service(roles: Roles) -> Service:
    """The handlers of roles."""
    states = {"ArchiveRoleDefinition": (roles.in_use, model.must_be_own), "ResetRoleDefinition": (model.reset,)}
    return Noun(roles, actions.check, states=states).serve(
        CreateRoleDefinition=partial(actions.create, roles),
        RestoreRoleDefinition=partial(actions.restore, roles),
        UpdateRoleDefinition=partial(actions.update, roles),
        CopyRoleDefinition=partial(actions.copy, roles),
        ResetRoleDefinition=partial(actions.reset, roles),
        ArchiveRoleDefinition=partial(actions.archive, roles),
    )
