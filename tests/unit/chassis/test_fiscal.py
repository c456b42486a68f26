"""Fiscal calendars: a day lies in exactly one week, period, quarter and year, whatever the pattern and whatever changes when."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid
from chassis.kernel.fiscal import MONTHS, PATTERNS, WEEKS_4_4_5, WEEKS_4_5_4, WEEKS_13_4, Calendar, Calendars, Definition, Span

DAY = timedelta(days=1)
NOW = 2026
definitions = st.builds(Definition, st.integers(NOW - 3, NOW + 3), st.integers(1, 12), st.sampled_from(PATTERNS), st.integers(1, 7))
calendars = st.lists(definitions, max_size=4, unique_by=lambda one: one.valid_from_year).map(Calendar.of)
RETAIL = Calendar.of([Definition(2000, 2, WEEKS_4_5_4, 7)])


def _joined(spans: Sequence[Span], first: date, last: date) -> None:
    """The spans follow each other without a gap, from the first day to the last, numbered from one."""
    assert [span.number for span in spans] == list(range(1, len(spans) + 1))
    assert (spans[0].first, spans[-1].last) == (first, last)
    assert all(span.first <= span.last for span in spans)
    assert all(after.first == before.last + DAY for before, after in itertools.pairwise(spans))


@settings(max_examples=120, deadline=None)
@given(calendar=calendars)
def test_over_eleven_years_nothing_overlaps_and_nothing_is_left_out(calendar: Calendar) -> None:
    years = [calendar.year(number) for number in range(NOW - 5, NOW + 6)]
    assert all(after.first == before.last + DAY for before, after in itertools.pairwise(years))
    for year in years:
        for spans in (year.weeks, year.periods, year.quarters):
            _joined(spans, year.first, year.last)
        assert {quarter.first for quarter in year.quarters} <= {period.first for period in year.periods}
        assert all(len(_within(year.weeks, period)) >= 1 for period in year.periods)


def _within(spans: Sequence[Span], whole: Span) -> list[Span]:
    return [span for span in spans if whole.first <= span.last and span.first <= whole.last]


@settings(max_examples=200, deadline=None)
@given(calendar=calendars, day=st.dates(date(NOW - 5, 1, 1), date(NOW + 5, 12, 31)))
def test_the_place_of_a_day_holds_it_and_is_found_again_from_the_year(calendar: Calendar, day: date) -> None:
    place = calendar.of_day(day)
    for span, spans in ((place.week, place.year.weeks), (place.period, place.year.periods), (place.quarter, place.year.quarters)):
        assert span.first <= day <= span.last
        assert spans[span.number - 1] == span
        assert calendar.of_day(span.first).year == calendar.of_day(span.last).year == place.year
    assert calendar.year(place.year.number) == place.year


@settings(max_examples=60, deadline=None)
@given(month=st.integers(1, 12), pattern=st.sampled_from(PATTERNS[1:]), week_start=st.integers(1, 7), number=st.integers(1950, 2150))
def test_a_year_by_weeks_agrees_with_a_count_day_by_day(month: int, pattern: str, week_start: int, number: int) -> None:
    """Another way to the same table: the days nearest to the first of the month, counted off by hand."""

    def first_of(year: int) -> date:
        around = [date(year, month, 1) + number * DAY for number in (0, -1, 1, -2, 2, -3, 3)]
        return next(day for day in around if day.isoweekday() == week_start)

    lengths = {"4_4_5": [4, 4, 5] * 4, "4_5_4": [4, 5, 4] * 4, "5_4_4": [5, 4, 4] * 4, "13_4": [4] * 13}[pattern.removeprefix("WEEKS_")]
    first, end = first_of(number), first_of(number + 1)
    weeks = (end - first).days // 7
    lengths[-1] += weeks - sum(lengths)
    counted = [period for period, length in enumerate(lengths, 1) for _ in range(length)]
    calendar = Calendar.of([Definition(1900, month, pattern, week_start)])
    assert weeks in (52, 53)
    for passed in range((end - first).days):
        place = calendar.of_day(first + passed * DAY)
        assert (place.year.number, place.week.number, place.period.number) == (number, passed // 7 + 1, counted[passed // 7])
        assert place.quarter.number == min(4, (place.period.number - 1) // 3 + 1)


def test_months_are_calendar_months_leap_days_included() -> None:
    calendar = Calendar.of([Definition(2020, 4)])
    place = calendar.of_day(date(2028, 2, 29))
    assert (place.year.number, place.quarter.number, place.period.number) == (2027, 4, 11)
    assert (place.period.first, place.period.last) == (date(2028, 2, 1), date(2028, 2, 29))
    assert [len(calendar.year(number).periods) for number in (2026, 2027, 2028)] == [12, 12, 12]
    assert (calendar.year(2027).last - calendar.year(2027).first).days + 1 == 366
    assert (Calendar().of_day(date(2100, 2, 28)).period.last) == date(2100, 2, 28)  # no leap year


def test_weeks_of_a_year_by_months_begin_at_the_start_of_the_week_and_end_with_the_year() -> None:
    weeks = Calendar.of([Definition(2020, 1, MONTHS, 1)]).year(2026).weeks  # 2026-01-01 is a Thursday
    assert [(week.first, week.last) for week in weeks[:2]] == [
        (date(2026, 1, 1), date(2026, 1, 4)),
        (date(2026, 1, 5), date(2026, 1, 11)),
    ]
    assert (weeks[-1].number, weeks[-1].first, weeks[-1].last) == (53, date(2026, 12, 28), date(2026, 12, 31))


@pytest.mark.parametrize(
    ("number", "first", "last", "weeks"),
    [  # the 4-5-4 calendar of the National Retail Federation
        (2006, date(2006, 1, 29), date(2007, 2, 3), 53),
        (2012, date(2012, 1, 29), date(2013, 2, 2), 53),
        (2017, date(2017, 1, 29), date(2018, 2, 3), 53),
        (2022, date(2022, 1, 30), date(2023, 1, 28), 52),
        (2023, date(2023, 1, 29), date(2024, 2, 3), 53),
        (2024, date(2024, 2, 4), date(2025, 2, 1), 52),
    ],
)
def test_the_published_years_of_american_retail(number: int, first: date, last: date, weeks: int) -> None:
    year = RETAIL.year(number)
    assert (year.first, year.last, len(year.weeks)) == (first, last, weeks)
    assert len(_within(year.weeks, year.periods[-1])) == 4 + (weeks == 53)  # the 53rd week belongs to the last period


def test_thirteen_periods_of_four_weeks() -> None:
    year = Calendar.of([Definition(2020, 1, WEEKS_13_4, 1)]).year(2026)
    assert [(period.last - period.first).days + 1 for period in year.periods[:-1]] == [28] * 12
    assert (len(year.periods), len(year.weeks)) == (13, 53)  # 2025-12-29 to 2027-01-03
    assert [len(_within(year.periods, quarter)) for quarter in year.quarters] == [3, 3, 3, 4]


def test_a_change_counts_from_its_year_and_moves_nothing_before() -> None:
    before = Calendar.of([Definition(2020)])
    after = Calendar.of([Definition(2020), Definition(2028, 4)])
    assert [after.year(number) for number in range(2021, 2027)] == [before.year(number) for number in range(2021, 2027)]
    long = after.year(2027)  # runs on until April
    assert (long.first, long.last, len(long.periods), len(long.quarters)) == (date(2027, 1, 1), date(2028, 3, 31), 15, 5)
    assert long.periods[:12] == before.year(2027).periods
    assert (after.year(2028).first, after.year(2028).last) == (date(2028, 4, 1), date(2029, 3, 31))


def test_the_last_year_before_a_change_may_be_short_and_days_left_over_belong_to_its_last_period() -> None:
    earlier = Calendar.of([Definition(2020, 4), Definition(2028, 1)])
    assert (earlier.year(2027).last, len(earlier.year(2027).periods)) == (date(2027, 12, 31), 9)
    weeks = Calendar.of([Definition(2020), Definition(2028, 1, WEEKS_4_4_5, 1)])
    assert (weeks.year(2028).first, weeks.year(2027).periods[-1].last) == (date(2028, 1, 3), date(2028, 1, 2))
    assert len(weeks.year(2027).periods) == 12


def test_a_unit_has_its_own_calendar_and_before_its_first_year_that_of_the_unit_above() -> None:
    april, retail = Definition(2020, 4), Definition(2024, 2, WEEKS_4_5_4, 7)
    found = Calendars({"group": (april,), "shops": (retail,)}, Calendar.of([Definition(2000, 7)]))
    shops, office = found.of(["shop-1", "shops", "group"]), found.of(["office", "group"])
    assert (shops.year(2024), shops.year(2022)) == (RETAIL.year(2024), office.year(2022))
    assert (office.year(2025).first, office.year(2019).first) == (date(2025, 4, 1), date(2019, 7, 1))
    assert found.of(["elsewhere"]) == found.of([]) == found.default
    assert Calendar().year(2026).first == date(2026, 1, 1)


def test_the_day_of_a_company_that_moved_its_zone_changes_with_the_year() -> None:
    calendar = Calendar.of([Definition(2020, zone="Asia/Shanghai"), Definition(2027, zone="America/New_York")])
    assert calendar.falls_on(datetime(2026, 6, 1, 16, 30, tzinfo=UTC), "Europe/Berlin") == date(2026, 6, 2)
    assert calendar.falls_on(datetime(2027, 6, 1, 3, 0, tzinfo=UTC), "Europe/Berlin") == date(2027, 5, 31)
    assert Calendar().falls_on(datetime(2026, 6, 1, 22, 30, tzinfo=UTC), "Europe/Berlin") == date(2026, 6, 2)


def test_two_companies_of_a_group_have_a_day_in_different_years() -> None:
    found = Calendars({"japan": (Definition(2020, 4),)})
    assert [found.of([unit]).of_day(date(2027, 2, 1)).year.number for unit in ("japan", "china")] == [2026, 2027]


@pytest.mark.parametrize("number", [1, 1899, 2201, 9999])
def test_a_year_beyond_the_table_is_refused(number: int) -> None:
    with pytest.raises(Invalid, match="from 1900 to 2200"):
        Calendar().year(number)
    with pytest.raises(Invalid, match="from 1900 to 2200"):
        Calendar().of_day(date(number, 6, 1))
