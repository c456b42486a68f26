"""Groups put together: whatever is shown of them, rows and others add up to the totals; currencies stay apart."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.groups import AVG, COUNT, MAX, MIN, MONEY, NUMBER, SUM, WEIGHTED, By, Cut, Group, Measure, Part, Reckoning
from chassis.kernel.rates import Rates

TODAY = date(2026, 11, 30)
RATES = Rates("CNY", {("USD", "CNY"): ((1,), ("7.0856",)), ("JPY", "CNY"): ((1,), ("0.0468",))})
MEASURES = (Measure(SUM, "amount", MONEY), Measure(COUNT), Measure(SUM, "pieces", NUMBER))


def made(chance: random.Random, keys: tuple[Any, ...]) -> Group:
    """A group with amounts in some currencies."""
    codes = chance.sample(["CNY", "USD", "JPY", "ISK"], chance.randint(0, 3))
    amounts = {code: Part(1, Decimal(chance.randint(-(10**12), 10**12)), 1, 1) for code in codes}
    return Group(keys, chance.randint(1, 9), (amounts, {}, {"": Part(1, Decimal(chance.randint(0, 99)), 0, 9)}))


def sums(group: Group | None) -> dict[str, int]:
    """By currency, and the rest under names of their own."""
    if group is None:
        return {}
    money, count, pieces = Reckoning(MEASURES, RATES, TODAY).values(group)
    told = {str(one["currency_code"]): int(str(one["amount_micros"])) for one in money.amounts}
    return told | {"count": count.plain, "pieces": int(pieces.plain)}


def together(cut: Cut) -> dict[str, int]:
    found: dict[str, int] = {}
    for group in (*cut.rows, cut.others):
        for name, value in sums(group).items():
            found[name] = found.get(name, 0) + value
    return found


@pytest.mark.parametrize("seed", range(40))
def test_rows_and_others_add_up_to_the_totals(seed: int) -> None:
    chance = random.Random(seed)
    keys = {(chance.choice(["a", "b", "c", None]), f"2026-{chance.randint(1, 12):02}-01") for _ in range(30)}
    by = [By(top=chance.choice([0, 1, 2])), By(periods=True, top=chance.choice([0, 5]))]
    cut = Reckoning(MEASURES, RATES, TODAY).cut([made(chance, key) for key in keys], by, chance.choice([3, 1000]))
    assert {name: value for name, value in together(cut).items() if value} == {
        name: value for name, value in sums(cut.totals).items() if value
    }
    assert [group.keys for group in cut.rows] == sorted(
        (group.keys for group in cut.rows), key=lambda key: [one.keys for one in cut.rows].index(key)
    )
    firsts = [group.keys[0] for group in cut.rows]
    assert firsts == sorted(firsts, key=firsts.index), "those of one value stand beside each other"


def test_values_come_from_the_largest_on_and_periods_one_after_another() -> None:
    groups = [Group((key,), count, ({}, {}, {})) for key, count in (("b", 2), (None, 9), ("a", 2), ("c", 5))]
    reckoning = Reckoning((Measure(COUNT),) * 3, RATES, TODAY)
    assert [group.keys[0] for group in reckoning.cut(groups, [By()], 9).rows] == [None, "c", "a", "b"]
    days = [Group((key,), count, ({}, {}, {})) for key, count in (("2026-02-01", 9), (None, 1), ("2026-01-01", 2))]
    assert [group.keys[0] for group in reckoning.cut(days, [By(periods=True)], 9).rows] == ["2026-01-01", "2026-02-01", None]


def test_what_no_rate_converts_stands_beside() -> None:
    group = Group((), 3, ({"USD": Part(1, Decimal(10_000_000), 10_000_000, 10_000_000), "ISK": Part(2, Decimal(30), 10, 20)},))
    (value,) = Reckoning((Measure(SUM, "amount", MONEY),), RATES, TODAY).values(group)
    assert value.amount == {"currency_code": "CNY", "amount_micros": 70_860_000}  # 70.856, rounded once to what can be paid
    assert value.unconverted == ({"currency_code": "ISK", "amount_micros": 30},)
    alone = Group((), 1, ({"ISK": Part(1, Decimal(7), 7, 7)},))
    assert Reckoning((Measure(SUM, "amount", MONEY),), RATES, TODAY).values(alone)[0].amount is None


@pytest.mark.parametrize(("function", "wanted"), [(SUM, 0), (WEIGHTED, 0), (AVG, None), (MIN, None), (MAX, None)])
def test_of_nothing_there_is_a_sum_and_no_mean(function: str, wanted: int | None) -> None:
    (value,) = Reckoning((Measure(function, "amount", MONEY, "chance"),), RATES, TODAY).values(Group(()))
    assert (value.amount or {}).get("amount_micros") == wanted
    (plain,) = Reckoning((Measure(function if function != WEIGHTED else SUM, "pieces", NUMBER),), RATES, TODAY).values(Group(()))
    assert plain.plain == wanted


def test_a_mean_over_currencies_is_the_sum_by_the_number() -> None:
    group = Group((), 3, ({"CNY": Part(2, Decimal(3_000_000), 1_000_000, 2_000_000), "JPY": Part(1, Decimal(100_000_000), 1, 1)},))
    (value,) = Reckoning((Measure(AVG, "amount", MONEY),), RATES, TODAY).values(group)
    assert value.amount == {"currency_code": "CNY", "amount_micros": 2_560_000}  # (3.00 + 4.68) / 3
    assert [one["amount_micros"] for one in value.amounts] == [1_500_000, 100_000_000]


def test_a_sum_that_no_amount_holds_is_refused() -> None:
    group = Group((), 2, ({"CNY": Part(2, Decimal(9 * 10**17 + 1), 1, 1)},))
    with pytest.raises(CrmError) as refusal:
        Reckoning((Measure(SUM, "amount", MONEY),), RATES, TODAY).values(group)
    assert refusal.value.code == "REPORT_TOO_WIDE"
