"""Periods of the calendar: every day lies in exactly one, and they follow each other without a gap."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest

from chassis.kernel.periods import DAY, MONTH, QUARTER, WEEK, YEAR, begins, first_day, next_first_day, starts


@pytest.mark.parametrize(
    ("granularity", "on", "first", "following"),
    [
        (DAY, "2026-02-28", "2026-02-28", "2026-03-01"),
        (WEEK, "2027-01-03", "2026-12-28", "2027-01-04"),
        (MONTH, "2026-12-31", "2026-12-01", "2027-01-01"),
        (QUARTER, "2026-06-30", "2026-04-01", "2026-07-01"),
        (YEAR, "2024-02-29", "2024-01-01", "2025-01-01"),
    ],
)
def test_a_day_lies_in_its_period(granularity: str, on: str, first: str, following: str) -> None:
    assert first_day(date.fromisoformat(on), granularity).isoformat() == first
    assert next_first_day(date.fromisoformat(first), granularity) == date.fromisoformat(following)


@pytest.mark.parametrize("granularity", [DAY, WEEK, MONTH, QUARTER, YEAR])
def test_every_day_lies_in_one_period_and_none_is_left_out(granularity: str) -> None:
    for _ in range(300):
        on = date.fromordinal(random.randint(10, date.max.toordinal() - 400))
        first = first_day(on, granularity)
        following = next_first_day(first, granularity)
        assert following is not None
        assert first <= on < following
        assert first_day(following - timedelta(days=1), granularity) == first
        assert first_day(following, granularity) == following


def test_the_table_reaches_from_the_first_day_to_the_last_and_ends_with_the_calendar() -> None:
    assert starts(date(2026, 1, 31), date(2026, 3, 1), MONTH, 10) == [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
    assert starts(date(2026, 1, 1), date(2026, 1, 4), DAY, 3) is None
    assert starts(date.min, date.max, DAY, 5000) is None
    assert starts(date.max, date.max, WEEK, 1) == [first_day(date.max, WEEK)]
    assert first_day(date.min, WEEK) == date.min


def test_at_the_ends_of_the_calendar_nothing_lies_beyond() -> None:
    assert begins(date.min, "Asia/Shanghai") is None
    assert begins(date.max, "America/New_York") is not None
    assert begins(date(2026, 2, 1), "Asia/Shanghai") == datetime(2026, 1, 31, 16, tzinfo=UTC)
