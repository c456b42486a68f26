"""WebhookDeliveryService."""

from __future__ import annotations

from functools import partial

from crm.organization.v1 import webhook_delivery_service_pb2

from chassis.rpc.handlers import reads, writes
from chassis.rpc.service import Service
from services.organization.webhook_deliveries import actions
from services.organization.webhook_deliveries.store import WebhookDeliveries

DESCRIPTOR = webhook_delivery_service_pb2.DESCRIPTOR.services_by_name["WebhookDeliveryService"]


def service(deliveries: WebhookDeliveries) -> Service:
    """The handlers of webhook deliveries."""
    replay = writes(DESCRIPTOR, "ReplayWebhookDelivery", partial(actions.replay, deliveries))
    return Service(DESCRIPTOR, reads(deliveries, DESCRIPTOR) | {"ReplayWebhookDelivery": replay}, deliveries.duplicate_codes, deliveries)
