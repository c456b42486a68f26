"""What can be done with an order beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import order_events_pb2 as events

from chassis.kernel.errors import CrmError, NotFound
from chassis.rpc.call import Call
from chassis.rpc.remote import first_of, out_of_use
from services.sales.orders import model
from services.sales.orders.store import Orders
from services.sales.products.store import Products

Document = dict[str, Any]


async def complete(products: Products, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: the time where none is given; the products of the lines must exist."""
    for document in batch:
        document.setdefault("order_time", call.now)
    late: list[CrmError | None] = [model.in_future(document["order_time"], call.now) for document in batch]
    return first_of(late, await _unknown_products(products, call, batch))


async def _unknown_products(products: Products, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: the products of the lines must exist; of new orders they must be in use, and a code alone must be one of the catalogue. What
    is imported is history: its codes and products may be of another time."""
    named = {line["product_id"] for document in batch for line in document["lines"] if line.get("product_id")}
    known = await products.batch_get(call, named, ["code", "archive_time"]) if named else {}
    imported = call.method.startswith("BatchUpsert")
    codes = {line["product_code"] for each in batch if not each.get("_id") for line in each["lines"] if _by_code(line)}
    coded = await products.by_codes(call, codes) if codes and not imported else {}
    return [_refusal(document, known, coded, judged=not imported and not document.get("_id")) for document in batch]


def _by_code(line: Document) -> bool:
    return bool(line.get("product_code")) and not line.get("product_id")


def _refusal(document: Document, known: dict[str, Document], coded: dict[str, Document], *, judged: bool) -> CrmError | None:
    for index, line in enumerate(document["lines"]):
        field = f"lines[{index}].product_id"
        if line.get("product_id") and line["product_id"] not in known:
            return NotFound(f"there is no product of this id; check {field}", code="REFERENCE_NOT_FOUND", field=field)
        product = known.get(line.get("product_id", "")) or coded.get(line.get("product_code", ""))
        if judged and product is None and _by_code(line):
            field = f"lines[{index}].product_code"
            words = f"there is no product of the code «{line['product_code']}»; check {field}, or leave it out and describe what is sold"
            return NotFound(words, code="REFERENCE_NOT_FOUND", field=field)
        if judged and product and product.get("archive_time"):
            return out_of_use("product", field)
        if judged and product:
            line["product_id"] = product["_id"]
    return None


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
    return orders.create(
        call,
        values | {"number": await orders.number_of_return(call, before["number"]), "order_time": call.now},
        events.OrderCreated,
        owner_of=before,
    )
