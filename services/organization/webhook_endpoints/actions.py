"""What can be done with a webhook endpoint. Whoever makes, changes or restores one has another system told what happens everywhere,
beyond the own reach: so it takes the right to give roles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crm.organization.v1 import webhook_endpoint_events_pb2 as events

from chassis.rpc.call import Call
from chassis.rpc.noun import Noun
from services.organization.access import catalogue
from services.organization.roles.actions import may_give
from services.organization.webhook_deliveries import model as delivery_model
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_endpoints import credentials, model
from services.organization.webhook_endpoints.destinations import Destinations
from services.organization.webhook_endpoints.store import WebhookEndpoints

Document = dict[str, Any]


def check(destinations: Destinations, endpoint: Document) -> None:
    """The model's rule, with the facts that the contracts have."""
    model.check(endpoint, catalogue.facts(), destinations)


async def create(noun: Noun, endpoints: WebhookEndpoints, call: Call, values: Document) -> tuple[Document, str]:
    """A new endpoint and its secret, which is shown once."""
    may_give(call)
    await _must_have_room(endpoints, call)
    made = await noun.create(call, **values, enabled=True)
    return made, await credentials.renew(call, made["_id"])


async def update(noun: Noun, call: Call, *, webhook_endpoint_id: str, version: int, values: Document) -> Document:
    """Change the values named."""
    may_give(call)
    before = await noun.load(call, "update", {"webhook_endpoint_id": webhook_endpoint_id}, version)
    return await noun.update(call, version=version, values=model.changed(before, values), webhook_endpoint_id=webhook_endpoint_id)


async def restore(noun: Noun, endpoints: WebhookEndpoints, call: Call, **given: Any) -> Document:
    """Take an endpoint back into use."""
    may_give(call)
    await _must_have_room(endpoints, call)
    return await noun.restore(call, **given)


async def rotate_secret(noun: Noun, call: Call, *, webhook_endpoint_id: str) -> tuple[Document, str]:
    """A new secret, which is shown once."""
    may_give(call)
    before = await noun.load(call, "update", {"webhook_endpoint_id": webhook_endpoint_id}, None)
    secret = await credentials.renew(call, webhook_endpoint_id)
    return noun.records.change(call, before, {"rotate_time": call.now}, events.WebhookEndpointSecretRotated), secret


async def send_test(noun: Noun, deliveries: WebhookDeliveries, call: Call, *, webhook_endpoint_id: str) -> Document:
    """A delivery that tells of nothing."""
    endpoint = await noun.load(call, "update", {"webhook_endpoint_id": webhook_endpoint_id}, None)
    model.must_be_enabled(endpoint)
    row = delivery_model.test_of(endpoint, call.now)
    deliveries.take(call, row)
    return row


async def replay(
    noun: Noun, deliveries: WebhookDeliveries, call: Call, *, webhook_endpoint_id: str, since_time: datetime | None = None
) -> int:
    """Send what failed since a time again; how many."""
    await noun.load(call, "update", {"webhook_endpoint_id": webhook_endpoint_id}, None)
    rows = await deliveries.failed(call, webhook_endpoint_id, since_time)
    for row in rows:
        deliveries.again(call, row)
    return len(rows)


async def _must_have_room(endpoints: WebhookEndpoints, call: Call) -> None:
    if await endpoints.count_in_use(call) >= model.MOST_ENDPOINTS:
        raise model.full()
