"""Values of criteria that count from now, and the moments at which what they are compared with changes sides. Pure.

A time or a day is compared with so many seconds from now, or with the day that is so many days from today in the company's time zone. A time
is compared with a day as a whole: it lies before it, within it, or after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from chassis.kernel.clock import HOME, MILLISECOND, day, start_of, turns

MOST_DAYS = 36_525  # a hundred years
MOST_SECONDS = MOST_DAYS * 86_400
Bound = tuple[str, Any]


@dataclass(frozen=True)
class When:
    """The moment at which criteria are judged, to the millisecond, and the time zone whose days count."""

    now: datetime
    zone: str = HOME

    @cached_property
    def today(self) -> date:
        """The day that it is then and there."""
        return day(self.now, self.zone)


@dataclass(frozen=True)
class Relative:
    """So many seconds from now or days from today; negative is past. Exactly one of both is given."""

    seconds: int | None = None
    days: int | None = None

    def bounds(self, operator: str, when: When, *, of_day: bool) -> list[Bound]:
        """The comparisons with fixed values that mean the same at a moment: (operator, value), all of which must hold.

        `of_day` says that the field holds days ("2026-11-30"), not times.
        """
        if self.days is None:
            return [(operator, when.now + timedelta(seconds=self.seconds or 0))]
        on = when.today + timedelta(days=self.days)
        if of_day:
            return [(operator, on.isoformat())]
        begin, end = start_of(on, when.zone), start_of(on + timedelta(days=1), when.zone)
        return {
            "LESS": [("LESS", begin)],
            "LESS_OR_EQUAL": [("LESS", end)],
            "GREATER": [("GREATER_OR_EQUAL", end)],
            "GREATER_OR_EQUAL": [("GREATER_OR_EQUAL", begin)],
            "EQUALS": [("GREATER_OR_EQUAL", begin), ("LESS", end)],
        }[operator]

    def turns(self, found: Any, zone: str, *, of_day: bool) -> Iterator[datetime]:
        """Moments among which are all at which the comparison of a stored value may change; none for a value that is none."""
        try:
            if self.days is None and isinstance(found, datetime):
                meeting = found - timedelta(seconds=self.seconds or 0)
                yield from (meeting, meeting + MILLISECOND)
            elif self.days is not None and found is not None:
                on = date.fromisoformat(found) if of_day else day(found, zone)
                for step in range(-1, 3):
                    yield from turns(on + timedelta(days=step - self.days), zone)
        except (OverflowError, ValueError):  # never, as far as calendars reach; or no day at all
            return

    def from_which(self, when: When, *, of_day: bool) -> Any:
        """The least stored value that may still change sides after a moment."""
        if self.days is None:
            return when.now + timedelta(seconds=self.seconds or 0)
        on = when.today + timedelta(days=self.days - 2)
        return on.isoformat() if of_day else start_of(on, when.zone)
