"""Another system that sends webhooks: signs by the reference library, and posts to the gateway's door."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from crm.organization.v1 import person_pb2, webhook_receipt_pb2
from standardwebhooks import Webhook

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.checks import equals
from tests.support.installation import Installation

State = webhook_receipt_pb2.WebhookReceiptState
BODY = json.dumps({"type": "order.fulfilled", "data": {"number": "none"}})


@dataclass
class Sender:
    """A source as its system knows it: its id and secret."""

    crm: Installation
    source: Any
    secret: str

    async def send(self, told: str, data: dict[str, Any] | None = None, webhook_id: str = "") -> httpx.Response:
        """Send a message as it should be."""
        body = {"type": told, "timestamp": datetime.now(UTC).isoformat(), "data": data or {}}
        return await self.post(json.dumps(body, ensure_ascii=False), webhook_id)

    async def post(
        self, body: str, webhook_id: str = "", *, moment: datetime | None = None, secret: str = "", address: str = "",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        """Send a body, signed by the secret; `headers` are put over those that belong to it."""
        webhook_id, moment = webhook_id or new_id(), moment or datetime.now(UTC)
        own = {
            "content-type": "application/json", "webhook-id": webhook_id, "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret or self.secret).sign(webhook_id, moment, body),
        }  # fmt: skip
        address = address or to_global("WebhookSource", self.source.id)
        return await self.crm.http.post(f"/webhooks/{address}", content=body, headers=own | (headers or {}))

    async def receipts(self) -> list[Any]:
        """The log of what came in, newest first."""
        asked = self.crm.ask("ListWebhookReceipts", role="ADMINISTRATOR", filter=equals("webhook_source_id", self.source.id))
        return list((await asked).webhook_receipts)


async def sender(crm: Installation, *types: str, role: str = "COORDINATOR", **more: Any) -> Sender:
    """A source of these types with a role, and who sends in its name."""
    values = {"display_name": "ERP", "event_types": types or ("order.fulfilled",), "roles": [person_pb2.Role.Value(f"ROLE_{role}")], **more}
    made = await crm.ask("CreateWebhookSource", role="ADMINISTRATOR", **values)
    return Sender(crm, made.webhook_source, made.secret)
