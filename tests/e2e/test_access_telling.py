"""Fields that tell each other are limited together: who does not get a total does not get the lines that add up to it."""

from __future__ import annotations

import pytest

from gateway.graph.contract import to_global
from services.organization.access.store import with_copies
from tests.e2e.test_access_roles import holder, role
from tests.support.installation import Installation


@pytest.mark.parametrize("lines", [[], [("orders", "lines", "READ")]])
async def test_who_does_not_get_the_total_of_an_order_cannot_reckon_it(crm: Installation, lines: list[tuple[str, str, str]]) -> None:
    price = {"currency_code": "CNY", "amount_micros": 7_770_000}
    made = (await crm.ask("CreateOrder", role="COORDINATOR", lines=[{"quantity": 3, "unit_price": price}])).order
    found = await role(
        crm, f"不见总额 {len(lines)}", [("orders", "read", "ALL"), ("histories", "read", "ALL")], [("orders", "total", "HIDDEN"), *lines]
    )
    key = f"no total {len(lines)}"
    await holder(crm, key, found["id"])
    query = "query($id: ID!) { order(id: $id) { number total { amount } lines { quantity unitPrice { amount } amount { amount } } } }"
    order = (await crm.data(query, key, id=to_global("Order", made.id)))["order"]
    assert (order["total"], order["lines"]) == (None, [])
    history = "query($id: ID!) { recordHistory(id: $id) { nodes { changes { field after } } } }"
    told = await crm.graph(history, key, id=to_global("Order", made.id))
    assert "7770000" not in str(told)
    assert "7.77" not in str(told)


def test_a_field_that_tells_a_hidden_one_is_hidden_whatever_is_said_of_it() -> None:
    def of(**access: str) -> dict[tuple[str, str], str]:
        return with_copies([{"resource": "orders", "field": name, "access": level} for name, level in access.items()])

    assert of(total="HIDDEN") == {("orders", "total"): "HIDDEN", ("orders", "lines"): "HIDDEN"}
    assert of(total="MASKED", lines="WRITE")["orders", "lines"] == "HIDDEN"
    assert of(total="READ") == {("orders", "total"): "READ"}
    assert of(lines="HIDDEN") == {("orders", "lines"): "HIDDEN"}
