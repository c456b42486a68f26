"""Hunt: order totals with orders.total hidden; the shipped MANAGER and the address of a message."""

from __future__ import annotations

from tests.e2e.test_access_roles import departments, holder, role
from tests.e2e.world import message
from tests.support.installation import Installation


async def test_totals(crm: Installation) -> None:
    found = await role(
        crm,
        "猎 t",
        [("customers", "read", "ALL"), ("orders", "read", "ALL")],
        [("orders", "total", "HIDDEN"), ("orders", "lines", "HIDDEN")],
    )
    await holder(crm, "nototal", found["id"])
    c = (await crm.ask("CreateCustomer", role="COORDINATOR", name="和", kind=1)).customer
    line = {"quantity": 1, "unit_price": {"currency_code": "CNY", "amount_micros": 777_000_000}, "description": "P"}
    await crm.ask("CreateOrder", role="COORDINATOR", customer_id=c.id, lines=[line])
    listed = await crm.ask("ListOrders", role="nototal")
    assert "777" not in str(listed.orders[0].total)
    got = await crm.ask("BatchGetOrderTotals", role="nototal", customer_ids=[c.id])
    assert "777000000" not in str(got), got


async def test_manager(crm: Installation) -> None:
    chief = await crm.person("chief", "MANAGER")
    await crm.until(lambda: all(chief in d.authority.directory.members for _, d in departments(crm)), 5)
    c = (await crm.ask("CreateCustomer", role="COORDINATOR", name="信", kind=1)).customer
    k = (await crm.ask("CreateContact", role="COORDINATOR", customer_id=c.id, name="李", email="secret.li@example.cn")).contact
    out = await crm.ask("BatchUpsertCampaigns", campaigns=[message("BatchUpsertCampaigns", source_key="h:1", name="a", channel=1, state=3)])
    await crm.ask(
        "BatchUpsertCampaignMessages",
        campaign_messages=[
            message(
                "BatchUpsertCampaignMessages",
                source_key="h:m",
                campaign_id=out.outcomes[0].id,
                customer_id=c.id,
                contact_id=k.id,
                state=2,
                address="secret.li@example.cn",
                planned_time={"seconds": 1},
                sent_time={"seconds": 2},
            )
        ],
    )
    got = await crm.ask("BatchGetContacts", role="chief", ids=[k.id])
    assert got.contacts[0].email == "s****@example.cn"
    messages = await crm.ask("ListCampaignMessages", role="chief")
    assert "secret.li" not in str(messages), messages
