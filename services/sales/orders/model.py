"""An order: its lines and total, its way to delivery, what of it comes back. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chassis.access.caller import READ
from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.money import coin, currency, micros, of_micros, payable, total
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID

Document = dict[str, Any]
# Which state may follow which, by verb.
_FROM = {"CONFIRMED": ("PLACED",), "FULFILLED": ("PLACED", "CONFIRMED"), "CANCELLED": ("PLACED", "CONFIRMED")}


def check(order: Document) -> None:
    """Complete an order: reckon each line and the total. Sales and returns count upwards; only corrections may be negative."""
    order.setdefault("kind", "SALE")
    order.setdefault("state", "PLACED")
    lines = [_line(line, index, order["kind"]) for index, line in enumerate(order.get("lines", []))]
    if not lines:
        raise Invalid("an order needs 1 to 2000 lines; give at least one", field="lines")
    order["lines"] = lines
    order["total"] = total((line["amount"] for line in lines), field="lines")


def _line(line: Document, index: int, kind: str) -> Document:
    quantity, price = line.get("quantity", 0), line["unit_price"]
    if quantity == 0:
        raise Invalid("the quantity is 0; give how many, or leave the line out", field=f"lines[{index}].quantity")
    if kind != "ADJUSTMENT" and (quantity < 0 or micros(price) < 0):
        field = f"lines[{index}].{'quantity' if quantity < 0 else 'unit_price'}"
        raise Invalid("negative quantities and prices are for corrections only; return goods with orderReturn", field=field)
    return {**line, "amount": _amount(line, kind)}


def _amount(line: Document, kind: str) -> Document:
    """What a line costs, rounded once to what can be paid. Of goods that come back, what they were sold for: the last of three for 100.00 gives
    33.34 back, so a return keeps the amount that it was made with, which is less than a coin away."""
    exact = of_micros(currency(line["unit_price"]), line["quantity"] * micros(line["unit_price"]))
    rounded, kept = payable(exact), line.get("amount")
    if kind == "RETURN" and kept and payable(kept) == kept and abs(micros(kept) - micros(exact)) < coin(currency(exact)):
        return kept
    return rounded


def in_future(order_time: datetime, now: datetime) -> Invalid | None:
    """The refusal of an order that nobody has placed yet; clocks may differ by a day, for dates without zone come in."""
    if order_time <= now + timedelta(days=1):
        return None
    return Invalid("the order lies in the future; give the time at which it was placed", code="TIME_IN_FUTURE", field="order_time")


def may_become(state: str, order: Document) -> None:
    """Refuse what is no sale, and a state that cannot follow the present one."""
    if order["kind"] != "SALE" or order["state"] not in _FROM[state]:
        text = f"a {order['kind'].lower()} that is {order['state'].lower()} cannot become {state.lower()}"
        raise WrongState(f"{text}; allowed before it: {', '.join(_FROM[state])} of a sale", code="ORDER_STATE_NOT_ALLOWED")


def moved(order: Document, state: str, reason: str | None = None) -> Document:
    """The changes when an order is confirmed, delivered or cancelled."""
    may_become(state, order)
    return {"state": state} | ({"reason": reason} if reason else {})


def must_be_delivered(order: Document) -> None:
    """Refuse to take back what is no delivered sale."""
    if order["kind"] != "SALE" or order["state"] != "FULFILLED":
        raise WrongState("only a delivered sale can be returned; fulfil it first (orderFulfill) or cancel it", code="ORDER_NOT_FULFILLED")


def returned(order: Document, lines: list[Document], reason: str) -> tuple[Document, Document]:
    """(values of the return order, changes of the sale) when goods come back; never more than were sold."""
    must_be_delivered(order)
    back = list(order.get("returned_quantities") or [0] * len(order["lines"]))
    given: list[Document] = []
    for index, line in enumerate(lines):
        number, quantity = line.get("line_index", 0), line["quantity"]
        if number >= len(order["lines"]):
            raise Invalid(
                f"the sale has lines 0 to {len(order['lines']) - 1}; there is no line {number}", field=f"lines[{index}].line_index"
            )
        sold = order["lines"][number]
        left = sold["quantity"] - back[number]
        if quantity > left:
            raise Invalid(
                f"{quantity} given back of line {number}, but only {left} are left of {sold['quantity']}",
                code="RETURN_EXCEEDS_SALE", field=f"lines[{index}].quantity",
            )  # fmt: skip
        given.append({**sold, "quantity": quantity, "amount": _returned_amount(sold, back[number], quantity)})
        back[number] += quantity
    values: Document = {"kind": "RETURN", "state": "FULFILLED", "lines": given, "returned_order_id": order["_id"], "reason": reason}
    values |= {name: order[name] for name in (CUSTOMER_ID, CUSTOMER_ALIAS, "country_code", "owner_id") if order.get(name)}
    check(values)
    return values, {"returned_quantities": back}


def _returned_amount(sold: Document, before: int, quantity: int) -> Document:
    """The price of what comes back now: what all that came back is worth, less what came back before; so all of it is worth what was paid."""
    code, price = currency(sold["unit_price"]), micros(sold["unit_price"])
    worth = [micros(payable(of_micros(code, number * price))) for number in (before, before + quantity)]
    return of_micros(code, worth[1] - worth[0])


def contribution(order: Mapping[str, Any] | None) -> dict[str, int]:
    """What an order adds to its customer's totals, in counts and millionths."""
    if not order or order["state"] == "CANCELLED":
        return {}
    value = micros(order["total"])
    if order["kind"] == "SALE":
        return {"sale_count": 1, "sales_micros": value, "net_micros": value}
    if order["kind"] == "RETURN":
        return {"return_count": 1, "returns_micros": value, "net_micros": -value}
    return {"net_micros": value}


def totals_document(row: Mapping[str, Any]) -> Document:
    """The stored sums as the contract shows them."""
    code = row["currency_code"]
    found: Document = {"customer_id": row["customer_id"], "currency_code": code}
    found |= {"sale_count": row.get("sale_count", 0), "return_count": row.get("return_count", 0)}
    for name in ("sales", "returns", "net"):
        found[f"{name}_value"] = {"currency_code": code, "amount_micros": row.get(f"{name}_micros", 0)}
    if row.get("last_order_time"):
        found["last_order_time"] = row["last_order_time"]
    return found


def hidden_totals(limits: Mapping[str, int]) -> set[str]:
    """Which sums a caller does not get, because they do not get what is summed."""
    tells = {"total": ("sales_value", "returns_value", "net_value"), "lines": ("sales_value", "returns_value", "net_value"),
             "order_time": ("last_order_time",), "kind": ("sale_count", "return_count", "sales_value", "returns_value")}  # fmt: skip
    return {name for field, names in tells.items() if limits.get(field, READ) < READ for name in names}
