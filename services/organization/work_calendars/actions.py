"""What can be done with a work calendar beside the standard verbs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crm.organization.v1 import work_calendar_events_pb2 as events

from chassis.access.calendars import upward
from chassis.kernel.errors import Conflict, CrmError, Invalid, NotFound
from chassis.rpc.call import Call
from chassis.rpc.remote import out_of_use
from chassis.storage.changes import Duplicate
from services.organization.departments.store import Departments
from services.organization.people.store import People
from services.organization.work_calendars import ics, model, shipped
from services.organization.work_calendars.store import WorkCalendars

log = logging.getLogger("crm.organization")
Document = dict[str, Any]
_OFFICE = (("09:00", "12:00"), ("13:00", "18:00"))


async def place(calendars: WorkCalendars, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch, each as if those before it were written: what a calendar stands on makes no circle and is not too deep, there are not too many,
    and which one is the default is not changed by the way."""
    stored = await calendars.batch_get(call, [document["_id"] for document in batch if document.get("_id")])
    named = await calendars.batch_get(call, {document["base_calendar_id"] for document in batch if document.get("base_calendar_id")})
    archived = frozenset(identity for identity, one in named.items() if one.get("archive_time"))
    room = Room(calendars, await calendars.bases(call), await calendars.count(call), archived)
    if any(document.get("_id", "") not in stored for document in batch):
        await calendars.one_more(call)
    refusals: list[CrmError | None] = []
    for document in batch:
        before = stored.get(document.get("_id", ""), {})
        refusals.append(room.refusal(call, document, before))
        document["is_default"] = before.get("is_default", False)
    return refusals


@dataclass
class Room:
    """What stands on what, and how many are in use, while a batch is judged. `bases` are as they will be, `moved` whose base is not as stored,
    `archived` those out of use among them."""

    calendars: WorkCalendars
    bases: dict[str, str]
    held: int
    archived: frozenset[str] = frozenset()
    moved: set[str] = field(default_factory=set)

    def refusal(self, call: Call, document: Document, before: Document) -> CrmError | None:
        """Why a calendar cannot be as it is given; None where it can, and the next one is judged with it."""
        if document.get("is_default") and not before.get("is_default"):
            return Invalid("is_default is set by workCalendarMakeDefault; leave it out", field="is_default")
        if not before and (full := model.full_refusal(self.held)):
            return full
        refused = self._base_refusal(call, document, before)
        self.held += not before and not refused
        return refused

    def _base_refusal(self, call: Call, document: Document, before: Document) -> CrmError | None:
        base, identity = document.get("base_calendar_id"), before.get("_id", "")
        if base == before.get("base_calendar_id"):
            return None
        if base in self.archived:
            return out_of_use(self.calendars.words, "base_calendar_id")
        above = model.above(self.bases, base)
        if refused := model.base_refusal(document, above, model.below(self.bases, identity)):
            return refused
        for one in above:
            if one not in self.moved:  # it must still stand where it does when this commits: two changes at once make no circle
                in_use = {"archive_time": None} if one == base else {}
                call.changes.guard(self.calendars.resource, {"_id": one, "base_calendar_id": self.bases.get(one), **in_use})
        if identity:
            self.moved.add(identity)
            self.bases |= {identity: base or ""}
        return None


async def _for_change(calendars: WorkCalendars, call: Call, calendar_id: str, version: int | None, action: str = "update") -> Document:
    before = await calendars.get(call, calendar_id, action)
    calendars.checked_version(before, version)
    calendars.in_use(before)
    return before


async def archive(calendars: WorkCalendars, call: Call, *, work_calendar_id: str, version: int | None = None) -> Document:
    """Take out of use; refused while anybody uses it."""
    before = await _for_change(calendars, call, work_calendar_id, version, "archive")
    if refusal := model.archive_refusal(before, await calendars.uses(call, work_calendar_id)):
        raise refusal
    return calendars.change(call, before, {"archive_time": call.now}, events.WorkCalendarArchived)


