"""WebhookReceiptService and WebhookIntakeService."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import webhook_intake_service_pb2, webhook_receipt_pb2, webhook_receipt_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.handlers import reads
from chassis.rpc.service import Service
from services.organization.webhook_receipts import actions
from services.organization.webhook_receipts.actions import Intake
from services.organization.webhook_receipts.store import WebhookReceipts

DESCRIPTOR = webhook_receipt_service_pb2.DESCRIPTOR.services_by_name["WebhookReceiptService"]
INTAKE = webhook_intake_service_pb2.DESCRIPTOR.services_by_name["WebhookIntakeService"]


def service(receipts: WebhookReceipts) -> Service:
    """The handlers of webhook receipts."""
    return Service(DESCRIPTOR, reads(receipts, DESCRIPTOR), receipts.duplicate_codes, receipts)


def intake_service(intake: Intake) -> Service:
    """The handler of what other systems post."""

    async def receive(call: Call, request: Any) -> Any:
        receipt = await actions.receive(
            intake, call, webhook_source_id=request.webhook_source_id, webhook_id=request.webhook_id, timestamp=request.timestamp,
            signature=request.signature, body=request.body,
        )  # fmt: skip
        message: Any = to_message(receipt, webhook_receipt_pb2.WebhookReceipt.DESCRIPTOR)
        return webhook_intake_service_pb2.ReceiveWebhookResponse(webhook_receipt=message)

    return Service(INTAKE, {"ReceiveWebhook": receive}, intake.receipts.duplicate_codes)
