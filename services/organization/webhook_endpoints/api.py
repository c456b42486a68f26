"""WebhookEndpointService."""

from __future__ import annotations

from functools import partial
from typing import Any

from crm.organization.v1 import webhook_endpoint_pb2
from crm.organization.v1 import webhook_endpoint_service_pb2 as contract

from chassis.rpc.call import Call
from chassis.rpc.documents import to_document, to_message
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Service
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_endpoints import actions
from services.organization.webhook_endpoints.destinations import Destinations
from services.organization.webhook_endpoints.store import WebhookEndpoints


def service(endpoints: WebhookEndpoints, deliveries: WebhookDeliveries, destinations: Destinations) -> Service:
    """The handlers of webhook endpoints."""
    noun = Noun(endpoints, partial(actions.check, destinations))

    @handler
    async def create(call: Call, request: Any) -> Any:
        endpoint, secret = await actions.create(noun, endpoints, call, to_document(request))
        message: Any = to_message(endpoint, webhook_endpoint_pb2.WebhookEndpoint.DESCRIPTOR)
        return contract.CreateWebhookEndpointResponse(webhook_endpoint=message, secret=secret)

    @handler
    async def rotate(call: Call, request: Any) -> Any:
        endpoint, secret = await actions.rotate_secret(noun, call, **to_document(request))
        message: Any = to_message(endpoint, webhook_endpoint_pb2.WebhookEndpoint.DESCRIPTOR)
        return contract.RotateWebhookEndpointSecretResponse(webhook_endpoint=message, secret=secret)

    @handler
    async def replay(call: Call, request: Any) -> Any:
        given = {name: value for name, value in to_document(request).items() if name != "request_id"}
        return contract.ReplayWebhookEndpointResponse(replayed=await actions.replay(noun, deliveries, call, **given))

    return noun.serve(
        CreateWebhookEndpoint=create,
        UpdateWebhookEndpoint=partial(actions.update, noun),
        RestoreWebhookEndpoint=partial(actions.restore, noun, endpoints),
        RotateWebhookEndpointSecret=rotate,
        SendWebhookEndpointTest=partial(actions.send_test, noun, deliveries),
        ReplayWebhookEndpoint=replay,
    )
