"""Years of a work calendar: shipped, brought in by files and rows, provisional and confirmed."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from chassis.kernel.errors import Invalid, NotFound, WrongState
from chassis.kernel.worktime import compiled
from services.organization.work_calendars import actions, ics, model, plan, shipped
from tests.unit.organization.test_work_calendars import calendar, day, refusal

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")

# ---- years


def test_a_year_brought_in_is_provisional_until_it_is_confirmed() -> None:
    values, changes = model.imported(calendar(), 2026, shipped.days_of(2026), "SHIPPED")
    assert values["years"] == [{"year": 2026, "state": "PROVISIONAL"}]
    assert len(changes) == len(values["days"]) == 39
    assert all("before" not in change and change["after"]["source"] == "SHIPPED" for change in changes)
    known = calendar(**values)
    sure = model.confirmed(known, 2026, "p1", NOW)
    assert sure["years"] == [{"year": 2026, "state": "CONFIRMED", "confirmer_id": "p1", "confirm_time": NOW}]
    assert isinstance(refusal(lambda: model.confirmed({**known, **sure}, 2026, "p1", NOW)), WrongState)


def test_shipped_days_never_overwrite_ones_own_and_the_difference_is_told() -> None:
    own = model.with_days(calendar(), [day("2026-02-28", label="本厂不补班"), day("2026-12-31", label="盘点")], None)
    values, changes = model.imported(calendar(**own), 2026, shipped.days_of(2026), "SHIPPED")
    kept = {one["date"]: one for one in values["days"] if one["source"] == "OWN"}
    assert {key: one["label"] for key, one in kept.items()} == {"2026-02-28": "本厂不补班", "2026-12-31": "盘点"}
    (told,) = [change for change in changes if "refused" in change]
    assert (told["date"], told["after"]["kind"], told["refused"]["kind"]) == ("2026-02-28", "HOLIDAY", "WORKDAY")


def test_an_import_takes_out_what_was_brought_in_before_and_says_nothing_of_what_stays() -> None:
    first, _ = model.imported(calendar(), 2026, [day("2026-05-01", label="劳动节"), day("2026-05-02")], "IMPORTED")
    sure = model.confirmed(calendar(**first), 2026, "p1", NOW)
    known = calendar(**{**first, **sure})
    values, changes = model.imported(known, 2026, [day("2026-05-01", label="劳动节"), day("2026-05-03")], "SHIPPED")
    assert [(change["date"], "before" in change, "after" in change) for change in changes] == [
        ("2026-05-02", True, False),
        ("2026-05-03", False, True),
    ]
    assert values["years"] == [{"year": 2026, "state": "PROVISIONAL"}]
    again, nothing = model.imported(known, 2026, [day("2026-05-01", label="劳动节"), day("2026-05-02")], "IMPORTED")
    assert nothing == [] and "years" not in again and again["days"] == known["days"]


def test_days_set_by_hand_count_at_once_and_a_year_can_be_replaced() -> None:
    known = calendar(days=[{**one, "source": "SHIPPED"} for one in shipped.days_of(2026)])
    added = model.with_days(known, [day("2026-11-11", label="光棍节")], None)
    assert len(added["days"]) == 40 and added["days"] == sorted(added["days"], key=lambda one: one["date"])
    alone = model.with_days(calendar(**added), [day("2026-01-01")], 2026)
    assert [(one["date"], one["source"]) for one in alone["days"]] == [("2026-01-01", "OWN")]


def test_days_are_taken_out_and_what_cannot_be_is_refused_by_its_place() -> None:
    known = calendar(**model.with_days(calendar(), [day("2026-05-01"), day("2026-05-02"), day("2026-05-03")], None))
    left = model.with_days(known, [day("2026-05-04")], None, ["2026-05-01", "2026-05-03"])
    assert [one["date"] for one in left["days"]] == ["2026-05-02", "2026-05-04"]
    for days, removed, code, path in (
        ([day("2026-05-01")], ["2026-05-02", "2026-05-01"], "DAY_TWICE", "remove_dates[1]"),
        ([], ["2026-05-01", "2026-05-01"], "DAY_TWICE", "remove_dates[1]"),
        ([], ["2026-05-05"], "INVALID_ARGUMENT", "remove_dates[0]"),
    ):
        found = refusal(lambda days=days, removed=removed: model.with_days(known, days, None, removed))
        assert (found.code, found.field) == (code, path)
        assert found.message.startswith(removed[-1])


# ---- what is shipped


@pytest.mark.parametrize(("year", "days"), [(2004, 252), (2013, 250), (2020, 249), (2024, 251), (2025, 248), (2026, 248)])
def test_working_days_of_the_years_that_are_shipped(year: int, days: int) -> None:
    line = [calendar(days=shipped.days_of(year))]
    found = [one for month in range(1, 13) for one in plan.month_of(line, f"{year}-{month:02}") if one["worked_seconds"]]
    assert len(found) == days


def test_make_up_days_of_2026() -> None:
    found = [one["date"] for one in shipped.days_of(2026) if one["kind"] == "WORKDAY"]
    assert found == ["2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10"]


def test_lunar_new_years_eve_is_data_and_no_rule() -> None:
    eves = {2024: "2024-02-09", 2025: "2025-01-28", 2026: "2026-02-16"}
    assert {year: eve in {one["date"] for one in shipped.days_of(year)} for year, eve in eves.items()} == {
        2024: False,
        2025: True,
        2026: True,
    }


def test_every_shipped_year_is_sound_and_a_year_that_is_not_shipped_says_so() -> None:
    assert shipped.years() == tuple(range(2004, 2037))
    assert [year for year in shipped.years() if shipped.is_announced(year)] == list(range(2004, 2027))
    for year in shipped.years():
        days = shipped.days_of(year)
        model.check_days(days, [], year)
        assert days == sorted(days, key=lambda one: one["date"])
    found = refusal(lambda: shipped.days_of(2003))
    assert (type(found), found.code) == (NotFound, "CALENDAR_YEAR_NOT_SHIPPED")


def test_nothing_fails_because_a_year_is_missing_it_is_reckoned_and_told_as_provisional() -> None:
    known = compiled(plan.plan_of([calendar()]), date(2037, 1, 1), date(2039, 12, 31))
    begin = datetime(2038, 1, 4, 9, tzinfo=ZONE)
    assert known.add(begin, 8 * 3600) == datetime(2038, 1, 4, 18, tzinfo=ZONE)
    assert known.is_provisional(begin, known.add(begin, 8 * 3600))


def test_the_calendar_that_is_delivered_is_of_the_companys_zone_and_has_the_days_of_mainland_china_only_there() -> None:
    found = actions.delivered("Asia/Shanghai", 2026)
    model.check(found)
    states = {one["year"]: one["state"] for one in found["years"]}
    assert (states[2024], states[2026], states[2027], min(states), max(states)) == ("CONFIRMED", "CONFIRMED", "PROVISIONAL", 2024, 2036)
    assert actions.delivered("Europe/Berlin", 2026).keys() == {"time_zone", "shifts", "is_default"}


# ---- files


def event(begin: str, end: str = "", summary: str = "", *more: str) -> str:
    lines = [
        f"DTSTART;VALUE=DATE:{begin}",
        *([f"DTEND;VALUE=DATE:{end}"] if end else []),
        *([f"SUMMARY:{summary}"] if summary else []),
        *more,
    ]
    return "\r\n".join(["BEGIN:VEVENT", *lines, "END:VEVENT"])


def file(*events: str) -> str:
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *events, "END:VCALENDAR", ""])


def test_a_file_of_holidays_and_make_up_days_is_read() -> None:
    text = file(
        event("20261001", "20261008", "国庆节 休"), event("20261010", "20261011", "国庆节 班"), event("20260501", "", "劳动节（休）"),
        event("20260509", "", "劳动节（班）"), event("20270101", "", "元旦"),
    )  # fmt: skip
    found = {one["date"]: (one["kind"], one["label"]) for one in ics.days_of(text, 2026)}
    assert len(found) == 10
    assert found["2026-10-07"] == ("HOLIDAY", "国庆节 休")
    assert (found["2026-10-10"][0], found["2026-05-09"][0], found["2026-05-01"][0]) == ("WORKDAY", "WORKDAY", "HOLIDAY")


def test_of_a_file_that_marks_special_days_only_those_count() -> None:
    text = file(
        event("20260104", "", "小寒"), event("20260101", "", "元旦", "X-APPLE-SPECIAL-DAY:WORK-HOLIDAY"),
        event("20260104", "", "元旦", "X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY"),
    )  # fmt: skip
    assert [(one["date"], one["kind"]) for one in ics.days_of(text, 2026)] == [("2026-01-01", "HOLIDAY"), ("2026-01-04", "WORKDAY")]


def test_folded_lines_escapes_durations_moments_and_yearly_events_are_understood() -> None:
    text = file(
        event("20260101", "", "New Year\\, the\r\n  first", "DURATION:P2D"),
        event("20100704", "20100705", "Independence Day", "RRULE:FREQ=YEARLY"),
        "BEGIN:VEVENT\nDTSTART:20261225T000000Z\nDTEND:20261227T000000Z\nSUMMARY:Christmas\nEND:VEVENT",
        "BEGIN:VEVENT\nDTSTART:20251231T120000\nDTEND:20251231T180000\nSUMMARY:Eve\nEND:VEVENT",
        event("20260601", "", "gone", "STATUS:CANCELLED"),
    )
    found = {one["date"]: one["label"] for one in ics.days_of(text, 2026)}
    assert found == {
        "2026-01-01": "New Year, the first", "2026-01-02": "New Year, the first", "2026-07-04": "Independence Day",
        "2026-12-25": "Christmas", "2026-12-26": "Christmas",
    }  # fmt: skip


@pytest.mark.parametrize(
    "lines",
    ["DTSTART:20261231T120000\nDTEND:20261231T180000", "DTSTART:20261231T000000\nDTEND:20261231T120000", "DTSTART:20261231T000000",
     "DTSTART;TZID=Asia/Shanghai:20261231T090000\nDURATION:PT1H", "DTSTART:20261231T090000\nDURATION:P1D",
     "DTSTART:20251231T220000\nDTEND:20260101T020000"],
)  # fmt: skip
def test_an_appointment_makes_no_day_free(lines: str) -> None:
    found = refusal(lambda: ics.days_of(file(event("20260101"), f"BEGIN:VEVENT\n{lines}\nSUMMARY:盘点\nEND:VEVENT"), 2026))
    assert (found.code, found.field) == ("CALENDAR_FILE_UNREADABLE", "file")
    assert "«盘点»" in found.message and "has a time of day" in found.message


def test_a_file_of_more_events_than_a_lifetime_has_holidays_is_refused_and_the_largest_is_read_soon() -> None:
    longest = [event("19000101", "29991231", "x")] * ics.MOST_EVENTS
    began = time.process_time()
    assert len(ics.days_of(file(*longest), 2026)) == 365
    assert time.process_time() - began < 10
    found = refusal(lambda: ics.days_of(file(*longest, event("20260101")), 2026))
    assert (found.code, "more than 2000 events" in found.message) == ("CALENDAR_FILE_UNREADABLE", True)


@pytest.mark.parametrize(
    "lines",
    [("99991231", "", "x", "DURATION:P999W"), ("00010101", "00010101"), ("00010101", "99991231", "x", "RRULE:FREQ=YEARLY;UNTIL=99991231T000000Z")],
)  # fmt: skip
def test_days_at_the_ends_of_time_do_no_harm(lines: tuple[str, ...]) -> None:
    assert "2026-05-01" in {one["date"] for one in ics.days_of(file(event("20260501"), event(*lines)), 2026)}


def test_two_holidays_on_one_day_are_one_and_a_day_that_is_both_is_refused() -> None:
    both = ics.days_of(file(event("20251006", "", "国庆节"), event("20251006", "", "中秋节")), 2025)
    assert both == [{"date": "2025-10-06", "kind": "HOLIDAY", "label": "国庆节、中秋节"}]
    found = refusal(lambda: ics.days_of(file(event("20251006", "", "国庆节"), event("20251006", "", "补班")), 2025))
    assert (found.code, found.field) == ("DAY_TWICE", "file")


@pytest.mark.parametrize(
    "text",
    ["", "hello", file(), file(event("20250101")), file(event("2026-1-1")), file(event("20260230")), file("BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT"),
     file(event("20260101", "", "x", "RRULE:FREQ=WEEKLY")), file(event("20260101")) + "x" * 1024 * 1024],
    ids=["empty", "no calendar", "no event", "another year", "no date", "no such day", "no start", "weekly", "over 1 MB"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused(text: str) -> None:
    found = refusal(lambda: ics.days_of(text, 2026))
    assert (type(found), found.code, found.field) == (Invalid, "CALENDAR_FILE_UNREADABLE", "file")
