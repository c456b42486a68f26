"""Orders in MongoDB, and the sums over each customer's orders, kept in the same commit as the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.sales.v1 import order_pb2
from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID, origin_of
from chassis.storage.records import Records
from services.sales.orders.model import contribution

Document = dict[str, Any]
TOTALS = "order_totals"
MOST_RETURNS = 100  # that have a short number of their own
TOTALS_INDEX = IndexModel([("customer_id", ASCENDING)], name="by_customer_id")
_SUMMED = {
    "sale_count": ("SALE", 1), "return_count": ("RETURN", 1), "sales_micros": ("SALE", "$total.amount_micros"),
    "returns_micros": ("RETURN", "$total.amount_micros"),
}  # fmt: skip


# The newest sale that stands, read from the orders: a kept maximum would outlive a cancellation.
_LAST_SALE: Document = {
    "$lookup": {
        "from": "orders",
        "localField": "customer_id",
        "foreignField": "customer_id",
        "let": {"code": "$currency_code"},
        "pipeline": [
            {"$match": {"kind": "SALE", "state": {"$ne": "CANCELLED"}, "$expr": {"$eq": ["$total.currency_code", "$$code"]}}},
            {"$sort": {"order_time": -1}},
            {"$limit": 1},
            {"$project": {"order_time": 1}},
        ],
        "as": "last",
    }
}
# What is part of a customer has sums of its own: they are its own again when the merge is undone.
_TOGETHER: list[Document] = [
    {
        "$group": {
            "_id": {name: f"${name}" for name in ("customer_id", "currency_code")},
            **{name: {"$sum": f"${name}"} for name in (*_SUMMED, "net_micros")},
        }
    },
    {"$set": {name: f"$_id.{name}" for name in ("customer_id", "currency_code")}},
]


class Orders(Records):
    """Sales, returns and corrections."""

    edition = 1

    def __init__(self) -> None:
        super().__init__(
            order_pb2.Order,
            indexes=[IndexModel([("opportunity_id", ASCENDING)], name="by_opportunity_id", sparse=True)],
        )

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """Move the sums by what changed. An order that changes customer or currency leaves one sum and enters another."""
        steps: dict[str, dict[str, Any]] = {}
        for sign, order in ((-1, before), (1, after)):
            if order and order.get("customer_id"):
                key = f"{origin_of(order)}-{order['total']['currency_code']}"
                step = steps.setdefault(key, {"order": order, "inc": {}})
                for name, value in contribution(order).items():
                    step["inc"][name] = step["inc"].get(name, 0) + sign * value
        for key, step in steps.items():
            self._step(call, key, step["order"], {name: value for name, value in step["inc"].items() if value})

    async def number_of_return(self, call: Call, number: str) -> str:
        """The next number of a return of this sale, e.g. SO-2026-0001K-R2. Of two at once the later one reads anew and takes the next one."""
        call.drawn.add((self.resource, "unique_number"))
        names = [f"{number}-R{count}" for count in range(1, MOST_RETURNS + 1)]
        taken = [row["number"] async for row in call.database[self.resource].find({"number": {"$in": names}}, {"number": 1})]
        return next((name for name in names if name not in taken), f"{number}-R{new_id().upper()[-8:]}")

    def _step(self, call: Call, key: str, order: Document, inc: dict[str, int]) -> None:
        operation: Document = {
            "$setOnInsert": {name: order[name] for name in (CUSTOMER_ID, CUSTOMER_ALIAS) if order.get(name)}
            | {"currency_code": order["total"]["currency_code"]},
            "$inc": inc or {"net_micros": 0},
        }
        call.changes.write(TOTALS, UpdateOne({"_id": key}, operation, upsert=True))

    async def totals(self, call: Call, customer_ids: Sequence[str]) -> list[Document]:
        """Sums by customer and currency. Whoever may read every order gets the kept sums; others get sums over theirs alone."""
        reach = self.reach(call, "read")
        if reach.everything:
            kept: list[Document] = [{"$match": {"customer_id": {"$in": list(customer_ids)}}}, *_TOGETHER, _LAST_SALE]
            cursor = await call.database[TOTALS].aggregate(kept, maxTimeMS=call.milliseconds_left)
            return [{**row, "last_order_time": row["last"][0]["order_time"] if row["last"] else None} async for row in cursor]
        match = {"$and": [{"customer_id": {"$in": list(customer_ids)}}, reach.filter(), {"state": {"$ne": "CANCELLED"}}]}
        sums: Document = {name: {"$sum": {"$cond": [{"$eq": ["$kind", kind]}, value, 0]}} for name, (kind, value) in _SUMMED.items()}
        sums["net_micros"] = {"$sum": {"$multiply": ["$total.amount_micros", {"$cond": [{"$eq": ["$kind", "RETURN"]}, -1, 1]}]}}
        sums["last_order_time"] = {"$max": {"$cond": [{"$eq": ["$kind", "SALE"]}, "$order_time", None]}}
        group = {"_id": {"customer_id": "$customer_id", "currency_code": "$total.currency_code"}, **sums}
        pipeline: list[Document] = [{"$match": match}, {"$group": group}]
        found = await call.database[self.resource].aggregate(pipeline, maxTimeMS=call.milliseconds_left)
        return [{**row, **row["_id"]} async for row in found]
