"""Money is exact; ids are sortable, opaque and, for imports, the same on every machine."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel import ids
from chassis.kernel.errors import Invalid
from chassis.kernel.money import LARGEST, currency, micros, money, of_micros, total

amounts = st.decimals("-9000000000", "9000000000", places=9)
whole = st.integers(-LARGEST, LARGEST)


@settings(max_examples=200)
@given(amount=amounts)
def test_amount_is_rounded_half_away_from_zero_to_a_millionth(amount: Decimal) -> None:
    exact = Fraction(amount) * 1_000_000
    sign = -1 if exact < 0 else 1
    assert micros(money("CNY", amount)) == sign * int(abs(exact) + Fraction(1, 2))


@pytest.mark.parametrize(
    ("amount", "expected"), [("0.1", 100_000), ("0.0000005", 1), ("-0.0000005", -1), ("0.00000049", 0), (3, 3_000_000), ("1e3", 10**9)]
)
def test_amount_in_units_becomes_micros(amount: str | int, expected: int) -> None:
    assert money("EUR", amount) == {"currency_code": "EUR", "amount_micros": expected}


@pytest.mark.parametrize("amount", ["900000000000.000001", "-900000000001", "1e30", "1e400"])
def test_amount_beyond_nine_hundred_billion_is_refused(amount: str) -> None:
    with pytest.raises(Invalid):
        money("CNY", amount)


@settings(max_examples=150)
@given(parts=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=20))
def test_total_is_the_exact_sum(parts: list[int]) -> None:
    found = total(of_micros("USD", part) for part in parts)
    assert found == {"currency_code": "USD", "amount_micros": sum(parts)}
    assert currency(found) == "USD"


def test_total_of_nothing_is_nothing_and_of_two_currencies_refused() -> None:
    assert total([]) is None
    assert micros(None) == 0
    with pytest.raises(Invalid) as refusal:
        total([of_micros("USD", 1), of_micros("CNY", 1)], field="lines")
    assert (refusal.value.code, refusal.value.field) == ("CURRENCY_MIXED", "lines")


@given(first=whole, second=whole)
def test_total_beyond_the_largest_amount_is_refused(first: int, second: int) -> None:
    if abs(first + second) > LARGEST:
        with pytest.raises(Invalid):
            total([of_micros("CNY", first), of_micros("CNY", second)])
    else:
        assert micros(total([of_micros("CNY", first), of_micros("CNY", second)])) == first + second


def test_ids_of_one_process_increase_strictly_also_between_threads() -> None:
    made = [ids.new_id() for _ in range(3000)]
    assert made == sorted(set(made))
    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: [ids.new_id() for _ in range(500)], range(4)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({identity for batch in batches for identity in batch} | set(made)) == 5000
    assert all(re.fullmatch(r"[0-9a-hjkmnp-tv-z]{26}", identity) for identity in made)


def test_ids_increase_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids.new_id()
    monkeypatch.setattr(ids.time, "time", lambda: 1_000_000.0)
    after = [ids.new_id() for _ in range(100)]
    assert [before, *after] == sorted({before, *after})


@settings(max_examples=150)
@given(resource=st.sampled_from(["customers", "orders"]), key=st.text(max_size=60), other=st.text(max_size=60))
def test_id_of_an_import_depends_on_resource_and_key_alone(resource: str, key: str, other: str) -> None:
    found = ids.from_source(resource, key)
    assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{26}", found)
    assert found == ids.from_source(resource, key)
    assert (found == ids.from_source(resource, other)) is (key == other)
    assert found != ids.from_source("notes", key)


def test_id_of_an_import_never_changes_between_releases() -> None:
    assert ids.from_source("customers", "maven:1C1I7A6R") == "7cmj8ga09pn8y836128c6ywpwz"


@given(milliseconds=st.integers(1001, 2**48 - 1))
def test_the_first_id_of_a_moment_tells_that_moment_and_stands_before_all_later_ones(milliseconds: int) -> None:
    first = ids.id_at(milliseconds / 1000)
    assert 0 <= milliseconds - round(ids.time_of(first) * 1000) <= 1  # in whole ones: floats of seconds differ by a little more
    assert ids.id_at(milliseconds / 1000 - 1) < first < ids.id_at(milliseconds / 1000 + 0.01)


def test_an_id_stands_between_the_moments_around_it() -> None:
    begin = ids.time.time()
    made = ids.new_id()
    assert ids.id_at(begin - 0.01) < made < ids.id_at(ids.time.time() + 60)
