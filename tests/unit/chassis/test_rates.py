"""Rates: the newest one not later than the day, reversed or through the base only where none is stored, exact, and never made up."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid
from chassis.kernel.money import coin, micros, of_micros
from chassis.kernel.rates import INVERSE, SAME, STORED, THROUGH_BASE, Rates, check_rate

MONDAY = date(2026, 11, 30)
CODES = ("CNY", "USD", "JPY", "KWD")
plain = st.builds(lambda number, places: f"{Decimal(number).scaleb(-places):f}", st.integers(1, 10**9), st.integers(0, 8))
known = st.dictionaries(
    st.tuples(st.sampled_from(CODES), st.sampled_from(CODES)).filter(lambda pair: pair[0] != pair[1]),
    st.dictionaries(st.integers(0, 20), plain, min_size=1, max_size=4),
    max_size=6,
)


def rates(stored: dict[tuple[str, str], dict[date, str]], base: str = "CNY") -> Rates:
    return Rates(base, {pair: _series(days) for pair, days in stored.items()})


def _series(days: dict[date, str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    ordered = sorted(days)
    return tuple(day.toordinal() for day in ordered), tuple(days[day] for day in ordered)


WEEK = rates({("USD", "CNY"): {date(2026, 11, 24): "7.10", date(2026, 11, 27): "7.0856"}, ("JPY", "CNY"): {date(2026, 11, 20): "0.045612"}})


def test_the_rate_of_a_day_is_the_newest_that_is_not_later() -> None:
    found = [WEEK.of_day("USD", "CNY", day) for day in (date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 26), date(2026, 11, 27))]
    assert [one and one.text for one in found] == [None, "7.1", "7.1", "7.0856"]


def test_over_a_weekend_and_when_a_feed_is_late_the_last_one_counts_and_tells_its_age() -> None:
    found = WEEK.of_day("USD", "CNY", MONDAY)
    assert found is not None
    assert (found.text, found.way, found.first_day, found.age_days) == ("7.0856", STORED, date(2026, 11, 27), 3)


def test_the_opposite_pair_is_reversed_only_where_the_pair_has_none() -> None:
    found = WEEK.of_day("CNY", "USD", MONDAY)
    assert found is not None
    assert (found.way, found.exact, found.text) == (INVERSE, 1 / Fraction("7.0856"), "0.141131308569493056")
    assert [(one.source, one.target, one.text) for one in found.stored] == [("USD", "CNY", "7.0856")]
    own = rates({("CNY", "USD"): {date(2026, 1, 1): "0.15"}, ("USD", "CNY"): {MONDAY: "7"}}).of_day("CNY", "USD", MONDAY)
    assert own is not None
    assert (own.way, own.text) == (STORED, "0.15")  # older, and yet its own


def test_two_foreign_currencies_go_through_the_base_and_say_so() -> None:
    found = WEEK.of_day("USD", "JPY", MONDAY)
    assert found is not None
    assert (found.way, found.exact) == (THROUGH_BASE, Fraction("7.0856") / Fraction("0.045612"))
    assert [(one.source, one.target, one.first_day) for one in found.stored] == [
        ("USD", "CNY", date(2026, 11, 27)),
        ("JPY", "CNY", date(2026, 11, 20)),
    ]
    assert (found.first_day, found.age_days) == (date(2026, 11, 20), 10)  # as old as the older of the two


def test_no_way_leads_through_another_currency_than_the_base() -> None:
    by_dollar = {("USD", "EUR"): {MONDAY: "0.9"}, ("USD", "JPY"): {MONDAY: "150"}}
    assert rates(by_dollar).of_day("EUR", "JPY", MONDAY) is None
    assert rates(by_dollar, "USD").of_day("EUR", "JPY", MONDAY) is not None


def test_without_a_rate_there_is_none_never_one_and_never_nought() -> None:
    for pair in (("EUR", "CNY"), ("CNY", "EUR"), ("EUR", "USD"), ("EUR", "GBP")):
        assert WEEK.of_day(*pair, MONDAY) is None
    assert WEEK.convert(of_micros("EUR", 5_000_000), "CNY", MONDAY) is None
    assert WEEK.convert(of_micros("USD", 5_000_000), "CNY", date(2020, 1, 1)) is None


def test_an_amount_of_the_same_currency_stays_exactly_as_it_is() -> None:
    odd = of_micros("EUR", 1_234_567)
    assert Rates().convert(odd, "EUR", MONDAY) == odd
    found = Rates().of_day("EUR", "EUR", MONDAY)
    assert found is not None
    assert (found.way, found.text, found.first_day, found.stored) == (SAME, "1", None, ())


@pytest.mark.parametrize(
    ("rate", "amount", "target", "expected"),
    [
        ("0.045612", of_micros("JPY", 10_000_000_000), "CNY", 456_120_000),
        ("150.5", of_micros("USD", 1_000_000), "JPY", 151_000_000),  # half a yen, away from zero
        ("150.5", of_micros("USD", -1_000_000), "JPY", -151_000_000),
        ("0.5", of_micros("USD", 10_000), "CNY", 10_000),  # half a fen
        ("0.306755", of_micros("USD", 1_000_000), "KWD", 307_000),  # three decimals
        ("0.000000000001", of_micros("USD", 1_000_000), "CNY", 0),
    ],
)
def test_an_amount_is_rounded_once_to_what_can_be_paid(rate: str, amount: dict[str, object], target: str, expected: int) -> None:
    pair = (str(amount["currency_code"]), target)
    assert rates({pair: {MONDAY: rate}}).convert(amount, target, MONDAY) == of_micros(target, expected)


def test_what_is_beyond_the_largest_amount_and_another_currency_are_refused() -> None:
    dear = rates({("USD", "CNY"): {MONDAY: "999999"}})
    with pytest.raises(Invalid, match="beyond"):
        dear.convert(of_micros("USD", 10**16), "CNY", MONDAY)
    found = dear.of_day("USD", "CNY", MONDAY)
    assert found is not None
    with pytest.raises(Invalid, match="amount is in EUR"):
        found.convert(of_micros("EUR", 1))


@settings(max_examples=300, deadline=None)
@given(
    stored=known,
    source=st.sampled_from(CODES),
    target=st.sampled_from(CODES),
    offset=st.integers(-2, 22),
    amount=st.integers(-(10**15), 10**15),
)
def test_it_agrees_with_a_search_by_the_rules_and_decimal_arithmetic(
    stored: Any, source: str, target: str, offset: int, amount: int
) -> None:
    days = {pair: {MONDAY + timedelta(number): text for number, text in series.items()} for pair, series in stored.items()}
    day, found = MONDAY + timedelta(offset), rates(days).of_day(source, target, MONDAY + timedelta(offset))
    expected = _oracle(days, source, target, day)
    assert (found is None) == (expected is None)
    if found is None or expected is None:
        return
    assert (found.exact, found.way) == expected
    context = Context(prec=200, rounding=ROUND_HALF_UP)
    exact = context.divide(Decimal(amount * expected[0].numerator), Decimal(expected[0].denominator))
    step = Decimal(coin(target))
    wanted = int(context.multiply(context.divide(exact, step).quantize(Decimal(1), ROUND_HALF_UP, context), step))
    if found.way != SAME and abs(wanted) < 9 * 10**17:
        assert micros(rates(days).convert(of_micros(source, amount), target, day)) == wanted


def _oracle(days: Any, source: str, target: str, day: date) -> tuple[Fraction, str] | None:
    """The rules read aloud, over lists: slow and plain."""

    def newest(one: str, other: str) -> Fraction | None:
        past = [(first, text) for first, text in days.get((one, other), {}).items() if first <= day]
        return Fraction(max(past)[1]) if past else None

    def direct(one: str, other: str) -> tuple[Fraction, str] | None:
        if one == other:
            return Fraction(1), SAME
        if (own := newest(one, other)) is not None:
            return own, STORED
        return None if (back := newest(other, one)) is None else (1 / back, INVERSE)

    if found := direct(source, target):
        return found
    there, back = direct(source, "CNY"), direct("CNY", target)
    if there is None or back is None or SAME in (there[1], back[1]):
        return None
    return there[0] * back[0], THROUGH_BASE


@settings(max_examples=200)
@given(rate=plain, amount=st.integers(0, 80_000))
def test_there_and_back_differs_by_no_more_than_the_coins_that_were_rounded_away(rate: str, amount: int) -> None:
    table = rates({("USD", "CNY"): {MONDAY: rate}})
    there = table.convert(of_micros("USD", amount * 10_000), "CNY", MONDAY)
    assert there is not None
    back = table.convert(there, "USD", MONDAY)
    lost = Fraction(coin("CNY"), 2) / Fraction(rate) + Fraction(coin("USD"), 2)
    assert abs(micros(back) - amount * 10_000) <= lost


@pytest.mark.parametrize(
    ("text", "kept"),
    [("7.0856", "7.0856"), ("007.50", "7.5"), ("7.", None), (".5", None), ("12", "12"), ("0.000000000000000001", "0.000000000000000001")],
)
def test_a_rate_is_kept_in_plain_writing(text: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(Invalid):
            check_rate(text)
    else:
        assert check_rate(text) == kept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "above 0"), ("0.000", "above 0"), ("-7.1", "is no rate"), ("+7", "is no rate"), ("1e3", "is no rate"), ("7,08", "is no rate"),
        ("NaN", "is no rate"), ("", "is no rate"), ("٧", "is no rate"), ("1234567890123456789", "18 digits"),
        ("1.234567890123456789", "18 digits"), ("0.0000000000000000001", "18 digits"),
    ],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        check_rate(text)
    assert (refused.value.code, refused.value.field) == ("RATE_INVALID", "rate")
