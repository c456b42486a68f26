"""WebhookSource in the graph."""

from __future__ import annotations

from crm.organization.v1 import webhook_source_pb2, webhook_source_service_pb2

from gateway.graph.noun import Noun

WEBHOOK_SOURCE = Noun("organization", webhook_source_service_pb2, webhook_source_pb2.WebhookSource)
