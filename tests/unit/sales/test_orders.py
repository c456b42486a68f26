"""Orders: reckoning, states, returns and what they add to a customer's totals; money is conserved to the micro."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.money import LARGEST, payable
from services.sales.orders.model import check, contribution, moved, returned, totals_document

STATES = ("PLACED", "CONFIRMED", "FULFILLED", "CANCELLED")


def line(quantity: int = 2, price: int = 1_500_000, currency: str = "CNY") -> dict[str, Any]:
    return {"quantity": quantity, "unit_price": {"currency_code": currency, "amount_micros": price}}


def order(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"_id": "o1", "number": "N1", "customer_id": "c1", "owner_id": "p1", "lines": list(lines or [line()]), **more}
    check(found)
    return found


def test_lines_and_total_are_reckoned_whatever_was_sent() -> None:
    found = order({**line(3, 333_333), "amount": {"currency_code": "USD", "amount_micros": 9}}, line(1, 1))
    assert [each["amount"]["amount_micros"] for each in found["lines"]] == [1_000_000, 0]
    assert found["total"] == {"currency_code": "CNY", "amount_micros": 1_000_000}
    assert (found["kind"], found["state"]) == ("SALE", "PLACED")


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([line(0)], "lines[0].quantity"),
        ([line(), line(-1)], "lines[1].quantity"),
        ([line(1, -1)], "lines[0].unit_price"),
        ([line(1, 1, "CNY"), line(1, 1, "USD")], "lines"),
        ([], "lines"),
    ],
)
@pytest.mark.parametrize("kind", ["SALE", "RETURN"])
def test_lines_that_make_no_sense_are_refused(lines: list[dict[str, Any]], field: str, kind: str) -> None:
    with pytest.raises(Invalid) as refused:
        check({"lines": lines, "kind": kind})
    assert refused.value.field == field


def test_a_correction_may_count_downwards_but_not_nothing() -> None:
    assert order(line(-2, 5_000), kind="ADJUSTMENT")["total"]["amount_micros"] == -10_000
    assert order(line(2, -5_000), kind="ADJUSTMENT")["total"]["amount_micros"] == -10_000
    with pytest.raises(Invalid):
        order(line(0), kind="ADJUSTMENT")


def test_an_amount_beyond_the_largest_is_refused() -> None:
    assert order(line(1, LARGEST))["total"]["amount_micros"] == LARGEST
    with pytest.raises(Invalid):
        order(line(2, LARGEST // 2 + 1))


@pytest.mark.parametrize(("kind", "present", "following"), list(product(("SALE", "RETURN", "ADJUSTMENT"), STATES, STATES[1:])))
def test_only_sales_move_and_only_forward(kind: str, present: str, following: str) -> None:
    allowed = {
        ("PLACED", "CONFIRMED"),
        ("PLACED", "FULFILLED"),
        ("CONFIRMED", "FULFILLED"),
        ("PLACED", "CANCELLED"),
        ("CONFIRMED", "CANCELLED"),
    }
    if kind == "SALE" and (present, following) in allowed:
        assert moved({"kind": kind, "state": present}, following, "r") == {"state": following, "reason": "r"}
        assert moved({"kind": kind, "state": present}, following) == {"state": following}
    else:
        with pytest.raises(WrongState) as refused:
            moved({"kind": kind, "state": present}, following)
        assert refused.value.code == "ORDER_STATE_NOT_ALLOWED"


@pytest.mark.parametrize(("kind", "state"), [("SALE", state) for state in STATES if state != "FULFILLED"] + [("RETURN", "FULFILLED")])
def test_only_a_delivered_sale_comes_back(kind: str, state: str) -> None:
    with pytest.raises(WrongState) as refused:
        returned(order(kind=kind, state=state), [{"line_index": 0, "quantity": 1}], "r")
    assert refused.value.code == "ORDER_NOT_FULFILLED"


def test_a_return_carries_line_customer_and_price() -> None:
    sale = order(line(3, 700_001), {**line(2, 5), "product_code": "P"}, state="FULFILLED", country_code="CN")
    values, changes = returned(sale, [{"line_index": 1, "quantity": 2}, {"line_index": 0, "quantity": 1}], "broken")
    assert changes == {"returned_quantities": [1, 2]}
    assert values["lines"][0] == {**sale["lines"][1], "quantity": 2}
    assert values["total"] == {"currency_code": "CNY", "amount_micros": 700_000}
    assert {name: values[name] for name in ("kind", "state", "customer_id", "country_code", "owner_id", "returned_order_id", "reason")} == {
        "kind": "RETURN",
        "state": "FULFILLED",
        "customer_id": "c1",
        "country_code": "CN",
        "owner_id": "p1",
        "returned_order_id": "o1",
        "reason": "broken",
    }
    assert "returned_quantities" not in sale


@pytest.mark.parametrize(
    ("back", "field", "code"),
    [
        ([{"line_index": 1, "quantity": 1}], "lines[0].line_index", "INVALID_ARGUMENT"),
        ([{"quantity": 3}], "lines[0].quantity", "RETURN_EXCEEDS_SALE"),
        ([{"quantity": 2}, {"quantity": 1}], "lines[1].quantity", "RETURN_EXCEEDS_SALE"),
    ],
)
def test_no_more_comes_back_than_was_sold(back: list[dict[str, Any]], field: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        returned(order(state="FULFILLED"), back, "r")
    assert (refused.value.code, refused.value.field) == (code, field)


LINES = st.lists(st.builds(line, st.integers(1, 50), st.integers(0, 10**9)), min_size=1, max_size=5)


@given(LINES, st.data())
@settings(max_examples=200, deadline=None)
def test_sales_less_returns_is_what_the_customer_keeps_to_the_coin(lines: list[dict[str, Any]], data: st.DataObject) -> None:
    sale = order(*lines, state="FULFILLED")
    sums: dict[str, int] = {}

    def add(found: dict[str, Any]) -> None:
        for name, value in contribution(found).items():
            sums[name] = sums.get(name, 0) + value

    add(sale)
    refused = 0
    for _ in range(data.draw(st.integers(1, 6))):
        back = data.draw(
            st.lists(
                st.fixed_dictionaries({"line_index": st.integers(0, len(lines) - 1), "quantity": st.integers(1, 60)}),
                min_size=1,
                max_size=4,
            )
        )
        try:
            values, changes = returned(sale, back, "r")
        except Invalid as refusal:
            assert refusal.code == "RETURN_EXCEEDS_SALE"
            refused += 1
            continue
        sale = {**sale, **changes}
        add(values)
    gone = sale.get("returned_quantities", [0] * len(lines))
    assert all(0 <= back <= sold["quantity"] for back, sold in zip(gone, sale["lines"], strict=True))

    def worth(sold: dict[str, Any], quantity: int) -> Any:
        return payable({**sold["unit_price"], "amount_micros": quantity * sold["unit_price"]["amount_micros"]})["amount_micros"]

    kept = sum(worth(sold, sold["quantity"]) - worth(sold, back) for back, sold in zip(gone, sale["lines"], strict=True))
    assert sums["net_micros"] == kept == sums["sales_micros"] - sums.get("returns_micros", 0)
    assert sums["sale_count"] == 1


def test_what_an_order_adds_by_kind_and_state() -> None:
    assert contribution(None) == {}
    for kind in ("SALE", "RETURN", "ADJUSTMENT"):
        assert contribution(order(kind=kind, state="CANCELLED")) == {}
    assert contribution(order()) == {"sale_count": 1, "sales_micros": 3_000_000, "net_micros": 3_000_000}
    assert contribution(order(kind="RETURN")) == {"return_count": 1, "returns_micros": 3_000_000, "net_micros": -3_000_000}
    assert contribution(order(line(-1), kind="ADJUSTMENT")) == {"net_micros": -1_500_000}


def test_totals_are_shown_as_money() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    row = {
        "customer_id": "c",
        "currency_code": "EUR",
        "sale_count": 2,
        "sales_micros": 9,
        "returns_micros": 4,
        "net_micros": 5,
        "last_order_time": moment,
    }
    assert totals_document(row) == {
        "customer_id": "c",
        "currency_code": "EUR",
        "sale_count": 2,
        "return_count": 0,
        "last_order_time": moment,
        "sales_value": {"currency_code": "EUR", "amount_micros": 9},
        "returns_value": {"currency_code": "EUR", "amount_micros": 4},
        "net_value": {"currency_code": "EUR", "amount_micros": 5},
    }


@pytest.mark.parametrize(
    ("quantity", "price", "currency", "paid"),
    [
        (3, 33_333_333, "CNY", 100_000_000),  # 3 × 33.333333 = 100.00
        (1, 5_000, "CNY", 10_000),  # half up
        (1, 4_999, "CNY", 0),
        (-1, 5_000, "CNY", -10_000),  # away from zero
        (3, 333_400_000, "JPY", 1_000_000_000),  # no sen: 3 × 333.4 = 1000.2
        (1, 500_000, "JPY", 1_000_000),
        (7, 142_857, "KWD", 1_000_000),  # thousandths of a dinar
        (1, 1_000_500, "KWD", 1_001_000),
    ],
)
def test_what_can_be_shown_can_be_paid(quantity: int, price: int, currency: str, paid: int) -> None:
    found = order(line(quantity, price, currency), kind="ADJUSTMENT")
    assert found["total"]["amount_micros"] == paid == found["lines"][0]["amount"]["amount_micros"]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10**9)), min_size=1, max_size=5), st.sampled_from(["CNY", "JPY", "KWD", "USD"])
)
@settings(max_examples=150, deadline=None)
def test_the_total_is_the_sum_of_rounded_lines_and_each_can_be_paid(lines: list[tuple[int, int]], currency: str) -> None:
    coin = {"JPY": 1_000_000, "KWD": 1_000}.get(currency, 10_000)
    found = order(*[line(quantity, price, currency) for quantity, price in lines])
    amounts = [each["amount"]["amount_micros"] for each in found["lines"]]
    assert found["total"]["amount_micros"] == sum(amounts)
    for (quantity, price), amount in zip(lines, amounts, strict=True):
        assert amount % coin == 0
        assert 2 * abs(amount - quantity * price) <= coin


@given(st.integers(2, 30), st.integers(1, 10**8), st.data())
@settings(max_examples=150, deadline=None)
def test_what_comes_back_in_parts_is_worth_what_was_paid_to_the_last_coin(quantity: int, price: int, data: st.DataObject) -> None:
    sale = order(line(quantity, price), state="FULFILLED")
    left, back = quantity, 0
    while left:
        part = data.draw(st.integers(1, left))
        values, changes = returned(sale, [{"line_index": 0, "quantity": part}], "broken")
        sale |= changes
        assert values["total"]["amount_micros"] % 10_000 == 0
        back += values["total"]["amount_micros"]
        left -= part
        again = dict(values)
        check(again)  # a later change of the return keeps what it was made with
        assert again["total"] == values["total"]
    assert back == sale["total"]["amount_micros"]
