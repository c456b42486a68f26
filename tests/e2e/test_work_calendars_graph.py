"""Work calendars in the graph: whose counts, a month, working time, and a year that is imported, looked at and confirmed."""

from __future__ import annotations

from typing import Any

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.installation import Installation

WEEK = [{"weekday": weekday, "start": "09:00", "end": "17:00"} for weekday in range(1, 6)]
CREATE = """mutation($input: WorkCalendarCreateInput!) {
  workCalendarCreate(input: $input) { workCalendar { id version isDefault days { date } years { year } } errors { code path } } }"""
IMPORT = """mutation($input: WorkCalendarImportYearInput!) { workCalendarImportYear(input: $input) {
  workCalendar { version days { date kind source } years { year state } }
  changes { date before { kind } after { kind label } refused { kind } } errors { code message path } } }"""
CONFIRM = """mutation($input: WorkCalendarConfirmYearInput!) {
  workCalendarConfirmYear(input: $input) { workCalendar { years { year state confirmerId } } errors { code } } }"""


async def made(crm: Installation) -> str:
    values = {"name": f"图 {new_id()}", "timeZone": "Asia/Shanghai", "shifts": WEEK}
    answer = (await crm.data(CREATE, input=values))["workCalendarCreate"]
    assert answer["errors"] == []
    return str(answer["workCalendar"]["id"])


async def test_a_year_is_imported_looked_at_and_confirmed(crm: Installation) -> None:
    calendar = await made(crm)
    trial: dict[str, Any] = {"workCalendarId": calendar, "year": 2026, "source": "SHIPPED", "validateOnly": True}
    looked = (await crm.data(IMPORT, input=trial))["workCalendarImportYear"]
    assert (len(looked["changes"]), looked["errors"]) == (39, [])
    assert {"date": "2026-02-14", "before": None, "after": {"kind": "WORKDAY", "label": "春节（补班）"}, "refused": None} in looked[
        "changes"
    ]
    stored = "query($id: ID!) { workCalendar(id: $id) { version days { date } } }"
    assert (await crm.data(stored, id=calendar))["workCalendar"] == {"version": 1, "days": []}
    done = (await crm.data(IMPORT, input={**trial, "validateOnly": False}))["workCalendarImportYear"]
    assert (done["changes"], done["workCalendar"]["version"]) == (looked["changes"], 2)
    assert done["workCalendar"]["years"] == [{"year": 2026, "state": "PROVISIONAL"}]
    sure = (await crm.data(CONFIRM, input={"workCalendarId": calendar, "year": 2026}))["workCalendarConfirmYear"]
    coordinator = to_global("Person", crm.people["COORDINATOR"])
    assert sure["workCalendar"]["years"] == [{"year": 2026, "state": "CONFIRMED", "confirmerId": coordinator}]
    refused = (await crm.data(IMPORT, input={**trial, "source": "ICS", "file": "x"}))["workCalendarImportYear"]["errors"]
    assert [(one["code"], one["path"]) for one in refused] == [("CALENDAR_FILE_UNREADABLE", ["input", "file"])]
    late = (await crm.data(CONFIRM, role="SALES_LEAD", input={"workCalendarId": calendar, "year": 2027}))["workCalendarConfirmYear"]
    assert [one["code"] for one in late["errors"]] == ["NOT_ALLOWED"]


async def test_a_person_and_a_department_show_the_calendar_that_counts(crm: Installation) -> None:
    query = """{ viewer { ownWorkCalendar { id } workCalendar { isDefault timeZone } }
        departments(first: 2) { nodes { ownWorkCalendar { id } workCalendar { isDefault } } } }"""
    found = await crm.data(query, role="SALES_REP")
    assert found["viewer"]["workCalendar"]["timeZone"] == "Asia/Shanghai"
    assert all(unit["workCalendar"] for unit in found["departments"]["nodes"])


async def test_a_month_and_working_time_are_asked_in_the_graph(crm: Installation) -> None:
    calendar = await made(crm)
    await crm.data(IMPORT, input={"workCalendarId": calendar, "year": 2026, "source": "SHIPPED"})
    month = """query($id: ID!, $month: String!) {
      workCalendarMonth(id: $id, month: $month) { date day { label kind } workedSeconds provisional stretches { startTime endTime } } }"""
    days = (await crm.data(month, role="SALES_REP", id=calendar, month="2026-10"))["workCalendarMonth"]
    assert (len(days), days[0]["day"], days[0]["workedSeconds"]) == (31, {"label": "国庆节", "kind": "HOLIDAY"}, 0)
    assert days[9]["day"] == {"label": "国庆节（补班）", "kind": "WORKDAY"} and days[9]["workedSeconds"] == 8 * 3600
    time = """query($id: ID, $from: DateTime!, $seconds: Int, $to: DateTime) {
      workingTime(workCalendarId: $id, startTime: $from, endTime: $to, seconds: $seconds) {
        workCalendarId workedSeconds endTime isWorking nextWorkingTime provisional } }"""
    asked = {"id": calendar, "from": "2026-09-30T16:00:00+08:00", "seconds": 2 * 3600}
    due = (await crm.data(time, role="SALES_REP", **asked))["workingTime"]
    assert (due["workCalendarId"], due["endTime"], due["isWorking"], due["provisional"]) == (
        calendar,
        "2026-10-08T02:00:00.000Z",
        True,
        True,
    )
    body = await crm.graph(time, "SALES_REP", **{**asked, "to": "2026-10-09T16:00:00+08:00"})
    assert body["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"
    wrong = await crm.graph(month, "SALES_REP", id=calendar, month="October")
    assert wrong["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"
