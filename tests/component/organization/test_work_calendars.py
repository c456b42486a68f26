"""Work calendars over gRPC: commands, refusals, whose calendar counts, working time, and how departments hear of a changed holiday."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from crm.common.v1 import access_service_pb2

from chassis.access.parts import WORK_TIMES
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from services.organization.work_calendars.store import plans
from tests.support.checks import mask, refused
from tests.support.installation import Installation

CALENDARS = "organization.work_calendars"
HOLIDAY, WORKDAY, OWN_SHIFTS = 1, 2, 3
SHIPPED, ICS, ROWS = 1, 2, 3
CONFIRMED, PROVISIONAL = 1, 2
ZONE = ZoneInfo("Asia/Shanghai")
WEEK = [{"weekday": weekday, "start": "09:00", "end": "17:00"} for weekday in range(1, 6)]


async def made(crm: Installation, **more: Any) -> Any:
    values = {"name": f"日历 {new_id()}", "time_zone": "Asia/Shanghai", "shifts": WEEK, **more}
    return (await crm.ask("CreateWorkCalendar", role="COORDINATOR", **values)).work_calendar


def at(text: str) -> dict[str, int]:
    """A wall time in Shanghai as a Timestamp."""
    return {"seconds": int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())}


def wall(stamp: Any) -> str:
    return stamp.ToDatetime(UTC).astimezone(ZONE).strftime("%Y-%m-%d %H:%M")


async def default(crm: Installation) -> Any:
    flag = {"condition": {"field": "is_default", "operator": 1, "values": [{"flag": True}]}}
    (found,) = (await crm.ask("ListWorkCalendars", filter=flag)).work_calendars
    return found


async def test_there_is_always_exactly_one_default(crm: Installation) -> None:
    first = await default(crm)
    assert {year.year for year in first.years if year.state == CONFIRMED} >= {2025, 2026}
    await refused(crm, CALENDARS, crm.ask("ArchiveWorkCalendar", work_calendar_id=first.id), "CALENDAR_IN_USE", record_id=first.id)
    other = await made(crm)
    after = (await crm.ask("MakeCalendarDefault", role="COORDINATOR", work_calendar_id=other.id, version=1)).work_calendar
    assert (after.is_default, (await default(crm)).id) == (True, other.id)
    again = (await crm.ask("MakeCalendarDefault", work_calendar_id=other.id)).work_calendar
    assert again.version == after.version
    third = await made(crm)
    await asyncio.gather(*(crm.ask("MakeCalendarDefault", work_calendar_id=one.id) for one in (first, third)))
    assert (await default(crm)).id in (first.id, third.id)  # which asserts that it is one
    await crm.ask("MakeCalendarDefault", work_calendar_id=first.id)


async def test_the_default_is_set_by_its_command_and_not_by_an_import(crm: Installation) -> None:
    first = await default(crm)
    row = {"source_key": f"cal:{new_id()}", "name": new_id(), "time_zone": "Asia/Shanghai"}
    answer = await crm.ask(
        "BatchUpsertWorkCalendars", work_calendars=[{**row, "is_default": True}, {**row, "source_key": "cal:twice", "name": first.name}]
    )
    assert [(one.error_code, one.error_field) for one in answer.outcomes] == [
        ("INVALID_ARGUMENT", "is_default"),
        ("CALENDAR_NAME_TAKEN", "name"),
    ]
    assert (await default(crm)).id == first.id


async def test_rows_of_one_import_make_neither_a_circle_nor_a_line_that_is_too_long(crm: Installation) -> None:
    rows = [{"source_key": f"cal:{new_id()}", "name": new_id(), "time_zone": "Asia/Shanghai", "shifts": WEEK} for _ in range(4)]
    ids = [one.id for one in (await crm.ask("BatchUpsertWorkCalendars", work_calendars=rows)).outcomes]

    async def stand(*pairs: tuple[int, int]) -> list[str]:
        moved = [{**rows[one], "base_calendar_id": ids[other]} for one, other in pairs]
        return [one.error_code for one in (await crm.ask("BatchUpsertWorkCalendars", work_calendars=moved)).outcomes]

    assert await stand((0, 1), (1, 0)) == ["", "CALENDAR_CYCLE"]
    assert await stand((1, 2), (2, 3)) == ["", "CALENDAR_TOO_DEEP"]
    assert await stand((2, 0)) == ["CALENDAR_CYCLE"]
    assert await stand((0, 3), (3, 2), (2, 3)) == ["", "", "CALENDAR_CYCLE"]  # of rows that are good each counts for the next one


async def test_nothing_comes_into_use_on_a_base_that_is_out_of_use(crm: Installation) -> None:
    base = await made(crm)
    child = await made(crm, base_calendar_id=base.id)
    await crm.ask("SetCalendarDays", work_calendar_id=base.id, days=[{"date": "2026-11-02", "kind": HOLIDAY}])
    for one in (child, base):
        await crm.ask("ArchiveWorkCalendar", work_calendar_id=one.id)
    back = {"work_calendar_id": child.id}
    await refused(crm, CALENDARS, crm.ask("RestoreWorkCalendar", **back), "ARCHIVED", field="base_calendar_id", record_id=child.id)
    row = {"source_key": f"cal:{new_id()}", "name": new_id(), "time_zone": "Asia/Shanghai", "base_calendar_id": base.id}
    (told,) = (await crm.ask("BatchUpsertWorkCalendars", work_calendars=[row])).outcomes
    assert (told.error_code, told.error_field) == ("ARCHIVED", "base_calendar_id")
    await crm.ask("RestoreWorkCalendar", work_calendar_id=base.id)
    assert not (await crm.ask("RestoreWorkCalendar", **back)).work_calendar.HasField("archive_time")
    database = crm.suite["organization"].database
    await database["work_calendars"].update_one(
        {"_id": base.id}, {"$set": {"archive_time": datetime.now(UTC)}}
    )  # as an older build let it be
    (plan,) = [one for one in (await plans(database)).plans if one.work_calendar_id == child.id]
    here = await crm.ask("GetWorkingTime", **back, start_time=at("2026-11-02 10:00"))
    assert (len(plan.free_days), here.is_working) == (1, False)  # departments and the organization say the same


async def test_the_default_is_carried_whatever_comes(crm: Installation) -> None:
    first = await default(crm)
    for _ in range(3):
        await made(crm)
    told = await plans(crm.suite["organization"].database, most=2)
    assert (len(told.plans), told.default_calendar_id) == (2, first.id)
    assert first.id in {one.work_calendar_id for one in told.plans}


async def test_what_a_calendar_cannot_be_is_refused(crm: Installation) -> None:
    taken = await made(crm)
    overlap = [*WEEK, {"weekday": 1, "start": "16:00", "end": "20:00"}]
    for more, code, field in (
        ({"name": taken.name}, "CALENDAR_NAME_TAKEN", "name"),
        ({"time_zone": "Asia/Peking"}, "INVALID_ARGUMENT", "time_zone"),
        ({"time_zone": ""}, "INVALID_ARGUMENT", "time_zone"),
        ({"shifts": overlap}, "SHIFTS_OVERLAP", "shifts[5]"),
        ({"shifts": [{"weekday": 8, "start": "09:00", "end": "10:00"}]}, "INVALID_ARGUMENT", "shifts[0].weekday"),
        ({"shifts": [{"weekday": 1, "start": "09:00", "end": "24:00"}]}, "INVALID_ARGUMENT", "shifts[0].end"),
        ({"shifts": WEEK[:1] * 43}, "INVALID_ARGUMENT", "shifts"),
        ({"base_calendar_id": "nobody"}, "REFERENCE_NOT_FOUND", "base_calendar_id"),
    ):
        values = {"name": new_id(), "time_zone": "Asia/Shanghai", **more}
        found = await refused(crm, CALENDARS, crm.ask("CreateWorkCalendar", **values), code, field=field)
        assert field != "time_zone" or "Asia/Shanghai" in found.message or not more["time_zone"]
    for role in ("SALES_REP", "SALES_LEAD", "MARKETER", "SUPPORT_AGENT"):
        await refused(crm, CALENDARS, crm.ask("CreateWorkCalendar", role=role, name=new_id(), time_zone="Asia/Shanghai"), "NOT_ALLOWED")
    assert (await crm.ask("GetWorkCalendar", role="SALES_REP", work_calendar_id=taken.id)).work_calendar == taken


async def test_a_year_is_imported_looked_at_and_confirmed(crm: Installation) -> None:
    calendar = await made(crm)
    own = {"date": "2026-02-28", "kind": HOLIDAY, "label": "本厂不补班"}
    set_by_hand = (await crm.ask("SetCalendarDays", role="COORDINATOR", work_calendar_id=calendar.id, version=1, days=[own])).work_calendar
    assert [(day.date, day.source, day.label) for day in set_by_hand.days] == [("2026-02-28", 3, "本厂不补班")]
    taken = {"work_calendar_id": calendar.id, "remove_dates": ["2026-02-27"]}
    await refused(crm, CALENDARS, crm.ask("SetCalendarDays", **taken), "INVALID_ARGUMENT", field="remove_dates[0]", record_id=calendar.id)

    trial = await crm.ask(
        "ImportCalendarYear", role="COORDINATOR", work_calendar_id=calendar.id, year=2026, source=SHIPPED, validate_only=True
    )
    assert (len(trial.changes), len(trial.work_calendar.days)) == (39, 39)
    assert [change.date for change in trial.changes if change.HasField("refused")] == ["2026-02-28"]
    assert (await crm.ask("GetWorkCalendar", work_calendar_id=calendar.id)).work_calendar == set_by_hand

    done = await crm.ask("ImportCalendarYear", role="COORDINATOR", work_calendar_id=calendar.id, version=2, year=2026, source=SHIPPED)
    assert (done.changes, done.work_calendar.version) == (trial.changes, 3)
    assert [(year.year, year.state) for year in done.work_calendar.years] == [(2026, PROVISIONAL)]
    again = await crm.ask("ImportCalendarYear", work_calendar_id=calendar.id, year=2026, source=SHIPPED)
    assert (again.work_calendar.version, [change.date for change in again.changes]) == (3, ["2026-02-28"])

    sure = (await crm.ask("ConfirmCalendarYear", role="COORDINATOR", work_calendar_id=calendar.id, year=2026)).work_calendar
    assert [(year.state, year.confirmer_id) for year in sure.years] == [(CONFIRMED, crm.people["COORDINATOR"])]
    twice = crm.ask("ConfirmCalendarYear", work_calendar_id=calendar.id, year=2026)
    await refused(crm, CALENDARS, twice, "WRONG_STATE", field="year", record_id=calendar.id)
    rows = await crm.suite["organization"].database["outbox"].find({"headers.ce-subject": calendar.id}).sort("_id", 1).to_list()
    assert [row["headers"]["ce-type"].rsplit(".", 1)[1] for row in rows] == [
        "WorkCalendarCreated", "WorkCalendarUpdated", "WorkCalendarUpdated", "WorkCalendarYearConfirmed",
    ]  # fmt: skip


async def test_a_file_and_rows_are_imported(crm: Installation) -> None:
    calendar = await made(crm)
    text = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20270501\r\nSUMMARY:劳动节\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    key = {"work_calendar_id": calendar.id, "year": 2027}
    read = await crm.ask("ImportCalendarYear", **key, source=ICS, file=text)
    assert [(day.date, day.kind, day.source, day.label) for day in read.work_calendar.days] == [("2027-05-01", HOLIDAY, 2, "劳动节")]
    rows = [{"date": "2027-05-03", "kind": WORKDAY, "as_weekday": 1}]
    answer = await crm.ask("ImportCalendarYear", **key, source=ROWS, days=rows)
    assert [(change.date, change.HasField("before"), change.HasField("after")) for change in answer.changes] == [
        ("2027-05-01", True, False), ("2027-05-03", False, True),
    ]  # fmt: skip
    for more, code, field in (
        ({"source": ICS, "file": "hello"}, "CALENDAR_FILE_UNREADABLE", "file"),
        ({"source": ICS}, "CALENDAR_FILE_UNREADABLE", "file"),
        ({"source": ICS, "file": "x" * (1024 * 1024 + 1)}, "CALENDAR_FILE_UNREADABLE", "file"),
        ({"source": ROWS}, "INVALID_ARGUMENT", "days"),
        ({"source": ROWS, "days": [{"date": "2026-05-03", "kind": HOLIDAY}]}, "INVALID_ARGUMENT", "days[0].date"),
        ({"source": ROWS, "days": [*rows, *rows]}, "DAY_TWICE", "days[1].date"),
        ({"source": SHIPPED, "days": rows}, "INVALID_ARGUMENT", "days"),
        ({"source": ROWS, "file": text, "days": rows}, "INVALID_ARGUMENT", "file"),
        ({"source": SHIPPED, "year": 2099}, "CALENDAR_YEAR_NOT_SHIPPED", "year"),
        ({"source": SHIPPED, "year": 1999}, "INVALID_ARGUMENT", "year"),
        ({"source": SHIPPED, "year": 2101}, "INVALID_ARGUMENT", "year"),
    ):
        await refused(crm, CALENDARS, crm.ask("ImportCalendarYear", **{**key, **more}), code, field=field, record_id=calendar.id)


async def test_bases_make_no_circle_and_are_three_deep_at_most(crm: Installation) -> None:
    first = await made(crm)
    second = await made(crm, base_calendar_id=first.id)
    third = await made(crm, base_calendar_id=second.id)
    deep = crm.ask("CreateWorkCalendar", name=new_id(), time_zone="Asia/Shanghai", base_calendar_id=third.id)
    await refused(crm, CALENDARS, deep, "CALENDAR_TOO_DEEP", field="base_calendar_id")
    for base in (first, third):
        circle = crm.ask(
            "UpdateWorkCalendar", work_calendar_id=first.id, version=1, update_mask=mask("base_calendar_id"), base_calendar_id=base.id
        )
        await refused(crm, CALENDARS, circle, "CALENDAR_CYCLE", field="base_calendar_id", record_id=first.id)
    await refused(crm, CALENDARS, crm.ask("ArchiveWorkCalendar", work_calendar_id=second.id), "CALENDAR_IN_USE", record_id=second.id)
    await crm.ask("SetCalendarDays", work_calendar_id=first.id, days=[{"date": "2026-03-02", "kind": HOLIDAY}])
    days = (await crm.ask("GetCalendarMonth", role="SALES_REP", work_calendar_id=third.id, month="2026-03")).days
    assert [day.worked_seconds for day in days[:3]] == [0, 0, 8 * 3600]


async def test_two_changes_at_once_make_no_circle(crm: Installation) -> None:
    one, other = await made(crm), await made(crm)

    async def stand(calendar: Any, base: Any) -> str:
        try:
            await crm.ask(
                "UpdateWorkCalendar",
                work_calendar_id=calendar.id,
                version=1,
                update_mask=mask("base_calendar_id"),
                base_calendar_id=base.id,
            )
        except CrmError as refusal:
            return refusal.code
        return ""

    codes = await asyncio.gather(stand(one, other), stand(other, one))
    assert sorted(codes)[0] == "" and sorted(codes)[1] in ("CALENDAR_CYCLE", "VERSION_CONFLICT"), codes


async def unit(crm: Installation, parent: str, kind: int, **more: Any) -> str:
    return str((await crm.ask("CreateDepartment", name=new_id(), kind=kind, parent_id=parent, **more)).department.id)


async def test_the_own_calendar_counts_else_the_nearest_units_else_the_default(crm: Installation) -> None:
    own, of_team, of_top = [await made(crm) for _ in range(3)]
    top = await unit(crm, crm.units["company"] if "company" in crm.units else crm.units["sales"], 4, own_work_calendar_id=of_top.id)
    department = await unit(crm, top, 4)
    team = await unit(crm, department, 5, own_work_calendar_id=of_team.id)
    person = (
        await crm.ask(
            "CreatePerson", name="日历人", email=f"{new_id()}@example.com", roles=[1], home_department_id=department, home_team_id=team
        )
    ).person

    async def counts(**ids: list[str]) -> dict[str, str]:
        answer = await crm.ask("BatchGetEffectiveCalendars", role="SALES_REP", **ids)
        assert {one.id for one in answer.work_calendars} == {one.work_calendar_id for one in answer.effective}
        return {one.of_id: one.work_calendar_id for one in answer.effective}

    everyone = {"person_ids": [person.id, "nobody"], "department_ids": [top, department, team, crm.units["other"], "nowhere"]}
    usual = (await default(crm)).id
    expected = {person.id: of_team.id, top: of_top.id, department: of_top.id, team: of_team.id, crm.units["other"]: usual}
    assert await counts(**everyone) == expected
    change = {"update_mask": mask("own_work_calendar_id")}
    given = (await crm.ask("UpdatePerson", person_id=person.id, version=1, **change, own_work_calendar_id=own.id)).person
    assert (await counts(person_ids=[person.id]))[person.id] == own.id
    directories = [crm.suite[name].authority for name in ("sales", "support")]
    await crm.until(lambda: all(one.directory.calendar_of(person.id) == own.id for one in directories))
    assert {one.directory.calendar_of(department_id=department) for one in directories} == {of_top.id}
    in_use = await refused(crm, CALENDARS, crm.ask("ArchiveWorkCalendar", work_calendar_id=own.id), "CALENDAR_IN_USE", record_id=own.id)
    assert in_use.message.startswith("1 people use this calendar")
    taken = await refused(
        crm, CALENDARS, crm.ask("ArchiveWorkCalendar", work_calendar_id=of_team.id), "CALENDAR_IN_USE", record_id=of_team.id
    )
    assert "1 departments" in taken.message
    cleared = (await crm.ask("UpdatePerson", person_id=person.id, version=given.version, **change)).person
    assert not cleared.HasField("own_work_calendar_id")
    await crm.ask("ArchiveWorkCalendar", work_calendar_id=own.id)
    archived = crm.ask("UpdatePerson", person_id=person.id, version=cleared.version, **change, own_work_calendar_id=own.id)
    await refused(crm, "organization.people", archived, "ARCHIVED", field="own_work_calendar_id", record_id=person.id)


async def test_working_time_between_two_times_and_when_so_much_is_worked(crm: Installation) -> None:
    calendar = await made(crm)
    await crm.ask("SetCalendarDays", work_calendar_id=calendar.id, days=[{"date": "2026-11-02", "kind": HOLIDAY}])
    await crm.ask("ConfirmCalendarYear", work_calendar_id=calendar.id, year=2026)
    by = {"role": "SALES_REP", "work_calendar_id": calendar.id}
    between = await crm.ask("GetWorkingTime", **by, start_time=at("2026-10-30 16:00"), end_time=at("2026-11-03 10:00"))
    assert (between.worked_seconds, between.is_working, between.provisional) == (2 * 3600, True, False)
    due = await crm.ask("GetWorkingTime", **by, start_time=at("2026-10-31 12:00"), seconds=9 * 3600)
    assert (wall(due.end_time), due.is_working, wall(due.next_working_time)) == ("2026-11-04 10:00", False, "2026-11-03 09:00")
    over = await crm.ask("GetWorkingTime", **by, start_time=at("2026-12-31 16:00"), seconds=2 * 3600)
    assert (wall(over.end_time), over.provisional) == ("2027-01-01 10:00", True)
    mine = await crm.ask("GetWorkingTime", role="SALES_REP", start_time=at("2026-11-03 10:00"))
    assert mine.work_calendar_id == (await default(crm)).id
    hers = await crm.ask("GetWorkingTime", person_id=crm.people["SALES_REP"], start_time=at("2026-11-03 10:00"))
    units = await crm.ask("GetWorkingTime", department_id=crm.units["sales"], start_time=at("2026-11-03 10:00"))
    assert hers.work_calendar_id == units.work_calendar_id == mine.work_calendar_id


async def test_questions_for_working_time_that_make_no_sense_are_refused(crm: Installation) -> None:
    calendar, empty = await made(crm), await made(crm, shifts=[])
    begin = {"start_time": at("2026-11-03 10:00")}
    later = (datetime.now(UTC) + timedelta(days=8 * 366)).timestamp()
    for more, code, field in (
        ({"work_calendar_id": calendar.id, "person_id": crm.people["SALES_REP"]}, "INVALID_ARGUMENT", "person_id"),
        ({"work_calendar_id": calendar.id, "end_time": at("2026-11-02 10:00")}, "INVALID_ARGUMENT", "end_time"),
        ({"work_calendar_id": calendar.id, "end_time": at("2026-11-04 10:00"), "seconds": 5}, "INVALID_ARGUMENT", "seconds"),
        ({"work_calendar_id": calendar.id, "seconds": -1}, "INVALID_ARGUMENT", "seconds"),
        ({"work_calendar_id": calendar.id, "start_time": {"seconds": int(later)}}, "CALENDAR_HORIZON", ""),
        ({"work_calendar_id": empty.id, "seconds": 60}, "NO_WORKING_TIME", "work_calendar_id"),
        ({"work_calendar_id": "nobody"}, "NOT_FOUND", "work_calendar_id"),
        ({"person_id": "nobody"}, "NOT_FOUND", "person_id"),
        ({"department_id": "nowhere"}, "NOT_FOUND", "department_id"),
    ):
        await refused(crm, CALENDARS, crm.ask("GetWorkingTime", **{**begin, **more}), code, field=field)
    await refused(
        crm, CALENDARS, crm.ask("GetCalendarMonth", work_calendar_id=calendar.id, month="2026-13"), "INVALID_ARGUMENT", field="month"
    )


@pytest.mark.timeout(60)
async def test_a_changed_holiday_resends_no_people_and_departments_reckon_with_it(crm: Installation) -> None:
    calendar = await made(crm)
    organization, sales = crm.suite["organization"], crm.suite["sales"].authority
    meta = organization.database["directory_meta"]

    async def newest() -> int:
        return int((await meta.find_one({"_id": "revision"}) or {})["number"])

    begin, seconds = datetime(2026, 11, 2, 9, tzinfo=ZONE), 8 * 3600
    revision = await newest()
    await crm.until(lambda: sales.directory.revision >= revision and calendar.id in sales.directory.parts.get(WORK_TIMES).plans)
    before = sales.directory
    assert before.working_time(begin, calendar_id=calendar.id).add(begin, seconds) == begin.replace(hour=17)

    await crm.ask("SetCalendarDays", work_calendar_id=calendar.id, days=[{"date": "2026-11-02", "kind": HOLIDAY}])
    assert await newest() == before.revision  # of people and policy
    moved = begin.replace(day=3, hour=17)
    await crm.until(lambda: sales.directory.working_time(begin, calendar_id=calendar.id).add(begin, seconds) == moved)
    assert sales.directory.members is before.members

    known = {"known_revision": before.revision, "known_parts": before.parts.revisions}
    service = access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]
    request = access_service_pb2.GetDirectoryRequest(**known)
    answer = await crm.channels["organization"].call(service, "GetDirectory", request, token=await crm.link.token())
    assert (answer.HasField("directory"), [part.name for part in answer.parts]) == (False, [WORK_TIMES.name])
