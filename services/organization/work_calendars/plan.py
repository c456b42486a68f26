"""A calendar with what it inherits, as working time is reckoned by it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from crm.common.v1 import work_plan_pb2

from chassis.access.calendars import message_of
from chassis.kernel.worktime import Plan, compiled
from services.organization.work_calendars.model import DEEPEST, FIRST_YEAR, LAST_YEAR, spans_on, week_of

Document = dict[str, Any]


def days_of(line: Sequence[Document]) -> dict[str, Document]:
    """The special days of a calendar and those that it stands on, itself first: of one date the nearest counts."""
    return {day["date"]: day for calendar in reversed(line) for day in calendar.get("days", [])}


def confirmed_years(line: Sequence[Document]) -> frozenset[int]:
    """The years of which everything is known: of each the nearest calendar that says something of it decides."""
    known = {year["year"]: year["state"] for calendar in reversed(line) for year in calendar.get("years", [])}
    return frozenset(year for year, state in known.items() if state == "CONFIRMED")


def plan_of(line: Sequence[Document], first: int = FIRST_YEAR, last: int = LAST_YEAR) -> Plan:
    """The plan of a calendar that stands on others, itself first; with the special days of these years. Shifts and zone are its own."""
    week, special = week_of(line[0].get("shifts", [])), days_of(line)
    wanted = [date.fromisoformat(day) for day in special if first <= int(day[:4]) <= last]
    return Plan(line[0]["time_zone"], week, {day: spans_on(day, special, week) for day in wanted}, confirmed_years(line))


def month_of(line: Sequence[Document], month: str) -> list[Document]:
    """The days of a month as the calendar has them, each with the stretches of the shifts that start on it."""
    plan, special = plan_of(line), days_of(line)
    day, found = date.fromisoformat(f"{month}-01"), []
    while day.isoformat().startswith(month):
        alone = Plan(plan.zone, ((),) * 7, {day: plan.days.get(day, plan.week[day.weekday()])})
        around = datetime(day.year, day.month, day.day, tzinfo=UTC)
        found_on = compiled(alone, day, day + timedelta(days=1)).stretches(around - timedelta(days=1), around + timedelta(days=3))
        stretches = [{"start_time": begin, "end_time": end} for begin, end in found_on]
        row = {
            "date": day.isoformat(), "stretches": stretches, "provisional": day.year not in plan.confirmed,
            "worked_seconds": sum(_seconds(one["start_time"], one["end_time"]) for one in stretches),
        }  # fmt: skip
        found.append(row | ({"day": special[row["date"]]} if row["date"] in special else {}))
        day += timedelta(days=1)
    return found


def _seconds(begin: datetime, end: datetime) -> int:
    return round((end - begin).total_seconds())


def plans_of(calendars: Sequence[Document], around: int, beneath: Sequence[Document] = ()) -> work_plan_pb2.WorkPlans:
    """All calendars as departments get them, with the special days that count some years before and after the one given. `beneath` are more
    on which they stand."""
    known = {calendar["_id"]: calendar for calendar in (*calendars, *beneath)}
    made = work_plan_pb2.WorkPlans(default_calendar_id=next((one["_id"] for one in calendars if one.get("is_default")), ""))
    for calendar in calendars:
        line, above = [calendar], calendar.get("base_calendar_id", "")
        while above in known and known[above] not in line and len(line) < DEEPEST:
            line.append(known[above])
            above = known[above].get("base_calendar_id", "")
        made.plans.append(message_of(calendar["_id"], plan_of(line, around - 4, around + 8)))
    return made
