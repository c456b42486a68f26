"""WebhookEndpoint in the graph."""

from __future__ import annotations

from crm.organization.v1 import webhook_endpoint_pb2, webhook_endpoint_service_pb2

from gateway.graph.noun import Noun

WEBHOOK_ENDPOINT = Noun("organization", webhook_endpoint_service_pb2, webhook_endpoint_pb2.WebhookEndpoint)
