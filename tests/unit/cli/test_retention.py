"""What a retention policy keeps: the newest of each period, the newest of all always, and nothing that it does not say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.backup.retention import Policy
from cli.engines import EngineError


def names(*moments: datetime) -> list[str]:
    return [f"{moment:%Y%m%dT%H%M%S}.000Z" for moment in moments]


def every(hours: int, count: int, first: datetime = datetime(2026, 1, 1, 2, 17, tzinfo=UTC)) -> list[str]:
    return names(*(first + timedelta(hours=hours * number) for number in range(count)))


def test_the_newest_of_each_day_week_and_month_stays() -> None:
    kept = Policy(last=2, daily=3, weekly=3, monthly=2).kept(every(12, 120))  # to 2026-03-01 14:17, a Sunday
    assert kept == {
        "20260301T141700.000Z": ["last", "daily", "weekly", "monthly"],
        "20260301T021700.000Z": ["last"],
        "20260228T141700.000Z": ["daily", "monthly"],
        "20260227T141700.000Z": ["daily"],
        "20260222T141700.000Z": ["weekly"],
        "20260215T141700.000Z": ["weekly"],
    }


def test_days_without_a_backup_do_not_count() -> None:
    kept = Policy(daily=2).kept(names(datetime(2025, 3, 1), datetime(2026, 7, 1, 1), datetime(2026, 7, 1, 2)))
    assert list(kept) == ["20260701T020000.000Z", "20250301T000000.000Z"]


def test_an_iso_week_may_lie_in_two_years() -> None:
    kept = Policy(weekly=9).kept(names(datetime(2025, 12, 28), datetime(2025, 12, 29), datetime(2026, 1, 4), datetime(2026, 1, 5)))
    assert list(kept) == ["20260105T000000.000Z", "20260104T000000.000Z", "20251228T000000.000Z"]


def test_a_policy_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(EngineError, match="say what to keep: --keep-last, --keep-daily, --keep-weekly or --keep-monthly with a number"):
        Policy().kept(every(24, 3))


counts = st.integers(0, 5)
moments = st.lists(st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)), min_size=1, max_size=30)


@given(st.builds(Policy, last=counts, daily=counts, weekly=counts, monthly=counts).filter(lambda policy: policy != Policy()), moments)
def test_the_newest_stays_under_every_policy_and_a_second_time_changes_nothing(policy: Policy, times: list[datetime]) -> None:
    given_names = sorted(set(names(*times)))
    kept = policy.kept(given_names)
    assert next(iter(kept)) == given_names[-1]
    assert set(kept) <= set(given_names)
    assert len(kept) <= policy.last + policy.daily + policy.weekly + policy.monthly
    assert policy.kept(list(kept)) == kept
