"""Finance joins: an administrator lets its system in, what it tells stands on the customer, and the log shows all that came."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from tests.support.installation import Installation

CREATE = """mutation($input: WebhookSourceCreateInput!) { webhookSourceCreate(input: $input) {
  webhookSource { id displayName enabled eventTypes roles version } secret errors { code path message } } }"""
ROTATE = "mutation($id: ID!) { webhookSourceRotateSecret(input: {webhookSourceId: $id}) { secret errors { code } } }"
DISABLE = """mutation($id: ID!, $version: Long!) { webhookSourceUpdate(input: {webhookSourceId: $id, version: $version, enabled: false}) {
  webhookSource { enabled } errors { code message } } }"""
LOG = """query($id: ID!) { webhookReceipts(first: 10, filter: {webhookSourceId: {eq: $id}}) {
  nodes { state webhookId eventType reason recordType receiveCount } pageInfo { hasNextPage } } }"""


async def post(crm: Installation, source_id: str, secret: str, webhook_id: str, body: dict[str, Any]) -> tuple[int, str]:
    text, moment = json.dumps(body, ensure_ascii=False), datetime.now(UTC)
    headers = {
        "content-type": "application/json; charset=utf-8", "webhook-id": webhook_id, "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, text),
    }  # fmt: skip
    answer = await crm.http.post(f"/webhooks/{source_id}", content=text, headers=headers)
    return answer.status_code, str(answer.json().get("state") or answer.json()["code"])


async def test_a_paid_invoice_stands_on_the_customer_once_and_the_administrator_sees_all_that_came(crm: Installation) -> None:
    buyer = (await crm.data('mutation { customerCreate(input: {kind: COMPANY, name: "付款客户"}) { customer { id } } }'))["customerCreate"]
    customer_id = buyer["customer"]["id"]
    values = {"displayName": "财务系统", "eventTypes": ["invoice.paid"], "roles": ["COORDINATOR"]}
    made = (await crm.data(CREATE, "ADMINISTRATOR", input=values))["webhookSourceCreate"]
    assert made["errors"] == []
    source, secret = made["webhookSource"], made["secret"]
    assert (source["displayName"], source["enabled"], source["eventTypes"]) == ("财务系统", True, ["invoice.paid"])
    shown = await crm.data("query($id: ID!) { node(id: $id) { ... on WebhookSource { displayName } } }", "ADMINISTRATOR", id=source["id"])
    assert shown["node"] == {"displayName": "财务系统"}

    invoice = {"customer_id": customer_id, "number": "INV-2026-7", "amount": "98000.50", "currency_code": "CNY"}
    told = {"type": "invoice.paid", "timestamp": "2026-11-24T08:00:00Z", "data": invoice}
    assert await post(crm, source["id"], secret, "evt-1", told) == (200, "ACCEPTED")
    assert await post(crm, source["id"], secret, "evt-1", told) == (200, "ACCEPTED")
    await crm.settled()
    seen = await crm.data(
        "query($id: ID!) { customer(id: $id) { notes { nodes { text } } timeline(first: 10) { nodes { eventType } } } }", id=customer_id
    )
    assert seen["customer"]["notes"]["nodes"] == [{"text": "发票 INV-2026-7 已付款：CNY 98000.50（财务系统）"}]
    told_of = [entry["eventType"] for entry in seen["customer"]["timeline"]["nodes"]]
    assert told_of.count("crm.customer.v1.NoteCreated") == 1

    fresh = (await crm.data(ROTATE, "ADMINISTRATOR", id=source["id"]))["webhookSourceRotateSecret"]["secret"]
    assert await post(crm, source["id"], secret, "evt-2", {"type": "invoice.sent"}) == (200, "IGNORED")
    assert await post(crm, source["id"], fresh, "evt-3", told | {"data": invoice | {"customer_id": "nobody"}}) == (422, "WEBHOOK_UNMATCHED")
    off = (await crm.data(DISABLE, "ADMINISTRATOR", id=source["id"], version=2))["webhookSourceUpdate"]
    assert off == {"webhookSource": {"enabled": False}, "errors": []}
    assert await post(crm, source["id"], fresh, "evt-4", told) == (401, "WEBHOOK_UNVERIFIED")

    log = (await crm.data(LOG, "ADMINISTRATOR", id=source["id"]))["webhookReceipts"]
    rows = {row["webhookId"]: (row["state"], row["eventType"], row["recordType"], row["receiveCount"]) for row in log["nodes"]}
    assert rows == {
        "evt-1": ("ACCEPTED", "invoice.paid", "Note", 2),
        "evt-2": ("IGNORED", "invoice.sent", None, 1),
        "evt-3": ("REFUSED", "invoice.paid", None, 1),
        None: ("REFUSED", None, None, 1),
    }
    assert [row["reason"] for row in log["nodes"] if not row["webhookId"]] == ["the source is disabled or archived"]
    hidden = await crm.graph(LOG, "SALES_REP", id=source["id"])
    assert hidden["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