async def restore(calendars: WorkCalendars, call: Call, *, work_calendar_id: str, version: int | None = None) -> Document:
    """Take back into use; refused while its base is out of use, and where as many are in use as departments carry."""
    before = await calendars.get(call, work_calendar_id, "archive")
    calendars.checked_version(before, version)
    if not before.get("archive_time"):
        return before
    if base_id := before.get("base_calendar_id"):
        if (await calendars.batch_get(call, [base_id])).get(base_id, {}).get("archive_time"):
            raise out_of_use(calendars.words, "base_calendar_id")
        call.changes.guard(calendars.resource, {"_id": base_id, "archive_time": None})
    if full := model.full_refusal(await calendars.count(call)):
        raise full
    await calendars.one_more(call)
    return calendars.change(call, before, {"archive_time": None}, events.WorkCalendarRestored)


async def set_days(
    calendars: WorkCalendars, call: Call, *, work_calendar_id: str, days: list[Document] | None = None, replace_year: int | None = None,
    remove_dates: list[str] | None = None, version: int | None = None,
) -> Document:  # fmt: skip
    """Set days by hand, and take days out."""
    before = await _for_change(calendars, call, work_calendar_id, version)
    return calendars.change(call, before, model.with_days(before, days or [], replace_year, remove_dates or []), events.WorkCalendarUpdated)


async def import_year(
    calendars: WorkCalendars, call: Call, *, work_calendar_id: str, year: int, source: str, file: str | None = None,
    days: list[Document] | None = None, version: int | None = None,
) -> tuple[Document, list[Document]]:  # fmt: skip
    """Bring in a year: (the calendar after it, what changes day by day). One that brings nothing new changes nothing."""
    before = await _for_change(calendars, call, work_calendar_id, version)
    rows = await _rows(year, source, file, days)
    values, changes = model.imported(before, year, rows, "SHIPPED" if source == "SHIPPED" else "IMPORTED")
    if all(before.get(name) == value for name, value in values.items()):
        return before, changes
    return calendars.change(call, before, values, events.WorkCalendarUpdated), changes


async def _rows(year: int, source: str, file: str | None, days: list[Document] | None) -> list[Document]:
    if file is not None and source != "ICS":
        raise Invalid("a file goes with source ICS only; leave it out, or choose ICS", field="file")
    if days and source != "ROWS":
        raise Invalid("days go with source ROWS only; leave them out, or choose ROWS", field="days")
    if source == "SHIPPED":
        return shipped.days_of(year)
    if source == "ICS":
        return await asyncio.to_thread(ics.days_of, file or "", year)  # some tenths of a second for the largest
    if not days:
        raise Invalid("source ROWS needs days; give them", field="days")
    return days


async def confirm_year(calendars: WorkCalendars, call: Call, *, work_calendar_id: str, year: int, version: int | None = None) -> Document:
    """Say that a year is as it is told."""
    before = await _for_change(calendars, call, work_calendar_id, version)
    values = model.confirmed(before, year, call.caller.person_id, call.now)
    return calendars.change(call, before, values, events.WorkCalendarYearConfirmed)


async def make_default(calendars: WorkCalendars, call: Call, *, work_calendar_id: str, version: int | None = None) -> Document:
    """Let a calendar count for whoever has no other; the one of before is it no more, in the same commit. That one must still be as it was read:
    of two who do this at once the second reads anew."""
    before = await _for_change(calendars, call, work_calendar_id, version)
    if before.get("is_default"):
        return before
    if other := await calendars.default(call):
        calendars.change(call, other, {"is_default": False}, events.WorkCalendarUpdated)
    return calendars.change(call, before, {"is_default": True}, events.WorkCalendarUpdated)


# ---- whose calendar, and what it says


async def effective(
    calendars: WorkCalendars, people: People, departments: Departments, call: Call, person_ids: list[str], department_ids: list[str]
) -> dict[str, Document]:
    """The calendar that counts for each person and department that there is: the own one, else that of the team, the department, the units
    above, the nearest first, else the default."""
    persons = await people.batch_get(call, person_ids, ("own_work_calendar_id", "home_team_id", "home_department_id")) if person_ids else {}
    places = {identity: [one.get("home_team_id"), one.get("home_department_id")] for identity, one in persons.items()}
    wanted = {*department_ids, *(unit for each in places.values() for unit in each if unit)}
    units = await _with_those_above(departments, call, wanted)
    lines = {identity: [persons[identity].get("own_work_calendar_id"), *_own(units, place)] for identity, place in places.items()}
    lines |= {identity: _own(units, [identity]) for identity in department_ids if identity in units}
    found = await calendars.effective(call, [[one for one in line if one] for line in lines.values()])
    return dict(zip(lines, found, strict=True))


