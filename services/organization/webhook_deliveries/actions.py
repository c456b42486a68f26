"""What can be done with a webhook delivery."""

from __future__ import annotations

from chassis.rpc.call import Call
from chassis.storage.records import Document
from services.organization.webhook_deliveries.store import WebhookDeliveries


async def replay(deliveries: WebhookDeliveries, call: Call, *, webhook_delivery_id: str) -> Document:
    """Send a delivery again at once, whatever became of it. It waits while its endpoint is disabled or archived."""
    return deliveries.again(call, await deliveries.get(call, webhook_delivery_id, "update"))
