"""Hunt: the same through the real consumers: tickets and orders of one person end at the same moment, twenty times."""

from __future__ import annotations

import asyncio

from chassis.kernel.ids import new_id
from tests.e2e.test_access_works import access
from tests.e2e.world import message
from tests.support.installation import Installation


async def test_real_consumers(crm: Installation) -> None:
    person = crm.people["SALES_REP"]
    customers = [new_id() for _ in range(60)]
    line = {"quantity": 1, "unit_price": {"currency_code": "CNY", "amount_micros": 1}, "description": "P"}

    async def tickets(state: int) -> None:
        await crm.ask(
            "BatchUpsertTickets",
            tickets=[
                message(
                    "BatchUpsertTickets",
                    source_key=f"r{c}",
                    number=f"R{c}",
                    subject="s",
                    channel=1,
                    kind=1,
                    priority=1,
                    state=state,
                    customer_id=c,
                    owner_id=person,
                )
                for c in customers
            ],
        )

    async def orders(state: int) -> None:
        await crm.ask(
            "BatchUpsertOrders",
            orders=[
                message(
                    "BatchUpsertOrders",
                    source_key=f"r{c}",
                    number=f"R{c}",
                    kind=1,
                    state=state,
                    lines=[line],
                    customer_id=c,
                    owner_id=person,
                )
                for c in customers
            ],
        )

    await asyncio.gather(tickets(1), orders(1))
    await crm.settled()
    await asyncio.gather(tickets(5), orders(3))
    await crm.settled()
    left = [c for c in customers if await access(crm, c)]
    assert await crm.suite["customer"].database["open_work"].count_documents({"customer_id": {"$in": customers}}) == 0
    assert not left, len(left)
