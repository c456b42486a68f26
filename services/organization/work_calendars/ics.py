"""Holidays and make-up days from a file of iCalendar (RFC 5545), as calendars on phones and feeds of holidays have them. Pure.

Every event of the year is a holiday, but where the file itself says that people work: by Apple's X-APPLE-SPECIAL-DAY, or by 班 in its name.
A file that marks special days holds other events too (solar terms, anniversaries); of such a file only the marked ones count. A file that has
anything else in the year is no file of holidays and is refused, an appointment from 9 to 10 too: it makes no day free.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Any

from chassis.kernel.errors import Invalid

Document = dict[str, Any]
LARGEST, MOST_EVENTS = 1024 * 1024, 2_000
_NEAR, _FAR = date(1000, 1, 1), date(5000, 1, 1)  # days beyond are as good as these: no year that may be asked for is near
_WORKS = re.compile(r"补班|上班|调班|[（(\[ ·]?班[）)\]]?$")
_SPECIAL = "X-APPLE-SPECIAL-DAY"
_LASTS = re.compile(r"P(\d{1,3})([DW])")
_LABEL, _DAY_LONG = 50, len("20260101")


def days_of(text: str, year: int) -> list[Document]:
    """The days of a year in a file, by date. Raises Invalid where it cannot be read or says nothing of the year."""
    if len(text) > LARGEST or len(text.encode()) > LARGEST:
        raise _unreadable("the file is larger than 1 MB; cut it down to the years that are needed")
    events = list(islice(_events(text), MOST_EVENTS + 1))
    if len(events) > MOST_EVENTS:
        raise _unreadable(f"the file has more than {MOST_EVENTS} events; cut it down to the years that are needed")
    if not events:
        raise _unreadable("there is no event (VEVENT) in the file; export the calendar as iCalendar (.ics)")
    marked = [event for event in events if _SPECIAL in event]
    found: dict[str, Document] = {}
    for event in marked or events:
        if event.get("STATUS", ("", ""))[1] == "CANCELLED":
            continue
        kind, label = _kind(event), _unescaped(event.get("SUMMARY", ("", ""))[1])[:_LABEL]
        days = list(_days(event, year))
        if days and not _is_whole_days(event):
            words = f"the event «{label}» of {days[0]} has a time of day, and only whole days are free; take it out, or make it an all-day event"
            raise _unreadable(words)
        for day in days:
            row = {"date": day.isoformat(), "kind": kind} | ({"label": label} if label else {})
            if (known := found.setdefault(row["date"], row)) is row:
                continue
            if known["kind"] != kind:
                words = f"one event says that people work on {day}, another that they do not; mend the file"
                raise Invalid(words, code="DAY_TWICE", field="file")
            if label and label not in known.get("label", ""):
                known["label"] = f"{known.get('label', '')}、{label}".strip("、")[:_LABEL]
    if not found:
        raise _unreadable(f"the file has no event of {year}; check the year")
    return [found[key] for key in sorted(found)]


def _unreadable(words: str) -> Invalid:
    return Invalid(words, code="CALENDAR_FILE_UNREADABLE", field="file")


def _events(text: str) -> Iterator[dict[str, tuple[str, str]]]:
    """Of each event its properties: name → (parameters, value). Lines that go on with a blank are one (RFC 5545, 3.1)."""
    event: dict[str, tuple[str, str]] | None = None
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        head, colon, value = line.partition(":")
        name, _, parameters = head.partition(";")
        if not colon:
            continue
        if (name.upper(), value.strip().upper()) == ("BEGIN", "VEVENT"):
            event = {}
        elif (name.upper(), value.strip().upper()) == ("END", "VEVENT"):
            if event:
                yield event
            event = None
        elif event is not None:
            event.setdefault(name.upper(), (parameters.upper(), value.strip()))


def _kind(event: dict[str, tuple[str, str]]) -> str:
    if _SPECIAL in event:
        return "WORKDAY" if "ALTERNATE-WORKDAY" in event[_SPECIAL][1].upper() else "HOLIDAY"
    return "WORKDAY" if _WORKS.search(_unescaped(event.get("SUMMARY", ("", ""))[1])) else "HOLIDAY"


def _days(event: dict[str, tuple[str, str]], year: int) -> Iterator[date]:
    """The days of an event that lie in a year; one that comes again every year, in that year."""
    begin, end = _begin_and_end(event)
    rule = event.get("RRULE", ("", ""))[1].upper()
    if rule:
        begin, end = _again(begin, end, rule, year)
    first, last = max(begin, date(year, 1, 1)), min(end, date(year, 12, 31))
    for step in range((last - first).days + 1):
        yield first + timedelta(days=step)


def _again(begin: date, end: date, rule: str, year: int) -> tuple[date, date]:
    parts = dict(part.partition("=")[::2] for part in rule.split(";"))
    if parts.pop("FREQ", "") != "YEARLY" or parts.pop("INTERVAL", "1") != "1" or parts.keys() - {"UNTIL", "WKST"}:
        raise _unreadable(f"an event repeats by «{rule[:100]}», which is more than once a year on the same day; write its days out")
    until = _day(parts["UNTIL"]) if "UNTIL" in parts else date.max
    if year < begin.year or (begin.month, begin.day) == (2, 29):
        return begin, end
    moved = begin.replace(year=year)
    return (moved, moved + (end - begin)) if moved <= until else (begin, end)


def _begin_and_end(event: dict[str, tuple[str, str]]) -> tuple[date, date]:
    """First and last day. The end of an event is the day, or the moment, at which it is over."""
    if "DTSTART" not in event:
        raise _unreadable("an event has no DTSTART; mend the file")
    begin = _day(event["DTSTART"][1])
    if "DTEND" not in event:
        weeks_or_days = _LASTS.fullmatch(event.get("DURATION", ("", ""))[1].upper())
        long = int(weeks_or_days[1]) * (7 if weeks_or_days[2] == "W" else 1) if weeks_or_days else 1
        return begin, begin + timedelta(days=max(long, 1) - 1)
    text = event["DTEND"][1]
    over = _day(text)
    ends_within = len(text) > 8 and text[9:15].strip("0Z") != ""
    return begin, max(begin, over if ends_within else over - timedelta(days=1))


def _is_whole_days(event: dict[str, tuple[str, str]]) -> bool:
    """Whether an event begins and ends with days: it names days, or as much as midnights."""
    begin, end = event["DTSTART"][1], event.get("DTEND", ("", ""))[1]
    if not end:
        return len(begin) == _DAY_LONG or (_is_midnight(begin) and _LASTS.fullmatch(event.get("DURATION", ("", ""))[1].upper()) is not None)
    return _is_midnight(begin) and _is_midnight(end)


def _is_midnight(text: str) -> bool:
    return not text[9:15].strip("0")


def _day(text: str) -> date:
    try:
        return min(max(date(int(text[:4]), int(text[4:6]), int(text[6:8])), _NEAR), _FAR)
    except ValueError:
        raise _unreadable(f"«{text[:30]}» is no date of iCalendar; it is written 20260101") from None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([,;\\])", r"\1", re.sub(r"\\[nN]", " ", text)).strip()
