"""A work calendar: what makes one complete, and what becomes of its days and years. No I/O, no clock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from chassis.kernel.errors import AlreadyExists, CrmError, Invalid, WrongState
from chassis.kernel.worktime import Span, spans_of

Document = dict[str, Any]
DEEPEST, MOST_DAYS, MOST_CALENDARS = 3, 4_000, 500
FIRST_YEAR, LAST_YEAR = 2000, 2100
# The calendar that is there from the first start; the default until another one is made it.
SHIPPED_ID = "shipped-default"
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check(calendar: Document) -> None:
    """Complete a calendar: its days in order, each with where it comes from. Refuse shifts that overlap and days that make no sense."""
    check_week(calendar.get("shifts", []))
    if days := calendar.get("days"):
        check_days(days, calendar.get("shifts", []))
        for day in days:
            day.setdefault("source", "IMPORTED")
        calendar["days"] = sorted(days, key=lambda day: str(day["date"]))
    twice = _twice(year["year"] for year in calendar.get("years", []))
    if twice is not None:
        raise Invalid(f"{twice} stands twice among the years; give each once", field="years")


def week_of(shifts: Sequence[Document]) -> tuple[tuple[Span, ...], ...]:
    """The shifts of Monday to Sunday."""
    return tuple(spans_of(shift for shift in shifts if shift["weekday"] == weekday) for weekday in range(1, 8))


def check_week(shifts: Sequence[Document]) -> None:
    """Refuse times that are none, and shifts that overlap, over midnight and from Sunday to Monday too."""
    for index, shift in enumerate(shifts):
        _check_clock(shift, f"shifts[{index}]")
    placed = sorted((shift["weekday"] - 1, *spans_of([shift])[0], index) for index, shift in enumerate(shifts))
    if not placed:
        return
    weekday, begin, end, index = placed[0]
    around = (*placed, (weekday + 7, begin, end, index))
    for (day, _, until, _), (following, since, _, index) in zip(placed, around[1:], strict=True):
        if following * 1440 + since < day * 1440 + until:
            words = f"{_told(shifts[index])} begins before the shift of {_WEEKDAYS[day % 7]} ends; move one of them"
            raise Invalid(words, code="SHIFTS_OVERLAP", field=f"shifts[{index}]")


def _told(shift: Document) -> str:
    return f"the shift of {_WEEKDAYS[shift['weekday'] - 1]} {shift['start']}–{shift['end']}"


def _check_clock(shift: Document, path: str) -> None:
    for name in ("start", "end"):
        if shift[name] == "24:00":
            hint = "; an end that is not behind the start lies there" if name == "end" else ""
            raise Invalid(f"write 00:00 of the next day{hint}", field=f"{path}.{name}")
        if not _CLOCK.fullmatch(shift[name]):
            raise Invalid("this is no time of a day; write 00:00 to 23:59", field=f"{path}.{name}")


def check_days(days: Sequence[Document], shifts: Sequence[Document], year: int | None = None) -> None:
    """Refuse special days that make no sense, each by its place; all of them must lie in `year` where one is given."""
    seen: set[str] = set()
    for index, day in enumerate(days):
        path = f"days[{index}]"
        _check_day(day, path, year)
        if day["date"] in seen:
            raise Invalid(f"{day['date']} stands twice; give each day once", code="DAY_TWICE", field=f"{path}.date")
        seen.add(day["date"])
    if len(days) > MOST_DAYS:
        raise Invalid(f"a calendar holds {MOST_DAYS} special days; take out old years", field="days")
    _check_neighbours(days, week_of(shifts))


def _check_day(day: Document, path: str, year: int | None) -> None:
    try:
        found = date.fromisoformat(day["date"])
    except ValueError:
        raise Invalid(f"there is no day {day['date']}; write YYYY-MM-DD", field=f"{path}.date") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Invalid(f"{day['date']} lies outside of {FIRST_YEAR} to {LAST_YEAR}; correct the year", field=f"{path}.date")
    if year is not None and found.year != year:
        raise Invalid(f"{day['date']} does not lie in {year}; give days of that year only", field=f"{path}.date")
    if day.get("as_weekday") and day["kind"] != "WORKDAY":
        raise Invalid("only a make-up day (WORKDAY) has the shifts of another weekday; leave as_weekday out", field=f"{path}.as_weekday")
    if bool(day.get("shifts")) != (day["kind"] == "SHIFTS"):
        words = "a day of kind SHIFTS needs its shifts, and no other has any; give them, or another kind"
        raise Invalid(words, field=f"{path}.shifts")
    for number, shift in enumerate(day.get("shifts", [])):
        _check_clock(shift, f"{path}.shifts[{number}]")


def _check_neighbours(days: Sequence[Document], week: tuple[tuple[Span, ...], ...]) -> None:
    """Shifts of a day's own overlap neither each other nor those of the days around. What a make-up day brings close together, such as the
    night shift before it, counts once and is not refused: the state decrees the days, nobody can move them."""
    known = {day["date"]: day for day in days}
    for index, day in enumerate(days):
        if day["kind"] != "SHIFTS":
            continue
        at, own = date.fromisoformat(day["date"]), spans_of(day["shifts"])
        before, after = (spans_on(at + timedelta(days=step), known, week) for step in (-1, 1))
        line = [*((begin - 1440, end - 1440) for begin, end in before), *own, *((begin + 1440, end + 1440) for begin, end in after)]
        if any(one[1] > other[0] for one, other in pairwise(line)):
            words = f"the shifts of {day['date']} overlap each other or those of the day before or after; move them"
            raise Invalid(words, code="SHIFTS_OVERLAP", field=f"days[{index}].shifts")


def spans_on(day: date, special: dict[str, Document], week: tuple[tuple[Span, ...], ...]) -> tuple[Span, ...]:
    """The shifts that start on a day. A make-up day that names no weekday has those of the nearest working one, its own first, then back."""
    found = special.get(day.isoformat())
    if found is None:
        return week[day.weekday()]
    if found["kind"] == "HOLIDAY":
        return ()
    if found["kind"] == "SHIFTS":
        return spans_of(found["shifts"])
    if found.get("as_weekday"):
        return week[found["as_weekday"] - 1]
    return next((week[(day.weekday() - back) % 7] for back in range(7) if week[(day.weekday() - back) % 7]), ())


# ---- days and years


def with_days(calendar: Document, given: Sequence[Document], replace_year: int | None, removed: Sequence[str] = ()) -> Document:
    """The changes when somebody sets days by hand, or takes some out."""
    if not given and replace_year is None and not removed:
        raise Invalid("there is nothing to set; give days, days to take out, or a year to replace", field="days")
    check_days(given, calendar.get("shifts", []), replace_year)
    anew = {day["date"]: {**day, "source": "OWN"} for day in given}
    held = [day for day in calendar.get("days", []) if day["date"] not in anew]
    _check_removed(removed, anew.keys(), {day["date"] for day in held})
    kept = [day for day in held if day["date"] not in removed and _year(day) != replace_year]
    return _with(calendar, [*kept, *anew.values()])


def _check_removed(removed: Sequence[str], anew: Collection[str], held: Collection[str]) -> None:
    """Refuse to take out, by its place, what is set at the same time, stands twice, or is no special day of this calendar itself."""
    for index, day in enumerate(removed):
        path = f"remove_dates[{index}]"
        if day in anew:
            raise Invalid(f"{day} is set and taken out at once; leave out one of both", code="DAY_TWICE", field=path)
        if day in removed[:index]:
            raise Invalid(f"{day} stands twice; give each day once", code="DAY_TWICE", field=path)
        if day not in held:
            words = f"{day} is no special day of this calendar; leave it out, or, where a base says something of it, set it anew"
            raise Invalid(words, field=path)


def imported(calendar: Document, year: int, given: Sequence[Document], source: str) -> tuple[Document, list[Document]]:
    """The changes when a year is brought in, and what they are day by day: {date, before?, after?, refused?}.

    Days set by hand stay; what was brought in before gives way. What differs makes the year provisional, until somebody confirms it.
    """
    check_days(given, calendar.get("shifts", []), year)
    before = {day["date"]: day for day in calendar.get("days", []) if _year(day) == year}
    own = {key: day for key, day in before.items() if day["source"] == "OWN"}
    fresh = {day["date"]: {**day, "source": source} for day in given}
    after = fresh | own
    changes: list[Document] = []
    for key in sorted({*before, *fresh}):
        was, now = before.get(key), after.get(key)
        told = {"date": key} | ({"before": was} if was else {}) | ({"after": now} if now else {})
        if key in own and key in fresh and _content(fresh[key]) != _content(own[key]):
            changes.append(told | {"refused": fresh[key]})
        elif key not in own and _content(was) != _content(now):
            changes.append(told)
    others = [day for day in calendar.get("days", []) if _year(day) != year]
    values = _with(calendar, [*others, *after.values()])
    if year_of(calendar, year) is None or any("refused" not in change for change in changes):
        values["years"] = _years(calendar, {"year": year, "state": "PROVISIONAL"})
    return values, changes


def confirmed(calendar: Document, year: int, person_id: str, now: datetime) -> Document:
    """The changes when somebody says that a year is as it is told."""
    known = year_of(calendar, year)
    if known and known["state"] == "CONFIRMED":
        raise WrongState(f"{year} is confirmed already; nothing needs to be done", field="year")
    entry = {"year": year, "state": "CONFIRMED", "confirm_time": now}
    return {"years": _years(calendar, entry | ({} if person_id.startswith("service-") else {"confirmer_id": person_id}))}


def year_of(calendar: Document, year: int) -> Document | None:
    """What a calendar itself says of a year; None where it says nothing."""
    return next((one for one in calendar.get("years", []) if one["year"] == year), None)


def _with(calendar: Document, days: list[Document]) -> Document:
    if len(days) > MOST_DAYS:
        raise Invalid(f"a calendar holds {MOST_DAYS} special days; take out old years (replaceYear)", field="days")
    found = sorted(days, key=lambda day: str(day["date"]))
    check_days(found, calendar.get("shifts", []))
    return {"days": found}


def _years(calendar: Document, entry: Document) -> list[Document]:
    others = [one for one in calendar.get("years", []) if one["year"] != entry["year"]]
    return sorted([*others, entry], key=lambda one: int(one["year"]))


def _year(day: Document) -> int:
    return int(day["date"][:4])


def _content(day: Document | None) -> Document | None:
    return {name: value for name, value in day.items() if name != "source"} if day else None


# ---- what it stands on, who uses it


def above(bases: Mapping[str, str], base: str | None) -> list[str]:
    """A base and those that it stands on, the nearest first. `bases` has of every calendar what it stands on."""
    found: list[str] = []
    while base and base not in found:
        found.append(base)
        base = bases.get(base)
    return found


def below(bases: Mapping[str, str], calendar_id: str) -> int:
    """How many levels of calendars stand on one."""
    return max((above(bases, one).index(calendar_id) for one in bases if calendar_id in above(bases, one)), default=0)


def base_refusal(calendar: Document, above: Sequence[str], below: int) -> CrmError | None:
    """Why a calendar cannot stand on these: `above` the nearest first, `below` how many levels stand on it. None when it can."""
    if calendar.get("_id") in above:
        words = "a calendar cannot stand on itself, by way of others neither; choose another base"
        return Invalid(words, code="CALENDAR_CYCLE", field="base_calendar_id")
    if 1 + len(above) + below > DEEPEST:
        words = f"{DEEPEST} calendars in a line at most; choose a base that stands on fewer"
        return Invalid(words, code="CALENDAR_TOO_DEEP", field="base_calendar_id")
    return None


def full_refusal(in_use: int) -> CrmError | None:
    """Why there can be no more calendars; None as long as departments carry one more."""
    if in_use < MOST_CALENDARS:
        return None
    words = f"{in_use} calendars are in use, and departments carry {MOST_CALENDARS}; archive one that nobody uses, or use one of them"
    return AlreadyExists(words, code="CALENDARS_FULL")


def archive_refusal(calendar: Document, uses: dict[str, int]) -> CrmError | None:
    """Why a calendar cannot go out of use: how many of what use it. None when it can."""
    if calendar.get("is_default"):
        words = "this is the default calendar; make another one the default first (workCalendarMakeDefault)"
        return WrongState(words, code="CALENDAR_IN_USE")
    told = [f"{count} {words}" for words, count in uses.items() if count]
    if told:
        listed = " and ".join([", ".join(told[:-1]), told[-1]] if told[1:] else told)
        return WrongState(f"{listed} use this calendar; give them another first", code="CALENDAR_IN_USE")
    return None


def _twice(values: Iterable[int]) -> int | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)
