"""A fiscal calendar: what makes one complete, and that the periods of a year that has begun never move. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from chassis.kernel.clock import numbered
from chassis.kernel.errors import WrongState
from chassis.kernel.fiscal import Calendar, Definition

Document = dict[str, Any]
# What decides on which days periods begin and end; a name may always change.
DECIDING = ("unit_id", "valid_from_year", "year_start_month", "pattern", "week_start", "time_zone")


def check(fiscal_calendar: Document) -> None:
    """Complete a fiscal calendar: weeks from Monday unless told otherwise, and the key of its unit and first year."""
    fiscal_calendar["week_start"] = fiscal_calendar.get("week_start") or 1
    fiscal_calendar["key"] = f"{fiscal_calendar.get('unit_id') or 'all'}-{fiscal_calendar['valid_from_year']}"


def definition(document: Document) -> Definition:
    """What a calendar says of years."""
    return Definition(
        document["valid_from_year"], document["year_start_month"], document["pattern"], document.get("week_start") or 1,
        document.get("time_zone", ""),
    )  # fmt: skip


def check_change(before: Document | None, after: Document | None, others: Iterable[Document], above: Calendar, today: date) -> None:
    """Refuse a change that would move a day of a year that has begun (FISCAL_YEAR_BEGUN).

    `before` is None for a new calendar, `after` for one that goes out of use. `others` are those of the same unit that are in use, `above` is
    what counts where the unit has none. The first calendar of a unit may begin in any year: it says how the company reckons, and changes nothing said before.
    """
    if before and after and all(before.get(name) == after.get(name) for name in DECIDING):
        return
    remaining = list(others)
    if before is None and not remaining:
        return
    year = (after or before or {})["valid_from_year"]
    without = Calendar.of(map(definition, remaining), above)
    first = min([without.start(year), *(definition(one).start(year) for one in (before, after) if one)])
    if first <= today.toordinal():
        changed = [name for name in DECIDING if before and after and before.get(name) != after.get(name)]
        raise WrongState(
            f"the fiscal year {year} of this unit began on {numbered(first)}, and periods that have begun do not move; make a calendar "
            f"whose valid_from_year is a coming one",
            code="FISCAL_YEAR_BEGUN", field=changed[0] if changed else "valid_from_year",
        )  # fmt: skip
