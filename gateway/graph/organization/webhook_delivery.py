"""WebhookDelivery in the graph."""

from __future__ import annotations

from crm.organization.v1 import webhook_delivery_pb2, webhook_delivery_service_pb2

from gateway.graph.noun import Noun

WEBHOOK_DELIVERY = Noun("organization", webhook_delivery_service_pb2, webhook_delivery_pb2.WebhookDelivery)
