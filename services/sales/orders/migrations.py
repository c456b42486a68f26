"""Orders that an earlier build reckoned to the millionth are reckoned to what can be paid."""

from __future__ import annotations

from crm.sales.v1 import order_events_pb2 as events

from chassis.kernel.errors import Conflict
from chassis.kernel.money import payable
from chassis.runtime.migrations import PAGE, Migration, OwnCall
from services.sales.orders import model
from services.sales.orders.store import Orders


def payable_amounts(orders: Orders) -> Migration:
    """Each order with an amount that nobody can pay changes as by an update: version, fact, history, and its customer's sums with it."""

    async def run(own_call: OwnCall) -> int:
        after, changed = "", 0
        while True:
            call = own_call("migrate")
            cursor = call.database[orders.resource].find({"_id": {"$gt": after}}).sort("_id", 1).limit(PAGE)
            rows = await orders.opened(call, await cursor.to_list())
            if not rows:
                return changed
            wrong = [row for row in rows if any(payable(line["amount"]) != line["amount"] for line in row["lines"])]
            for before in wrong:
                values = {"kind": before["kind"], "state": before["state"], "lines": before["lines"]}
                model.check(values)
                orders.change(call, before, {"lines": values["lines"], "total": values["total"]}, events.OrderUpdated)
            try:
                await call.changes.commit()
            except Conflict:
                continue
            after, changed = rows[-1]["_id"], changed + len(wrong)

    return Migration("orders.payable-1", run)
