"""Periods of the calendar into which days fall: days, weeks from Monday on, months, quarters and years. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from chassis.kernel.clock import numbered, start_of

DAY, WEEK, MONTH, QUARTER, YEAR = "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"
_MONTHS = {MONTH: 1, QUARTER: 3, YEAR: 12}
_LONGEST = {DAY: 1, WEEK: 7, MONTH: 31, QUARTER: 92, YEAR: 366}


def first_day(on: date, granularity: str) -> date:
    """The first day of the period in which a day lies."""
    if granularity == DAY:
        return on
    if granularity == WEEK:
        return numbered(max(1, on.toordinal() - on.weekday()))
    length = _MONTHS[granularity]
    return on.replace(month=(on.month - 1) // length * length + 1, day=1)


def next_first_day(first: date, granularity: str) -> date | None:
    """The first day of the period that follows; None where the calendar ends before it."""
    try:
        if granularity in (DAY, WEEK):
            return first + timedelta(days=1 if granularity == DAY else 7 - first.weekday())
        months = first.year * 12 + first.month - 1 + _MONTHS[granularity]
        return date(months // 12, months % 12 + 1, 1)
    except (OverflowError, ValueError):
        return None


def starts(first: date, last: date, granularity: str, most: int) -> list[date] | None:
    """The first days of all periods from the one of a day to that of another; None where they are more than `most`."""
    if (last - first).days > most * _LONGEST[granularity]:
        return None
    found: list[date] = []
    begin: date | None = first_day(first, granularity)
    while begin is not None and begin <= last:
        found.append(begin)
        begin = next_first_day(begin, granularity)
    return found if len(found) <= most else None


def begins(on: date, zone: str) -> datetime | None:
    """The first instant of a day in a zone; None where it lies outside of the years 1 to 9999, so that nothing lies before or behind it."""
    try:
        return start_of(on, zone)
    except OverflowError:
        return None
