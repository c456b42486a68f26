"""Fiscal calendars over gRPC and in the graph: units inherit, a change counts from a coming year only, departments hold them."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.support.checks import mask, refused
from tests.support.installation import Installation

RESOURCE = "organization.fiscal_calendars"
MONTHS, WEEKS_4_5_4 = 1, 3


async def unit(crm: Installation, parent: str = "") -> str:
    """A company of its own, so that no test of another file sees its calendars."""
    answer = await crm.ask("CreateDepartment", name="财年公司", kind=3, **({"parent_id": parent} if parent else {}))
    return str(answer.department.id)


async def make(crm: Installation, unit_id: str, year: int, role: str = "COORDINATOR", **more: Any) -> Any:
    values = {"name": "财年", "year_start_month": 4, "pattern": MONTHS, "valid_from_year": year, **more}
    return (await crm.ask("CreateFiscalCalendar", role=role, unit_id=unit_id, **values)).fiscal_calendar


async def test_a_unit_below_inherits_and_before_the_first_year_the_company_s_counts(crm: Installation) -> None:
    company = await unit(crm)
    below = await unit(crm, company)
    made = await make(crm, company, 2024)
    assert (made.key, made.week_start, made.version) == (f"{company}-2024", 1, 1)
    day = (await crm.ask("GetFiscalDay", role="SALES_REP", unit_id=below, date="2026-02-10")).fiscal_day
    assert (day.year.number, day.quarter.number, day.period.number, day.period.first_date) == (2025, 4, 11, "2026-02-01")
    year = (await crm.ask("GetFiscalYear", unit_id=below, year=2025)).fiscal_year
    assert (year.first_date, year.last_date, len(year.periods), len(year.quarters)) == ("2025-04-01", "2026-03-31", 12, 4)
    before = (await crm.ask("GetFiscalYear", unit_id=below, year=2023)).fiscal_year
    assert (before.first_date, before.last_date, len(before.periods)) == ("2023-01-01", "2024-03-31", 15)
    await refused(crm, RESOURCE, crm.ask("GetFiscalDay", unit_id="nobody"), "REFERENCE_NOT_FOUND", field="unit_id")
    await refused(crm, RESOURCE, crm.ask("GetFiscalDay", unit_id=below, date="2026-02-30"), "INVALID_ARGUMENT", field="date")

    def held() -> Any:
        return crm.suite["sales"].own_call("test").fiscal(below).of_day(date(2026, 2, 10)).period.number

    await crm.until(lambda: held() == 11)


async def test_what_has_begun_does_not_move(crm: Installation) -> None:
    company = await unit(crm)
    today = crm.suite["organization"].own_call("test").today
    first = await make(crm, company, today.year - 2)
    key = {"fiscal_calendar_id": first.id}
    begun = make(crm, company, today.year - 1, year_start_month=1)
    await refused(crm, RESOURCE, begun, "FISCAL_YEAR_BEGUN", field="valid_from_year")
    changed = crm.ask("UpdateFiscalCalendar", role="COORDINATOR", version=1, update_mask=mask("pattern"), pattern=WEEKS_4_5_4, **key)
    await refused(crm, RESOURCE, changed, "FISCAL_YEAR_BEGUN", field="pattern", record_id=first.id)
    gone = crm.ask("ArchiveFiscalCalendar", role="COORDINATOR", **key)
    await refused(crm, RESOURCE, gone, "FISCAL_YEAR_BEGUN", record_id=first.id)
    named = await crm.ask("UpdateFiscalCalendar", role="COORDINATOR", version=1, update_mask=mask("name"), name="集团财年", **key)
    assert named.fiscal_calendar.name == "集团财年"

    coming = await make(crm, company, today.year + 2, year_start_month=1)
    year = (await crm.ask("GetFiscalYear", unit_id=company, year=today.year + 1)).fiscal_year
    assert (year.first_date, year.last_date) == (f"{today.year + 1}-04-01", f"{today.year + 1}-12-31")  # nine months
    again = make(crm, company, today.year + 2)
    await refused(crm, RESOURCE, again, "FISCAL_CALENDAR_TAKEN", field="key")
    later = {"fiscal_calendar_id": coming.id}
    await crm.ask("ArchiveFiscalCalendar", role="COORDINATOR", **later)
    year = (await crm.ask("GetFiscalYear", unit_id=company, year=today.year + 1)).fiscal_year
    assert year.last_date == f"{today.year + 2}-03-31"
    assert not (await crm.ask("RestoreFiscalCalendar", role="COORDINATOR", **later)).fiscal_calendar.HasField("archive_time")


async def test_an_import_moves_no_year_that_has_begun_either(crm: Installation) -> None:
    company = await unit(crm)
    today = crm.suite["organization"].own_call("test").today
    row = {"name": "财年", "unit_id": company, "year_start_month": 4, "pattern": MONTHS}
    rows = [{**row, "source_key": f"t:{company}:{year}", "valid_from_year": year} for year in (today.year - 5, today.year - 3)]
    first = await crm.ask("BatchUpsertFiscalCalendars", role="COORDINATOR", fiscal_calendars=rows)
    assert [one.error_code for one in first.outcomes] == ["", ""]  # both belong to how it was set up
    rows = [{**rows[0], "year_start_month": 7}, {**rows[1], "source_key": "t:new", "valid_from_year": today.year - 1}, rows[1]]
    again = await crm.ask("BatchUpsertFiscalCalendars", role="COORDINATOR", fiscal_calendars=rows)
    assert [one.error_code for one in again.outcomes] == ["FISCAL_YEAR_BEGUN", "FISCAL_YEAR_BEGUN", ""]


async def test_not_everybody_writes_one_and_its_unit_must_be_there(crm: Installation) -> None:
    company = await unit(crm)
    for role in ("SALES_REP", "SUPPORT_AGENT"):
        await refused(crm, RESOURCE, make(crm, company, 2040, role), "NOT_ALLOWED")
    await refused(crm, RESOURCE, make(crm, "nobody", 2040), "REFERENCE_NOT_FOUND", field="unit_id")
    await refused(crm, RESOURCE, make(crm, company, 2040, year_start_month=13), "INVALID_ARGUMENT", field="year_start_month")
    assert (await make(crm, company, 2040, "ADMINISTRATOR")).version == 1


async def test_a_person_sees_the_fiscal_place_of_a_day_in_the_graph(crm: Installation) -> None:
    company = await unit(crm)
    await make(crm, company, 2024, year_start_month=2, pattern=WEEKS_4_5_4, week_start=7, time_zone="America/New_York")
    node = await crm.data(
        "{ fiscalCalendars(first: 100, orderBy: CREATE_TIME_DESC) { nodes { key pattern timeZone weekStart unit { id name } } } }"
    )
    found = next(one for one in node["fiscalCalendars"]["nodes"] if one["key"] == f"{company}-2024")
    assert (found["pattern"], found["timeZone"], found["weekStart"], found["unit"]["name"]) == (
        "WEEKS_4_5_4",
        "America/New_York",
        7,
        "财年公司",
    )
    data = await crm.data(
        """query($unit: ID!) {
             fiscalDay(unitId: $unit, date: "2025-01-30") { year { number } quarter { number } period { number firstDate lastDate } week { number } }
             fiscalYear(unitId: $unit, year: 2024) { firstDate lastDate weeks { number } periods { number } }
             today: fiscalDay { date year { number } } }""",
        "SALES_REP",
        unit=found["unit"]["id"],
    )
    assert data["fiscalDay"] == {
        "year": {"number": 2024}, "quarter": {"number": 4}, "week": {"number": 52},
        "period": {"number": 12, "firstDate": "2025-01-05", "lastDate": "2025-02-01"},
    }  # fmt: skip
    year = data["fiscalYear"]
    assert (year["firstDate"], year["lastDate"], len(year["weeks"]), len(year["periods"])) == ("2024-02-04", "2025-02-01", 52, 12)
    assert data["today"]["date"] == crm.suite["organization"].own_call("test").today.isoformat()
