"""Hunt: doors by which a limited field can be learnt or set."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import orjson
import pytest_asyncio

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from tests.e2e.test_access_roles import holder, role
from tests.e2e.world import message
from tests.support.installation import Installation

MARK: dict[str, Any] = {}
READS = (
    "customers",
    "contacts",
    "notes",
    "orders",
    "opportunities",
    "tickets",
    "ticket_replies",
    "articles",
    "products",
    "campaign_messages",
    "histories",
    "timeline_entries",
    "segments",
    "people",
    "campaigns",
)
HIDE = [
    ("orders", "total"),
    ("orders", "lines"),
    ("orders", "order_time"),
    ("tickets", "priority"),
    ("tickets", "subject"),
    ("products", "name"),
    ("customers", "name"),
    ("customers", "tax_number"),
    ("customers", "lifecycle_reason"),
    ("opportunities", "close_reason"),
    ("articles", "body"),
    ("contacts", "email"),
    ("segments", "criteria"),
]


def money(n: int) -> dict[str, Any]:
    return {"currency_code": "CNY", "amount_micros": n}


def opened(token: str) -> str:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def scene(crm: Installation) -> None:
    acts = [(name, "read", "ALL") for name in READS] + [
        ("customers", "update", "ALL"),
        ("customers", "import", "ALL"),
        ("opportunities", "update", "ALL"),
    ]
    found = await role(crm, "猎 a", acts, [(*pair, "HIDDEN") for pair in HIDE])
    await holder(crm, "hunter", found["id"])
    c = (await crm.ask("CreateCustomer", role="COORDINATOR", name="秘密客户名", kind=1, tax_number="HUNT42")).customer
    MARK["c"] = c.id
    line = {"quantity": 1, "unit_price": money(777_000_000), "description": "P"}
    for _ in (1, 2):
        try:
            await crm.ask("CreateOrder", role="COORDINATOR", customer_id=c.id, lines=[line])
        except CrmError as e:
            print("order", e)
    for p in (1, 4):
        await crm.ask("CreateTicket", role="COORDINATOR", customer_id=c.id, subject=f"geheim {p}", channel=1, priority=p)
    for n in ("geheimA", "geheimB"):
        await crm.ask("CreateProduct", role="COORDINATOR", code=new_id()[:10], name=n)
    await crm.ask("CreateArticle", role="COORDINATOR", title="t", body="zzgeheimwort hier", category="x", language=1)
    await crm.settled()


async def test_totals(crm: Installation) -> None:
    got = await crm.ask("BatchGetOrderTotals", role="hunter", customer_ids=[MARK["c"]])
    assert "777" not in str(got), got


async def test_priority(crm: Installation) -> None:
    body = await crm.graph("{ tickets(orderBy: PRIORITY_DESC) { edges { cursor node { priority } } } }", "hunter")
    assert "errors" in body, [opened(e["cursor"]) for e in body["data"]["tickets"]["edges"]]


async def test_default_order(crm: Installation) -> None:
    body = await crm.data("{ products { edges { cursor node { name } } } orders { edges { cursor node { orderTime } } } }", "hunter")
    shown = [opened(e["cursor"]) for k in ("products", "orders") for e in body[k]["edges"]]
    assert "geheim" not in str(shown), shown


async def test_default_order_orders(crm: Installation) -> None:
    """Orders come by their order time unless asked otherwise; for whom that is hidden, they come by the time of their making."""
    body = await crm.data("{ orders { edges { cursor node { orderTime createTime } } } }", "hunter")
    for edge in body["orders"]["edges"]:
        made = datetime.fromisoformat(edge["node"]["createTime"])
        assert edge["node"]["orderTime"] is None
        assert orjson.loads(opened(edge["cursor"]))[2] == int(made.timestamp() * 1000 + 0.5)


async def test_search_name(crm: Installation) -> None:
    body = await crm.data('{ customerSearch(query: "秘密客户") { id name } }', "hunter")
    assert body["customerSearch"] == []


async def test_article_search(crm: Installation) -> None:
    body = await crm.data('{ articleSearch(query: "zzgeheimwort") { id body } }', "hunter")
    assert body["articleSearch"] == []


async def test_validate_only(crm: Installation) -> None:
    await crm.ask(
        "BatchUpsertCustomers",
        role="COORDINATOR",
        customers=[message("BatchUpsertCustomers", source_key="hunt:1", name="n", kind=1, tax_number="HUNT77", phone="12345678")],
    )
    outs = []
    for guess in ("HUNT77", "HUNT78", "HUNT42"):
        try:
            got = await crm.ask(
                "BatchUpsertCustomers",
                role="hunter",
                validate_only=True,
                customers=[message("BatchUpsertCustomers", source_key="hunt:1", name="n", kind=1, tax_number=guess)],
            )
            outs.append(str(got).replace("\n", " "))
        except CrmError as e:
            outs.append(e.code)
    assert outs == ["NOT_ALLOWED"] * 3, outs


async def test_lifecycle_reason(crm: Installation) -> None:
    code = ""
    try:
        await crm.ask("MoveCustomerLifecycle", role="hunter", customer_id=MARK["c"], lifecycle=2, reason="gesetzt")
    except CrmError as e:
        code = e.code
    stored = await crm.suite["customer"].database["customers"].find_one({"_id": MARK["c"]})
    assert stored and stored.get("lifecycle_reason") != "gesetzt", code


async def test_reply_subject(crm: Installation) -> None:
    t = await crm.ask("ListTickets", role="COORDINATOR")
    await crm.ask("CreateTicketReply", role="COORDINATOR", ticket_id=t.tickets[0].id, text="x", author=1)
    got = (
        await crm.ask("ListTicketReplies", role="hunter")
        if False
        else await crm.ask("BatchListTicketReplies", role="hunter", ticket_ids=[t.tickets[0].id])
    )
    await crm.settled()
    tl = await crm.ask("BatchListTimelineEntries", role="hunter", customer_ids=[MARK["c"]])
    assert "geheim" not in str(got), str(got)
    assert "geheim" not in str(tl), str(tl)
