"""Time as the suite keeps it: UTC, aware, to the millisecond (MongoDB's resolution)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from chassis.kernel.errors import Invalid

HOME = "Asia/Shanghai"


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


def to_milliseconds(moment: datetime) -> datetime:
    """The instant cut to milliseconds; a moment without zone is refused."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
