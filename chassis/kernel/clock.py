"""Time as the suite keeps it: UTC, aware, to the millisecond (MongoDB's resolution)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from chassis.kernel.errors import Invalid

HOME = "Asia/Shanghai"
MILLISECOND = timedelta(milliseconds=1)


def now() -> datetime:
    """The present instant, UTC, cut to milliseconds."""
    return to_milliseconds(datetime.now(UTC))


def day(moment: datetime, zone: str = HOME) -> date:
    """The day on which a moment falls in a time zone. The only way to get a day from a moment: in UTC it is yesterday until eight in Shanghai."""
    return moment.astimezone(ZoneInfo(zone)).date()


def read_day(text: str, field: str) -> date:
    """The day that a text in the form YYYY-MM-DD means. Raises Invalid, naming the field, for 2026-02-30."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"«{text[:20]}» is no day of the calendar; write YYYY-MM-DD", field=field) from None


def numbered(number: int) -> date:
    """The day of a number that counts days, as `date.toordinal` gives it: for tables of days, which are compared as numbers."""
    return date.fromordinal(number)


def start_of(on: date, zone: str = HOME) -> datetime:
    """The first instant, UTC, at which a zone has come to a day; of a day that a zone leaves out, that of the next one."""
    return turns(on, zone)[0]


@lru_cache(maxsize=10_000)
def turns(on: date, zone: str) -> tuple[datetime, ...]:
    """The instants, UTC, at which a zone comes to a day or falls back before it: one, or three where clocks are put back over midnight.

    Raises OverflowError where they lie outside of the years 1 to 9999.
    """
    local = datetime(on.year, on.month, on.day)
    midnights = [local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
    marks = sorted({mark for midnight in midnights for mark in (midnight - MILLISECOND, midnight)})
    return tuple(_turn(on, zone, *pair) for pair in pairwise(marks) if _has_come(on, zone, pair[0]) != _has_come(on, zone, pair[1]))


def _has_come(on: date, zone: str, moment: datetime) -> bool:
    return day(moment, zone) >= on


def _turn(on: date, zone: str, before: datetime, after: datetime) -> datetime:
    """Between two moments, the first at which it is as at the second."""
    while after - before > MILLISECOND:
        middle = to_milliseconds(before + (after - before) / 2)
        if _has_come(on, zone, middle) == _has_come(on, zone, after):
            after = middle
        else:
            before = middle
    return after


def to_milliseconds(moment: datetime) -> datetime:
    """The instant cut to milliseconds; a moment without zone is refused."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
