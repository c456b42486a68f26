"""Working time: how much of it lies between two instants, and where so much of it ends. Pure; nothing here reads a clock.

A plan of shifts is compiled once into three arrays over some years: starts, ends, and the sum of all work up to each end. Every question is
then one or two binary searches. What counts is wall time in the plan's zone: an instant works when its wall time lies in a shift, so an hour
that comes twice counts twice, and what the clocks skip, an hour or a day, counts nothing. Never reckoned by steps of days or minutes.
"""

from __future__ import annotations

import importlib.metadata
import zoneinfo
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from chassis.kernel.errors import Invalid, WrongState

Span = tuple[int, int]  # minutes after the midnight with which the day begins; an end of 1440 and more lies on the next day
DAY = 86_400
LONGEST_WAIT = timedelta(days=366)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = date(1970, 1, 1).toordinal()
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Plan:
    """When somebody works. `week` has the shifts of Monday to Sunday, `days` those of days that are not as their weekday says (none: free).
    A shift belongs to the day on which it starts. `confirmed` are the years of which everything is known; every other one is provisional."""

    zone: str
    week: tuple[tuple[Span, ...], ...]
    days: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)
    confirmed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class WorkTime:
    """A plan compiled for some years. `starts`, `ends` and `sums` are milliseconds: instants since 1970 and work up to the end of each
    stretch; `first` and `last` are the instants between which it may be asked. `tzdata` is the edition of the zone database that was used:
    another one may move instants, so what was compiled by it is compiled anew."""

    starts: list[int]
    ends: list[int]
    sums: list[int]
    first: int
    last: int
    unsure: tuple[tuple[int, int], ...]
    tzdata: str

    def worked(self, begin: datetime, end: datetime) -> timedelta:
        """The working time between two instants, exact to the millisecond; below zero where the end lies before the beginning."""
        return (self._sum(self._at(end)) - self._sum(self._at(begin))) * _MILLISECOND

    def add(self, begin: datetime, seconds: int) -> datetime:
        """The first instant by which so many seconds were worked; the beginning itself for none. At the end of a shift it is that end, not
        the start of the next one. Raises WrongState where nothing is worked for a year, Invalid where it lies behind what is known."""
        if seconds <= 0:
            if seconds < 0:
                raise Invalid("working time is added, not taken away; give 0 or more seconds", field="seconds")
            return begin
        self.must_start(begin)
        target = self._sum(self._at(begin)) + seconds * 1000
        index = bisect_left(self.sums, target)
        if index == len(self.sums):
            raise _beyond(self)
        return _EPOCH + timedelta(milliseconds=self.ends[index] - self.sums[index] + target)

    def is_working(self, moment: datetime) -> bool:
        """Whether somebody works at an instant; the start of a shift is in it, its end is not."""
        at = self._at(moment)
        index = bisect_right(self.starts, at) - 1
        return index >= 0 and at < self.ends[index]

    def next_working(self, moment: datetime) -> datetime | None:
        """The instant itself where somebody works then, else the next start; None where there is none any more."""
        index = bisect_right(self.ends, self._at(moment))
        if index == len(self.ends):
            return None
        return max(moment, _EPOCH + timedelta(milliseconds=self.starts[index]))

    def starts_within(self, moment: datetime, wait: timedelta = LONGEST_WAIT) -> bool:
        """Whether there is working time at all within a year from an instant: without it no clock may start."""
        found = self.next_working(moment)
        return found is not None and found - moment < wait

    def must_start(self, moment: datetime) -> None:
        """Refuse a clock that would not run within a year. Raises WrongState, or Invalid where what is known ends before that."""
        if self.starts_within(moment):
            return
        if self.starts and self.next_working(moment) is None and _EPOCH + self.last * _MILLISECOND - moment < LONGEST_WAIT:
            raise _beyond(self)
        raise no_working_time()

    def is_provisional(self, begin: datetime, end: datetime) -> bool:
        """Whether the way from one instant to the other touches a year that nobody has confirmed."""
        first, last = self._at(begin), self._at(end)
        return any(first < until and last >= since for since, until in self.unsure)

    def stretches(self, begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The stretches of work between two instants, cut at them."""
        first, last = self._at(begin), self._at(end)
        if first >= last:
            return []
        found = range(bisect_right(self.ends, first), bisect_left(self.starts, last))
        return [(_moment(max(self.starts[index], first)), _moment(min(self.ends[index], last))) for index in found]

    def _at(self, moment: datetime) -> int:
        found = (moment - _EPOCH) // _MILLISECOND
        if not self.first <= found <= self.last:
            raise _beyond(self)
        return found

    def _sum(self, at: int) -> int:
        """The work from the first instant on to another."""
        index = bisect_right(self.ends, at)
        before = self.sums[index - 1] if index else 0
        return before + at - self.starts[index] if index < len(self.starts) and self.starts[index] < at else before


def no_working_time() -> WrongState:
    """The refusal of a calendar in which nobody ever works."""
    words = "this calendar has no working hour within a year; give it shifts or choose another"
    return WrongState(words, code="NO_WORKING_TIME", field="work_calendar_id")


def _beyond(known: WorkTime) -> Invalid:
    words = f"calendars are reckoned from {_moment(known.first):%Y-%m-%d} to {_moment(known.last):%Y-%m-%d}; ask for a time between"
    return Invalid(words, code="CALENDAR_HORIZON")


def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def compiled(plan: Plan, first: date, last: date) -> WorkTime:
    """The plan from the first day to the last, both in the zone. A day of margin lies around: shifts run over midnight."""
    walls = _walls(plan, first.toordinal() - 4, last.toordinal() + 3)
    begins, ends = [begin for begin, _ in walls], [end for _, end in walls]
    since, until = (first.toordinal() - 1 - _FIRST) * DAY, (last.toordinal() + 2 - _FIRST) * DAY
    found: list[list[int]] = []
    for begin, end, offset in _offsets(plan.zone, since, until):
        for index in range(bisect_right(ends, begin + offset), bisect_left(begins, end + offset)):
            one, other = max(begins[index] - offset, begin), min(ends[index] - offset, end)
            if found and found[-1][1] == one:
                found[-1][1] = other
            else:
                found.append([one, other])
    sums, total = [], 0
    for one, other in found:
        total += (other - one) * 1000
        sums.append(total)
    starts, stops = [one * 1000 for one, _ in found], [other * 1000 for _, other in found]
    return WorkTime(starts, stops, sums, since * 1000, until * 1000, _unsure(plan, since, until), tzdata_version())


def _walls(plan: Plan, first: int, last: int) -> list[tuple[int, int]]:
    """The shifts of the days, by ordinal, as seconds of wall time since 1970; what overlaps is one."""
    week = [[(begin * 60, end * 60) for begin, end in spans] for spans in plan.week]
    special = {day.toordinal(): [(begin * 60, end * 60) for begin, end in spans] for day, spans in plan.days.items()}
    found: list[tuple[int, int]] = []
    for ordinal in range(first, last + 1):
        spans = special.get(ordinal)
        midnight = (ordinal - _FIRST) * DAY
        for begin, end in week[(ordinal - 1) % 7] if spans is None else spans:
            found.append((midnight + begin, midnight + end))
    return _merged(found)


def _merged(walls: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without overlaps: a minute counts once, whatever a make-up day puts beside a night shift."""
    if all(one[1] <= other[0] for one, other in pairwise(walls)):
        return walls
    found: list[tuple[int, int]] = []
    for begin, end in sorted(walls):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _unsure(plan: Plan, since: int, until: int) -> tuple[tuple[int, int], ...]:
    """The provisional years as instants in milliseconds, within what is compiled; neighbours are one."""
    zone = zoneinfo.ZoneInfo(plan.zone)
    first, last = (datetime.fromtimestamp(one, zone).year for one in (since, until))
    found: list[tuple[int, int]] = []
    for year in range(first, last + 1):
        if year in plan.confirmed:
            continue
        begin, end = (int(datetime(one, 1, 1, tzinfo=zone).timestamp()) * 1000 for one in (year, year + 1))
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return tuple(found)


def _offsets(zone: str, since: int, until: int) -> list[tuple[int, int, int]]:
    """The stretches of time of one offset to UTC: begin, end, offset, in seconds. Asked of the zone day by day, then found to the second."""
    return _known_offsets(zone, since, until, tzdata_version())


@lru_cache(maxsize=100)
def _known_offsets(zone: str, since: int, until: int, edition: str) -> list[tuple[int, int, int]]:
    where = zoneinfo.ZoneInfo(zone)

    def offset_at(second: int) -> int:
        found = datetime.fromtimestamp(second, where).utcoffset()
        return 0 if found is None else found.days * DAY + found.seconds

    found, begin, offset = [], since, offset_at(since)
    for second in (*range(since + DAY, until, DAY), until - 1):
        following = offset_at(second)
        if following != offset:
            change = _first_of(lambda at: offset_at(at) != offset, second - DAY, second)  # noqa: B023
            found.append((begin, change, offset))
            begin, offset = change, following
    return [*found, (begin, until, offset)]


def _first_of(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first second behind `low` for which it holds; it does for `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@lru_cache(maxsize=1)
def tzdata_version() -> str:
    """The edition of the zone database that this process reckons with, e.g. "2026f"; "" where none is told."""
    for folder in zoneinfo.TZPATH:
        listed = Path(folder) / "tzdata.zi"
        if listed.is_file():
            with listed.open(encoding="ascii", errors="replace") as lines:
                return next(lines, "").removeprefix("# version").strip()
    try:
        return importlib.metadata.version("tzdata")
    except importlib.metadata.PackageNotFoundError:
        return ""


def spans_of(shifts: Iterable[Mapping[str, str]]) -> tuple[Span, ...]:
    """Shifts «09:00»–«18:00» as minutes, in order; an end that is not behind the start lies on the next day."""
    found = []
    for shift in shifts:
        begin, end = minutes(shift["start"]), minutes(shift["end"])
        found.append((begin, end if end > begin else end + 1440))
    return tuple(sorted(found))


def minutes(clock: str) -> int:
    """«09:30» as minutes of the day."""
    return int(clock[:2]) * 60 + int(clock[3:])
