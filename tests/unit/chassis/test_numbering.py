"""Patterns of numbers: what they give, what is refused, and what a check letter notices."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid
from chassis.kernel.numbering import DAY, LETTERS, MONTH, NEVER, YEAR, check_letter, pattern_of
from chassis.kernel.rules import sentence

TODAY = date(2026, 11, 30)


def test_a_number_is_short_and_can_be_said() -> None:
    number = pattern_of("T-{YYYY}-{SEQ:4}{CHECK}", YEAR).number(TODAY, 1)
    assert number[:-1] == "T-2026-0001" and number[-1] in LETTERS


@pytest.mark.parametrize(("text", "count", "shown"), [
    ("{YY}{MM}{DD}-{SEQ:3}", 7, "261130-007"), ("{SEQ:1}", 12345, "12345"), ("A{SEQ:4}", 10_000, "A10000"), ("HT/{YYYY}.{SEQ:2}_x", 3, "HT/2026.03_x"),
])  # fmt: skip
def test_a_pattern_gives_what_it_says(text: str, count: int, shown: str) -> None:
    assert pattern_of(text, NEVER).number(TODAY, count) == shown


def test_a_period_is_the_part_of_the_day_that_counts() -> None:
    text = "{YYYY}{MM}{DD}-{SEQ:3}"
    assert [pattern_of(text, reset).period(TODAY) for reset in (NEVER, YEAR, MONTH, DAY)] == ["", "2026", "2026-11", "2026-11-30"]


@pytest.mark.parametrize(("text", "reset", "rule"), [
    ("T-{YYYY}", NEVER, "number.seq"), ("{SEQ:2}{SEQ:2}", NEVER, "number.seq"), ("{CHECK}{SEQ:2}", NEVER, "number.seq"),
    ("{SEQ:0}", NEVER, "number.digits"), ("{SEQ}", NEVER, "number.digits"), ("{SEQ:13}", NEVER, "number.digits"), ("{YYYY:2}{SEQ:2}", NEVER, "number.digits"),
    ("{SEQ:4}", YEAR, "number.reset"), ("{YYYY}{SEQ:4}", MONTH, "number.reset"), ("{YYYY}{MM}{SEQ:4}", DAY, "number.reset"),
    ("{MONTH}{SEQ:2}", NEVER, "number.token"), ("编号{SEQ:2}", NEVER, "number.token"), ("T {SEQ:2}", NEVER, "number.token"), ("{SEQ:2", NEVER, "number.token"),
    ("X" * 40 + "{SEQ:2}", NEVER, "number.long"),
])  # fmt: skip
def test_a_pattern_that_cannot_be_used_says_why_in_both_languages(text: str, reset: str, rule: str) -> None:
    with pytest.raises(Invalid) as refused:
        pattern_of(text, reset)
    assert refused.value.params["rule"] == rule and refused.value.field == "pattern"
    assert sentence(refused.value.params) and sentence(refused.value.params, chinese=True)


NUMBERS = st.from_regex(r"[A-Z]{0,2}-[0-9]{4}-[0-9]{4,6}", fullmatch=True)


@given(NUMBERS, st.integers(0, 20), st.integers(1, 9))
def test_a_check_letter_notices_a_wrong_digit(number: str, at: int, step: int) -> None:
    places = [place for place, sign in enumerate(number) if sign.isdigit()]
    place = places[at % len(places)]
    other = str((int(number[place]) + step) % 10)
    assert check_letter(number) != check_letter(number[:place] + other + number[place + 1 :])


@given(NUMBERS, st.integers(0, 20))
def test_a_check_letter_notices_neighbours_that_changed_places(number: str, at: int) -> None:
    pairs = [number[place : place + 2] for place in range(len(number) - 1)]
    places = [place for place, pair in enumerate(pairs) if pair.isdigit() and pair[0] != pair[1]]
    assume(places)  # only numbers of one digit again and again have none
    place = places[at % len(places)]
    pair = pairs[place]
    assert check_letter(number) != check_letter(number[:place] + pair[::-1] + number[place + 2 :])
