"""Orders that an earlier build stored to the millionth become what can be paid, with a fact, a history and the customer's sums."""

from __future__ import annotations

from typing import Any

from tests.support.installation import Installation


async def test_what_an_earlier_build_stored_to_the_millionth_can_be_paid_after_the_upgrade(crm: Installation) -> None:
    sales = crm.suite["sales"]
    price = {"currency_code": "CNY", "amount_micros": 33_333_333}
    customer = (await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name="以前的订单")).customer.id
    lines = [{"quantity": 3, "unit_price": price}]
    made = (await crm.ask("CreateOrder", role="COORDINATOR", customer_id=customer, lines=lines)).order
    whole = (await crm.ask("CreateOrder", role="COORDINATOR", customer_id=customer, lines=lines)).order
    old = {"currency_code": "CNY", "amount_micros": 99_999_999}
    await sales.database["orders"].update_one({"_id": made.id}, {"$set": {"lines.0.amount": old, "total": old}})
    await sales.database["order_totals"].update_one({"customer_id": customer}, {"$inc": {"sales_micros": -1, "net_micros": -1}})
    await sales.database["migrations"].delete_many({})
    await sales._migrate_beside()
    await sales._migrate_beside()

    async def stored(identity: str) -> Any:
        return (await crm.ask("GetOrder", order_id=identity)).order

    mended = await stored(made.id)
    assert (mended.total.amount_micros, mended.lines[0].amount.amount_micros, mended.version) == (100_000_000, 100_000_000, 2)
    assert (await stored(whole.id)).version == 1, "what can be paid stays as it is"
    (sums,) = (await crm.ask("BatchGetOrderTotals", customer_ids=[customer])).order_totals
    assert sums.sales_value.amount_micros == sums.net_value.amount_micros == 200_000_000