async def _with_those_above(departments: Departments, call: Call, wanted: set[str]) -> dict[str, Document]:
    fields = ("own_work_calendar_id", "ancestor_ids")
    units = await departments.batch_get(call, sorted(wanted), fields) if wanted else {}
    above = {identity for unit in units.values() for identity in unit.get("ancestor_ids", [])} - units.keys()
    return units | (await departments.batch_get(call, sorted(above), fields) if above else {})


def _own(units: dict[str, Document], place: list[str | None]) -> list[str | None]:
    """The own calendars of units and of those above each, the nearest first."""
    above = {identity: list(reversed(unit.get("ancestor_ids", []))) for identity, unit in units.items()}
    return [units.get(one, {}).get("own_work_calendar_id") for one in upward(filter(None, place), above)]


async def working_time(calendars: WorkCalendars, call: Call, calendar: Document, asked: Document) -> Document:
    """What lies between two times, or when so many seconds are worked."""
    begin, end, seconds = asked["start_time"], asked.get("end_time"), asked.get("seconds")
    if end is not None and seconds is not None:
        raise Invalid("ask for the time until end_time, or for when seconds are worked, not both", field="seconds")
    if end is not None and end < begin:
        raise Invalid("end_time lies before start_time; exchange them", field="end_time")
    known = await calendars.work_time(call, calendar)
    until: datetime = end if end is not None else known.add(begin, seconds or 0)
    return {
        "work_calendar_id": calendar["_id"], "worked_seconds": known.worked(begin, until) // timedelta(seconds=1), "end_time": until,
        "is_working": known.is_working(begin), "next_working_time": known.next_working(begin),
        "provisional": known.is_provisional(begin, until),
    }  # fmt: skip


async def whose(calendars: WorkCalendars, people: People, departments: Departments, call: Call, asked: Document) -> Document:
    """The calendar that a question is about: the one named, that of a person or department, or the caller's."""
    named = [name for name in ("work_calendar_id", "person_id", "department_id") if asked.get(name)]
    if len(named) > 1:
        raise Invalid(f"name a calendar, a person or a department, not several; leave {named[1]} out", field=named[1])
    if named == ["work_calendar_id"]:
        return await calendars.read(call, asked["work_calendar_id"])
    unit = [asked["department_id"]] if named == ["department_id"] else []
    person = [] if unit else [asked.get("person_id") or call.caller.person_id]
    found = await effective(calendars, people, departments, call, person, unit)
    if not found and named:
        raise NotFound(f"there is no such {named[0].removesuffix('_id')} that you may see; check the id", field=named[0])
    return next(iter(found.values()), None) or (await calendars.effective(call, [[]]))[0]


# ---- as it is shipped


async def deliver(calendars: WorkCalendars, own_call: Callable[[str], Call]) -> None:
    """Make the default calendar where there is none: an office's week in the company's zone, in mainland China with its holidays. Another
    replica may do the same at the same moment; where the name is taken it gets another."""
    for name in ("公司工作日历", "公司工作日历 (默认)"):
        call = own_call("deliver work calendars")
        if await calendars.default(call):
            return
        try:
            calendars.create(
                call, {"name": name, **delivered(call.zone, call.now.year)}, events.WorkCalendarCreated, record_id=model.SHIPPED_ID
            )
            await call.changes.commit()
            return
        except Duplicate as duplicate:
            if duplicate.index == "_id_":
                return
            log.warning("name of the default work calendar is taken", extra={"title": name})
        except Conflict:
            log.info("default work calendar was made meanwhile")
            return


def delivered(zone: str, year: int) -> Document:
    """The calendar that is shipped. What was announced is confirmed by whoever announced it."""
    shifts = [{"weekday": weekday, "start": start, "end": end} for weekday in range(1, 6) for start, end in _OFFICE]
    found: Document = {"time_zone": zone, "shifts": shifts, "is_default": True}
    if zone in shipped.ZONES:
        known = [one for one in shipped.years() if one >= year - 2]
        found["days"] = [{**day, "source": "SHIPPED"} for one in known for day in shipped.days_of(one)]
        found["years"] = [{"year": one, "state": "CONFIRMED" if shipped.is_announced(one) else "PROVISIONAL"} for one in known]
    return found
