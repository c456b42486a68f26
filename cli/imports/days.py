"""A day or a moment as people spell it. Two readings: month first and day first; which one holds, a whole column tells. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

ORDERS = ("month-first", "day-first")
_DAY = re.compile(
    r"(?P<y>[0-9]{4})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P=s)(?P<d>[0-9]{1,2})"
    r"|(?P<cy>[0-9]{4})\s*年\s*(?P<cm>[0-9]{1,2})\s*月\s*(?P<cd>[0-9]{1,2})\s*[日号]"
    r"|(?P<t>[12][0-9]{7})"
    r"|(?P<a>[0-9]{1,2})(?P<as>[-/.])(?P<b>[0-9]{1,2})(?P=as)(?P<ay>[0-9]{4})"
)
_CLOCK = re.compile(
    r"(?P<half>上午|下午|[AaPp]\.?[Mm]\.?\s)?\s*(?P<h>[0-9]{1,2})\s*[:时点]\s*(?P<m>[0-9]{1,2})?\s*分?(?:\s*:?\s*(?P<s>[0-9]{1,2})\s*秒?(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"\s*(?P<after>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


@dataclass(frozen=True)
class Spelled:
    """What a text says: a day, a time of day (None where it says none), an offset (None where it says none)."""

    day: date
    clock: tuple[int, int, int, int] | None = None
    offset: timedelta | None = None


@lru_cache(maxsize=100_000)
def readings(text: str) -> tuple[Spelled | None, Spelled | None]:
    """What a text says with the month first and with the day first; None where it cannot be read so. Where the year leads both are one.

    Dots stand between days, months and years that begin with the day, unless only the other reading is a day at all.
    """
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()
    found = _DAY.match(plain)
    if not found:
        return None, None
    rest = plain[found.end() :]
    clock: tuple[tuple[int, int, int, int] | None, timedelta | None] | None = (None, None)
    if rest:
        clock = _clock(rest[1:] if rest[0] in "Tt" else rest) if rest[0] in "Tt " or found["cy"] else None
    if clock is None:
        return None, None
    month_first, day_first = _days(found)
    return Spelled(month_first, *clock) if month_first else None, Spelled(day_first, *clock) if day_first else None


def _days(found: re.Match[str]) -> tuple[date | None, date | None]:
    if found["ay"]:
        year, first, second = int(found["ay"]), int(found["a"]), int(found["b"])
        month_first, day_first = _date(year, first, second), _date(year, second, first)
        return (None if found["as"] == "." and day_first else month_first), day_first
    parts = (found["t"][:4], found["t"][4:6], found["t"][6:]) if found["t"] else (found[name] or found[f"c{name}"] for name in "ymd")
    whole = _date(*map(int, parts))
    return whole, whole


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _clock(text: str) -> tuple[tuple[int, int, int, int], timedelta | None] | None:
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        return None
    hour, minute, second = (int(found[name] or 0) for name in "hms")
    half = (found["half"] or found["after"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half[0] in "p下")
    if hour > 23 or minute > 59 or second > 59:
        return None
    offset = _offset(found["zone"])
    if offset is not None and abs(offset) > timedelta(hours=15):
        return None
    return (hour, minute, second, int((found["f"] or "0").ljust(6, "0")[:6])), offset


def _offset(text: str | None) -> timedelta | None:
    if not text:
        return None
    if text[0] not in "+-":
        return timedelta(0)
    digits = text[1:].replace(":", "").ljust(4, "0")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -span if text[0] == "-" else span


def moment(said: Spelled, zone: tzinfo) -> datetime | str:
    """The instant, in UTC; or why there is none: clocks were set forward over it, or back so that it came twice.

    A day alone begins at its first moment in the zone.
    """
    if said.offset is not None and said.clock:
        hour, minute, second, micro = said.clock
        try:
            return datetime(said.day.year, said.day.month, said.day.day, hour, minute, second, micro, timezone(said.offset)).astimezone(UTC)
        except OverflowError:
            return "lies outside of the years 1 to 9999"
    hour, minute, second, micro = said.clock or (0, 0, 0, 0)
    early = datetime(said.day.year, said.day.month, said.day.day, hour, minute, second, micro, zone)
    try:
        first, second_time = early.astimezone(UTC), early.replace(fold=1).astimezone(UTC)
    except OverflowError:
        return "lies outside of the years 1 to 9999"
    if first == second_time:
        return first
    if said.clock is None:
        return max(first, second_time) if first > second_time else first
    why = "does not exist: clocks were set forward over it" if first > second_time else "came twice: clocks were set back"
    return f"{why} ({zone}); write it with its offset, as 2026-03-01T09:00:00+08:00"
