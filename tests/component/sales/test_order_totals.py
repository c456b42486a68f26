"""The sums of a customer's orders are those of a walk over the orders, whatever happened to them."""

from __future__ import annotations

import random
from typing import Any

from tests.component.sales.test_sales import sale
from tests.support.checks import cny
from tests.support.installation import Installation


async def folded(crm: Installation, customer: str, owner: str = "") -> dict[str, Any]:
    """The totals as a plain walk over the stored orders gives them."""
    found: dict[str, Any] = {"sale_count": 0, "return_count": 0, "sales": 0, "returns": 0, "net": 0, "last": None}
    async for row in crm.suite["sales"].database["orders"].find({"customer_id": customer, **({"owner_id": owner} if owner else {})}):
        if row["state"] == "CANCELLED":
            continue
        value = row["total"]["amount_micros"]
        if row["kind"] == "SALE":
            found["sale_count"] += 1
            found["sales"] += value
            found["last"] = max(found["last"] or row["order_time"], row["order_time"])
        if row["kind"] == "RETURN":
            found["return_count"] += 1
            found["returns"] += value
        found["net"] += -value if row["kind"] == "RETURN" else value
    return found


async def totals(crm: Installation, customer: str, role: str) -> dict[str, Any]:
    from datetime import UTC

    rows = (await crm.ask("BatchGetOrderTotals", role=role, customer_ids=[customer])).order_totals
    assert len(rows) == 1
    row = rows[0]
    last = row.last_order_time.ToDatetime(UTC) if row.HasField("last_order_time") else None
    return {
        "sale_count": row.sale_count,
        "return_count": row.return_count,
        "sales": row.sales_value.amount_micros,
        "returns": row.returns_value.amount_micros,
        "net": row.net_value.amount_micros,
        "last": last,
    }


async def test_totals_equal_a_walk_over_the_orders_whatever_happened(crm: Installation) -> None:
    chance = random.Random(7)
    customer = (await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name="总数")).customer.id
    open_, done = [], []
    for step in range(60):
        act = chance.choice(("create", "create", "cancel", "fulfil", "return", "import"))
        if act == "create":
            owner = {"role": "COORDINATOR", "owner_id": crm.people[chance.choice(("SALES_REP", "COORDINATOR"))]}
            open_.append((await sale(crm, customer, chance.randint(1, 9), chance.randint(1, 999) / 100, **owner)).id)
        elif act in ("cancel", "fulfil") and open_:
            identity = open_.pop(chance.randrange(len(open_)))
            given = {"reason": "r"} if act == "cancel" else {}
            await crm.ask("CancelOrder" if act == "cancel" else "FulfillOrder", order_id=identity, **given)
            done += [identity] if act == "fulfil" else []
        elif act == "return" and done:
            await crm.ask(
                "ReturnOrder", order_id=done.pop(chance.randrange(len(done))), reason="r", lines=[{"line_index": 0, "quantity": 1}]
            )
        elif act == "import":
            row = {
                "source_key": f"tot:{chance.randrange(3)}",
                "customer_id": customer,
                "kind": chance.choice((1, 2, 3)),
                "state": chance.choice((1, 4)),
                "lines": [{"quantity": chance.randint(1, 5), "unit_price": cny(chance.randint(1, 99))}],
                "number": f"TOT-{step}",
            }
            assert (await crm.ask("BatchUpsertOrders", orders=[row])).outcomes[0].result in (1, 2)
    for identity in open_:  # open work would show the representative everything of this customer, as would owning it
        await crm.ask("FulfillOrder", order_id=identity)
    await crm.settled()

    async def same(role: str, owner: str) -> bool:
        found, expected = await totals(crm, customer, role), await folded(crm, customer, owner)
        return {**found, "last": None} == {**expected, "last": None}

    for role, owner in (("COORDINATOR", ""), ("SALES_REP", crm.people["SALES_REP"])):
        await crm.until(lambda role=role, owner=owner: same(role, owner), 5)  # type: ignore[misc]


async def test_the_last_order_time_is_that_of_the_last_standing_sale(crm: Installation) -> None:
    customer = (await crm.ask("CreateCustomer", role="SALES_REP", kind=1, name="最后")).customer.id
    await sale(crm, customer, order_time={"seconds": 1_700_000_000})
    late = await sale(crm, customer, order_time={"seconds": 1_750_000_000})
    for role in ("SALES_REP", "COORDINATOR"):
        assert (await totals(crm, customer, role))["last"] == (await folded(crm, customer))["last"]
    await crm.ask("CancelOrder", order_id=late.id, reason="r")
    for role in ("SALES_REP", "COORDINATOR"):
        assert (await totals(crm, customer, role))["last"] == (await folded(crm, customer))["last"], role


async def test_an_import_moves_an_order_to_another_customer_with_its_sums(crm: Installation) -> None:
    one, two = [(await crm.ask("CreateCustomer", role="SALES_REP", kind=1, name=name)).customer.id for name in ("移出", "移入")]
    row = {"source_key": "mv:1", "customer_id": one, "number": "MV-1", "lines": [{"quantity": 2, "unit_price": cny(3)}]}
    for wanted, changes in (([1], {}), ([3], {}), ([2], {"customer_id": two})):
        assert [each.result for each in (await crm.ask("BatchUpsertOrders", orders=[{**row, **changes}])).outcomes] == wanted
    rows = {each.customer_id: each for each in (await crm.ask("BatchGetOrderTotals", customer_ids=[one, two])).order_totals}
    assert rows[two].net_value.amount_micros == 6_000_000
    assert one not in rows or (rows[one].sale_count, rows[one].net_value.amount_micros, rows[one].HasField("last_order_time")) == (
        0,
        0,
        False,
    )
