"""WebhookReceipt in the graph."""

from __future__ import annotations

from crm.organization.v1 import webhook_receipt_pb2, webhook_receipt_service_pb2

from gateway.graph.noun import Noun

WEBHOOK_RECEIPT = Noun("organization", webhook_receipt_service_pb2, webhook_receipt_pb2.WebhookReceipt)
