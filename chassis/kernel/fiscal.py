"""Fiscal calendars (财年日历): in which week, period, quarter and year a day lies. Pure; by tables made of days, never by a database's date functions.

A fiscal year has the number of the calendar year in which its first month begins. Under MONTHS its periods are calendar months; under the other
patterns they are whole weeks, the year begins on the `week_start` nearest to the first of its first month, and a 53rd week belongs to the last
period. Another definition counts from the year that it names; the year before it ends where that one begins, however long that makes it: what is
left over then is a period more, or, up to a week, part of the last one. So a day lies in exactly one of each, whatever changes when.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache

from chassis.kernel.clock import day as day_in
from chassis.kernel.clock import numbered
from chassis.kernel.errors import Invalid

MONTHS, WEEKS_4_4_5, WEEKS_4_5_4, WEEKS_5_4_4, WEEKS_13_4 = "MONTHS", "WEEKS_4_4_5", "WEEKS_4_5_4", "WEEKS_5_4_4", "WEEKS_13_4"
# Weeks of each period, and the quarter of each, of a year by weeks.
_WEEKS = {WEEKS_4_4_5: (4, 4, 5) * 4, WEEKS_4_5_4: (4, 5, 4) * 4, WEEKS_5_4_4: (5, 4, 4) * 4, WEEKS_13_4: (4,) * 13}
_QUARTERS = {12: (1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4), 13: (1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4)}
PATTERNS = (MONTHS, *_WEEKS)
FIRST_YEAR, LAST_YEAR = 1900, 2200
_WEEK = 7


@dataclass(frozen=True)
class Definition:
    """How years are divided from a year on. `week_start` is 1 for Monday to 7 for Sunday; `zone` "" is the company's."""

    valid_from_year: int
    year_start_month: int = 1
    pattern: str = MONTHS
    week_start: int = 1
    zone: str = ""

    def start(self, year: int) -> int:
        """The first day of a fiscal year, as a number."""
        first = date(year, self.year_start_month, 1)
        if self.pattern == MONTHS:
            return first.toordinal()
        ahead = (self.week_start - first.isoweekday()) % _WEEK
        return first.toordinal() + (ahead if ahead <= _WEEK // 2 else ahead - _WEEK)


@dataclass(frozen=True)
class Span:
    """A week, period, quarter or year: its number (of a year its own, else within the year), first and last day."""

    number: int
    first: date
    last: date


@dataclass(frozen=True)
class Year(Span):
    """A fiscal year with all that it is divided into, each without gaps."""

    weeks: tuple[Span, ...]
    periods: tuple[Span, ...]
    quarters: tuple[Span, ...]


@dataclass(frozen=True)
class Place:
    """Where a day lies."""

    day: date
    year: Year
    quarter: Span
    period: Span
    week: Span


@dataclass(frozen=True)
class Calendar:
    """The definitions that count for one company, in the order of their years. Where nobody defines anything, years go by months from January."""

    definitions: tuple[Definition, ...] = (Definition(FIRST_YEAR),)

    @staticmethod
    def of(definitions: Iterable[Definition], before: Calendar | None = None) -> Calendar:
        """The calendar of these definitions; in years before the first of them, another calendar counts."""
        own = sorted(definitions, key=lambda one: one.valid_from_year)
        earlier = (before or Calendar()).definitions
        return Calendar((*(one for one in earlier if not own or one.valid_from_year < own[0].valid_from_year), *own))

    def definition(self, year: int) -> Definition:
        """What counts for a year."""
        found = self.definitions[0]
        for one in self.definitions[1:]:
            if one.valid_from_year <= year:
                found = one
        return found

    def start(self, year: int) -> int:
        """The first day of a fiscal year, as a number (`date.toordinal`)."""
        return self.definition(year).start(year)

    def year(self, number: int) -> Year:
        """A fiscal year with its weeks, periods and quarters. Raises Invalid outside 1900 to 2200."""
        if not FIRST_YEAR <= number <= LAST_YEAR:
            raise Invalid(f"fiscal years are reckoned from {FIRST_YEAR} to {LAST_YEAR}, not {number}", field="year")
        return _year(self, number)

    def of_day(self, day: date) -> Place:
        """The week, period, quarter and year of a day."""
        number = min(day.year, LAST_YEAR) + 1
        while number > FIRST_YEAR and self.start(number) > day.toordinal():
            number -= 1
        year = self.year(number)
        if not year.first <= day <= year.last:
            raise Invalid(f"fiscal years are reckoned from {FIRST_YEAR} to {LAST_YEAR}; {day} lies in none of them", field="date")
        return Place(day, year, *(_holding(spans, day) for spans in (year.quarters, year.periods, year.weeks)))

    def falls_on(self, moment: datetime, company_zone: str) -> date:
        """The day on which a moment falls for the company of this calendar: in the zone of the definition that counts then."""
        found = day_in(moment, company_zone)
        return day_in(moment, self.definition(self.of_day(found).year.number).zone or company_zone)


@dataclass(frozen=True)
class Calendars:
    """What units define for themselves, and what counts where none does."""

    of_units: Mapping[str, tuple[Definition, ...]] = field(default_factory=dict)
    default: Calendar = field(default_factory=Calendar)

    def of(self, units: Sequence[str]) -> Calendar:
        """The calendar of a unit: give it and those above it, the nearest first. In years before its own first definition, and without any,
        it has that of the unit above."""
        found = self.default
        for unit in reversed(units):
            if own := self.of_units.get(unit):
                found = Calendar.of(own, found)
        return found


@lru_cache(maxsize=2048)
def _year(calendar: Calendar, number: int) -> Year:
    definition, first = calendar.definition(number), calendar.start(number)
    end = calendar.start(number + 1)  # the day after its last
    periods = _months(first, end) if definition.pattern == MONTHS else _weeks(first, end, _WEEKS[definition.pattern])
    if len(periods) > 1 and end - periods[-1] <= _WEEK:
        periods.pop()
    of_year = _QUARTERS[len(_WEEKS.get(definition.pattern, _QUARTERS[12]))]
    quarter = [4 * (index // len(of_year)) + of_year[index % len(of_year)] for index in range(len(periods))]
    quarters = [start for index, start in enumerate(periods) if index == 0 or quarter[index] != quarter[index - 1]]
    weeks = [first, *range(first + _to_week(first, definition), end, _WEEK)]
    return Year(number, numbered(first), numbered(end - 1), _spans(weeks, end), _spans(periods, end), _spans(quarters, end))


def _to_week(first: int, definition: Definition) -> int:
    """How many days the first week has: from the year's first day to the next start of a week."""
    return (definition.week_start - numbered(first).isoweekday() - 1) % _WEEK + 1


def _months(first: int, end: int) -> list[int]:
    found, day = [], numbered(first)
    while day.toordinal() < end:
        found.append(day.toordinal())
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return found


def _weeks(first: int, end: int, weeks: Sequence[int]) -> list[int]:
    found = []
    while first < end:
        found.append(first)
        first += weeks[(len(found) - 1) % len(weeks)] * _WEEK
    return found


def _spans(starts: Sequence[int], end: int) -> tuple[Span, ...]:
    ends = [*starts[1:], end]
    return tuple(
        Span(index + 1, numbered(start), numbered(after - 1)) for index, (start, after) in enumerate(zip(starts, ends, strict=True))
    )


def _holding(spans: Sequence[Span], day: date) -> Span:
    return spans[bisect_right(spans, day, key=lambda span: span.first) - 1]
