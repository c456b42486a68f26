"""WebhookSourceService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import webhook_source_pb2
from crm.organization.v1 import webhook_source_service_pb2 as contract

from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.departments.store import Departments
from services.organization.roles.store import Roles
from services.organization.webhook_sources import actions
from services.organization.webhook_sources.store import WebhookSources


def service(sources: WebhookSources, roles: Roles, departments: Departments) -> Service:
    """The handlers of webhook sources."""
    noun = Noun(sources, actions.check)

    @handler
    async def create(call: Call, request: Any) -> Any:
        source, secret = await actions.create(noun, roles, departments, call, to_document(request))
        message: Any = to_message(source, webhook_source_pb2.WebhookSource.DESCRIPTOR)
        return contract.CreateWebhookSourceResponse(webhook_source=message, secret=secret)

    @handler
    async def rotate(call: Call, request: Any) -> Any:
        source, secret = await actions.rotate_secret(noun, call, **to_document(request))
        message: Any = to_message(source, webhook_source_pb2.WebhookSource.DESCRIPTOR)
        return contract.RotateWebhookSourceSecretResponse(webhook_source=message, secret=secret)

    return noun.serve(
        CreateWebhookSource=create,
        UpdateWebhookSource=partial(actions.update, noun),
        RestoreWebhookSource=partial(actions.restore, noun),
        RotateWebhookSourceSecret=rotate,
    )
