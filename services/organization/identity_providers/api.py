"""IdentityProviderService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import identity_provider_pb2, identity_provider_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.identity_providers import actions, model
from services.organization.identity_providers.store import IdentityProviders
from services.organization.roles.store import Roles
from services.organization.sessions.actions import as_department
from services.organization.webhook_endpoints.destinations import Destinations


def service(providers: IdentityProviders, departments: Departments, roles: Roles, destinations: Destinations) -> Service:
    """The handlers of identity providers, which are in one of the destinations."""
    noun = Noun(providers, partial(model.check, destinations), partial(actions.place, departments, roles))

    @handler
    async def choices(call: Call, _: Any) -> Any:
        found = await providers.page(as_department(call), order="DISPLAY_NAME_ASC", size=100)
        rows = [identity_provider_pb2.SignInChoice(identity_provider_id=row["_id"], display_name=row["display_name"]) for row in found.rows]
        return identity_provider_service_pb2.ListSignInChoicesResponse(choices=rows)

    return noun.serve(
        CreateIdentityProvider=partial(actions.create, noun),
        UpdateIdentityProvider=partial(actions.update, noun),
        RestoreIdentityProvider=partial(actions.restore, noun),
        ListSignInChoices=choices,
    )
