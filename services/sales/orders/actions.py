"""What can be done with an order beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import order_events_pb2 as events

from chassis.kernel.errors import CrmError, NotFound
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from services.sales.orders import model
from services.sales.orders.store import Orders
from services.sales.products.store import Products

Document = dict[str, Any]


async def complete(products: Products, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: number and time where none is given; the products of the lines must exist."""
    for document in batch:
        document.setdefault("order_time", call.now)
        document.setdefault("number", f"SO-{new_id().upper()}")
    return await _unknown_products(products, call, batch)


async def _unknown_products(products: Products, call: Call, batch: list[Document]) -> list[CrmError | None]:
    named = {line["product_id"] for document in batch for line in document["lines"] if line.get("product_id")}
    known = await products.batch_get(call, named, ["code"]) if named else {}
    refusals: list[CrmError | None] = []
    for document in batch:
        wrong = next((index for index, line in enumerate(document["lines"]) if line.get("product_id", "") not in {*known, ""}), None)
        field = f"lines[{wrong}].product_id"
        text = f"there is no product of this id; check {field}"
        refusals.append(None if wrong is None else NotFound(text, code="REFERENCE_NOT_FOUND", field=field))
    return refusals


async def _move(
    orders: Orders, call: Call, order_id: str, version: int | None, state: str, event: Any, reason: str | None = None
) -> Document:
    before = await orders.get(call, order_id, "update")
    orders.checked_version(before, version)
    return orders.change(call, before, model.moved(before, state, reason), event)


async def confirm(orders: Orders, call: Call, *, order_id: str, version: int | None = None) -> Document:
    """Confirm a placed order."""
    return await _move(orders, call, order_id, version, "CONFIRMED", events.OrderConfirmed)


async def fulfill(orders: Orders, call: Call, *, order_id: str, version: int | None = None) -> Document:
    """Deliver in full."""
    return await _move(orders, call, order_id, version, "FULFILLED", events.OrderFulfilled)


async def cancel(orders: Orders, call: Call, *, order_id: str, reason: str, version: int | None = None) -> Document:
    """Cancel before delivery."""
    return await _move(orders, call, order_id, version, "CANCELLED", events.OrderCancelled, reason)


async def give_back(
    orders: Orders, call: Call, *, order_id: str, reason: str, lines: list[Document], version: int | None = None
) -> Document:
    """Take goods back: the sale remembers how many, a return order is made; one commit."""
    before = await orders.get(call, order_id, "update")
    orders.checked_version(before, version)
    values, changes = model.returned(before, lines, reason)
    orders.change(call, before, changes, events.OrderReturned)
    number = f"{before['number']}-R{before['version']}"
    return orders.create(call, values | {"number": number, "order_time": call.now}, events.OrderCreated, owner_of=before)
