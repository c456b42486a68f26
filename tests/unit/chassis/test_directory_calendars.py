"""Work calendars as departments hold them: whose counts, reckoned while the organization is away, compiled once a revision."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from crm.common.v1 import access_pb2, access_service_pb2, work_plan_pb2

from chassis.access.authority import Authority
from chassis.access.calendars import horizon, message_of, upward
from chassis.access.directory import Directory
from chassis.access.parts import WORK_TIMES
from chassis.kernel import worktime
from chassis.kernel.errors import Conflict, CrmError, Invalid
from chassis.kernel.worktime import Plan, Span, compiled

OFFICE: tuple[Span, ...] = ((540, 1080),)
WEEK = (*[OFFICE] * 5, (), ())
BEGIN = datetime(2026, 11, 2, 9, tzinfo=UTC)


class Organization:
    """What it tells: two people in a team of a department, calendars, and whether it is away."""

    def __init__(self, *calendars: str) -> None:
        self.away, self.revision, self.free = False, 1, set[date]()
        self.calendars, self.sent = calendars, 0

    async def fetch(self, request: access_service_pb2.GetDirectoryRequest) -> access_service_pb2.GetDirectoryResponse:
        if self.away:
            raise CrmError("the organization is away")
        answer = access_service_pb2.GetDirectoryResponse()
        if not request.known_revision:
            directory = answer.directory
            directory.revision = 1
            directory.units.add(department_id="top", work_calendar_id="of-top")
            directory.units.add(department_id="dept", ancestor_ids=["top"])
            directory.units.add(department_id="group", ancestor_ids=["top", "dept"], work_calendar_id="of-group")
            directory.units.add(department_id="team", ancestor_ids=["top", "dept", "group"])
            directory.members.add(person_id="own", department_id="dept", team_id="team", active=True, work_calendar_id="of-own")
            directory.members.add(person_id="plain", department_id="dept", team_id="team", active=True)
            directory.members.add(person_id="alone", department_id="dept", active=True)
        elif request.known_parts.get(WORK_TIMES.name, 0) != self.revision and self.calendars:
            plans = work_plan_pb2.WorkPlans(default_calendar_id=self.calendars[0])
            for calendar in self.calendars:
                plans.plans.append(message_of(calendar, Plan("UTC", WEEK, dict.fromkeys(self.free, ()))))
            part = access_pb2.DirectoryPart(name=WORK_TIMES.name, revision=self.revision)
            part.content.Pack(plans)
            answer.parts.append(part)
            self.sent += 1
        return answer


def authority(organization: Organization) -> Authority:
    async def keys() -> dict[str, bytes]:
        return {}

    return Authority(organization.fetch, keys)


async def loaded(*calendars: str) -> tuple[Organization, Authority]:
    organization = Organization(*calendars)
    department = authority(organization)
    assert await department.refresh()
    return organization, department


async def test_the_own_calendar_counts_else_the_nearest_units_else_the_default() -> None:
    _, department = await loaded("usual", "of-own", "of-group", "of-top")
    directory = department.directory
    people = {person: directory.calendar_of(person) for person in ("own", "plain", "alone", "nobody")}
    assert people == {"own": "of-own", "plain": "of-group", "alone": "of-top", "nobody": "usual"}
    assert [directory.calendar_of(department_id=unit) for unit in ("team", "dept", "nowhere")] == ["of-group", "of-top", "usual"]


async def test_a_calendar_that_is_out_of_use_gives_way_to_the_next() -> None:
    _, department = await loaded("usual", "of-top")
    assert {person: department.directory.calendar_of(person) for person in ("own", "plain")} == {"own": "of-top", "plain": "of-top"}
    begun = department.directory.working_time(BEGIN, calendar_id="gone").add(BEGIN, 3600)
    assert begun == BEGIN.replace(hour=10)


async def test_departments_reckon_while_the_organization_is_away() -> None:
    organization, department = await loaded("usual")
    organization.free.add(date(2026, 11, 2))
    organization.revision += 1
    assert await department.refresh()
    organization.away = True
    assert await department.refresh()
    for whose in ({"person_id": "plain"}, {"department_id": "team"}, {"calendar_id": "usual"}):
        assert department.directory.working_time(BEGIN, **whose).add(BEGIN, 3600) == BEGIN.replace(day=3, hour=10)


async def test_a_calendar_is_compiled_when_it_is_asked_for_and_once_a_revision_and_edition(monkeypatch: pytest.MonkeyPatch) -> None:
    organization, department = await loaded("usual", "other")
    first = department.directory.working_time(BEGIN, calendar_id="usual")
    assert department.directory.working_time(BEGIN, calendar_id="usual") is first
    monkeypatch.setattr("chassis.access.calendars.tzdata_version", lambda: "2099z")
    assert department.directory.working_time(BEGIN, calendar_id="usual") is not first
    organization.revision += 1
    await department.refresh()
    assert organization.sent == 2
    assert department.directory.working_time(BEGIN, calendar_id="usual") is not first


async def test_as_long_as_no_calendars_came_it_says_so_and_may_be_tried_again() -> None:
    _, department = await loaded()
    with pytest.raises(Conflict) as refused:
        department.directory.working_time(BEGIN, person_id="plain")
    assert (refused.value.code, refused.value.retryable) == ("BUSY", True)
    with pytest.raises(Conflict):
        Directory().working_time(BEGIN)


def test_two_years_back_and_six_ahead_are_reckoned() -> None:
    known = compiled(Plan("UTC", WEEK), *horizon(2026))
    for moment in (datetime(2024, 1, 1, tzinfo=UTC), datetime(2032, 12, 31, 23, tzinfo=UTC)):
        known.next_working(moment)
    with pytest.raises(Invalid):
        known.is_working(datetime(2033, 1, 5, tzinfo=UTC))
    assert known.tzdata == worktime.tzdata_version()


def test_units_are_looked_through_each_with_those_above_it() -> None:
    above = {"team": ("group", "dept", "top"), "dept": ("top",)}
    assert upward(("team", "dept"), above) == ["team", "group", "dept", "top", "dept", "top"]
