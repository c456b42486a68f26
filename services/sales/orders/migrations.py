"""Orders that an earlier build reckoned to the millionth are reckoned to what can be paid."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import order_events_pb2 as events

from chassis.kernel.money import payable
from chassis.rpc.call import Call
from chassis.runtime.migrations import Migration, OwnCall, page_by_page
from services.sales.orders import model
from services.sales.orders.store import Orders

Document = dict[str, Any]


def payable_amounts(orders: Orders) -> Migration:
    """Each order with an amount that nobody can pay changes as by an update: version, fact, history, and its customer's sums with it."""

    def mend(call: Call, before: Document) -> bool:
        if all(payable(line["amount"]) == line["amount"] for line in before["lines"]):
            return False
        values = {"kind": before["kind"], "state": before["state"], "lines": before["lines"]}
        model.check(values)
        orders.change(call, before, {"lines": values["lines"], "total": values["total"]}, events.OrderUpdated)
        return True

    async def run(own_call: OwnCall) -> int:
        return await page_by_page(orders, own_call, mend)

    return Migration("orders.payable-1", run)
