"""Time as the suite keeps it: UTC, aware, to the millisecond (MongoDB's resolution)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

HOME = "Asia/Shanghai"


def now() -> datetime:
    """The present instant, UTC, cut to milliseconds."""
    return to_milliseconds(datetime.now(UTC))


def day(moment: datetime, zone: str = HOME) -> date:
    """The day on which a moment falls in a time zone. The only way to get a day from a moment: in UTC it is yesterday until eight in Shanghai."""
    return moment.astimezone(ZoneInfo(zone)).date()


def to_milliseconds(moment: datetime) -> datetime:
    """The instant cut to milliseconds; a moment without zone is refused."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
