"""Work calendars: each rule, bad input and edge case of the design by name; what holds for every noun is tested elsewhere (tests/contract)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chassis.access.calendars import WorkTimes, message_of
from chassis.kernel.errors import CrmError, Invalid, NotFound, WrongState
from chassis.kernel.worktime import compiled
from services.organization.work_calendars import actions, ics, model, plan, shipped

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def week(*spans: str, weekdays: str = "12345") -> list[dict[str, Any]]:
    """Shifts such as «09:00-12:00» on these weekdays."""
    return [{"weekday": int(day), "start": span[:5], "end": span[6:]} for day in weekdays for span in spans]


def calendar(*spans: str, **more: Any) -> dict[str, Any]:
    return {"_id": "c", "name": "日历", "time_zone": "Asia/Shanghai", "shifts": week(*(spans or ("09:00-12:00", "13:00-18:00"))), **more}


def day(text: str, kind: str = "HOLIDAY", **more: Any) -> dict[str, Any]:
    return {"date": text, "kind": kind, **more}


def hours(line: list[dict[str, Any]], text: str) -> float:
    """Hours of the shifts that start on a day."""
    (found,) = [one for one in plan.month_of(line, text[:7]) if one["date"] == text]
    return float(found["worked_seconds"] / 3600)


def refusal(call: Any) -> CrmError:
    with pytest.raises(CrmError) as refused:
        call()
    return refused.value


# ---- bad input


def test_24_00_is_written_as_00_00_of_the_next_day() -> None:
    found = refusal(lambda: model.check(calendar("22:00-24:00")))
    assert (type(found), found.field) == (Invalid, "shifts[0].end")
    assert "write 00:00 of the next day" in found.message
    model.check(calendar("22:00-00:00"))


@pytest.mark.parametrize("text", ["25:00", "12:60", "9:00", "12.30", "xx:yy", "１２:00"])
def test_what_is_no_time_of_a_day_is_refused_by_its_place(text: str) -> None:
    shifts = [{"weekday": 1, "start": text, "end": "18:00"}]
    assert refusal(lambda: model.check(calendar(shifts=shifts))).field == "shifts[0].start"


def test_shifts_of_a_day_must_not_overlap() -> None:
    shifts = week("08:00-12:00", weekdays="1") + week("11:59-17:00", weekdays="1")
    found = refusal(lambda: model.check(calendar(shifts=shifts)))
    assert (found.code, found.field) == ("SHIFTS_OVERLAP", "shifts[1]")
    assert "Monday 11:59–17:00" in found.message
    model.check(calendar("08:00-12:00", "12:00-17:00"))


@pytest.mark.parametrize(("weekdays", "index"), [("12", 3), ("71", 3)])
def test_a_shift_must_not_reach_into_the_first_one_of_the_next_day_nor_from_sunday_into_monday(weekdays: str, index: int) -> None:
    first, second = weekdays
    shifts = week("22:00-06:00", weekdays=first) + week("14:00-20:00", weekdays="4") + week("21:00-22:00", weekdays=second)
    shifts += week("05:00-08:00", weekdays=second)
    found = refusal(lambda: model.check(calendar(shifts=shifts)))
    assert (found.code, found.field) == ("SHIFTS_OVERLAP", f"shifts[{index}]")
    shifts[-1]["start"] = "06:00"
    model.check(calendar(shifts=shifts))


def test_a_shift_around_the_clock_every_day_is_none_that_overlaps() -> None:
    model.check(calendar(shifts=week("00:00-00:00", weekdays="1234567")))
    assert hours([calendar(shifts=week("00:00-00:00", weekdays="1234567"))], "2026-11-30") == 24


def test_two_entries_for_one_date_are_refused() -> None:
    found = refusal(lambda: model.with_days(calendar(), [day("2026-05-01"), day("2026-05-02"), day("2026-05-01")], None))
    assert (found.code, found.field) == ("DAY_TWICE", "days[2].date")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (day("2026-02-30"), "days[0].date"),
        (day("1999-12-31"), "days[0].date"),
        (day("2101-01-01"), "days[0].date"),
        (day("2026-05-01", as_weekday=1), "days[0].as_weekday"),
        (day("2026-05-01", "SHIFTS"), "days[0].shifts"),
        (day("2026-05-01", shifts=[{"start": "09:00", "end": "10:00"}]), "days[0].shifts"),
        (day("2026-05-01", "SHIFTS", shifts=[{"start": "09:00", "end": "24:00"}]), "days[0].shifts[0].end"),
    ],
)
def test_a_day_that_makes_no_sense_is_refused_by_its_place(given: dict[str, Any], field: str) -> None:
    assert refusal(lambda: model.with_days(calendar(), [given], None)).field == field


def test_shifts_of_a_days_own_overlap_neither_each_other_nor_those_around() -> None:
    known = calendar("08:00-12:00", "22:00-06:00")
    for start, end in (("05:00", "09:00"), ("20:00", "09:00")):
        own = day("2026-05-07", "SHIFTS", shifts=[{"start": start, "end": end}])
        found = refusal(lambda own=own: model.with_days(known, [own], None))
        assert (found.code, found.field) == ("SHIFTS_OVERLAP", "days[0].shifts")
    model.with_days(known, [day("2026-05-07", "SHIFTS", shifts=[{"start": "06:00", "end": "08:00"}])], None)


def test_nothing_to_set_and_days_of_another_year_are_refused() -> None:
    assert refusal(lambda: model.with_days(calendar(), [], None)).field == "days"
    assert refusal(lambda: model.with_days(calendar(), [day("2027-05-01")], 2026)).field == "days[0].date"


def test_more_than_4000_days_are_refused() -> None:
    days = [day((date(2010, 1, 1) + timedelta(days=index)).isoformat(), source="OWN") for index in range(4000)]
    known = calendar(days=days)
    model.check(known)
    assert refusal(lambda: model.with_days(known, [day("2001-01-01")], None)).field == "days"


def test_a_calendar_cannot_stand_on_itself() -> None:
    found = model.base_refusal(calendar(), [{"_id": "b"}, {"_id": "c"}], 0)
    assert found is not None and (found.code, found.field) == ("CALENDAR_CYCLE", "base_calendar_id")


@pytest.mark.parametrize(
    ("above", "below", "refused"), [(1, 0, False), (2, 0, False), (3, 0, True), (1, 1, False), (2, 1, True), (1, 2, True)]
)
def test_three_calendars_stand_on_each_other_at_most(above: int, below: int, refused: bool) -> None:
    found = model.base_refusal(calendar(), [{"_id": f"b{number}"} for number in range(above)], below)
    assert (found is not None and found.code == "CALENDAR_TOO_DEEP") is refused


def test_a_calendar_in_use_is_not_archived_and_it_is_said_by_how_many_of_what() -> None:
    found = model.archive_refusal(calendar(), {"people": 42, "departments": 0, "calendars": 3})
    assert isinstance(found, WrongState) and found.code == "CALENDAR_IN_USE"
    assert found.message == "42 people and 3 calendars use this calendar; give them another first"
    default = model.archive_refusal(calendar(is_default=True), {})
    assert default is not None and default.code == "CALENDAR_IN_USE"
    assert model.archive_refusal(calendar(), {"people": 0}) is None


# ---- what a day is


def test_a_make_up_day_has_the_shifts_of_the_weekday_that_it_names() -> None:
    known = calendar(shifts=[*week("09:00-17:00", weekdays="12345"), *week("18:00-20:00", weekdays="3")])
    assert hours([{**known, "days": [day("2026-05-09", "WORKDAY", as_weekday=3)]}], "2026-05-09") == 10


def test_a_make_up_day_that_names_none_has_those_of_the_nearest_working_weekday_before() -> None:
    known = calendar(shifts=[*week("09:00-17:00", weekdays="1234"), *week("09:00-12:00", weekdays="5")])
    for text in ("2026-05-09", "2026-05-10"):  # a Saturday and a Sunday: as Friday
        assert hours([{**known, "days": [day(text, "WORKDAY")]}], text) == 3
    assert hours([{**known, "shifts": [], "days": [day("2026-05-09", "WORKDAY")]}], "2026-05-09") == 0


def test_the_kind_decides_and_not_the_weekday() -> None:
    line = [
        calendar(
            days=[day("2026-02-28", "WORKDAY"), day("2026-02-27"), day("2026-03-07", "SHIFTS", shifts=[{"start": "10:00", "end": "12:00"}])]
        )
    ]
    assert [hours(line, text) for text in ("2026-02-27", "2026-02-28", "2026-03-01", "2026-03-07")] == [0, 8, 0, 2]


def test_a_day_in_lieu_is_told_apart_by_its_label_and_nothing_is_reckoned_from_it() -> None:
    days = {one["date"]: one for one in shipped.days_of(2026)}
    assert (days["2026-10-05"]["label"], days["2026-10-06"]["label"], days["2026-10-10"]["label"]) == (
        "国庆节",
        "国庆节（调休）",
        "国庆节（补班）",
    )
    assert {days[text]["kind"] for text in ("2026-10-05", "2026-10-06")} == {"HOLIDAY"}


def test_a_month_is_previewed_as_instants_in_the_calendars_zone() -> None:
    months = plan.month_of(
        [calendar("22:00-06:00", days=[day("2026-10-01", label="国庆节")], years=[{"year": 2026, "state": "CONFIRMED"}])], "2026-10"
    )
    assert (len(months), months[0]["stretches"], months[0]["day"]["label"]) == (31, [], "国庆节")
    assert months[1]["stretches"] == [
        {"start_time": datetime(2026, 10, 2, 22, tzinfo=ZONE), "end_time": datetime(2026, 10, 3, 6, tzinfo=ZONE)}
    ]
    assert not any(one["provisional"] for one in months)
    assert all(one["provisional"] for one in plan.month_of([calendar()], "2027-02"))


def test_a_month_in_which_the_clocks_change_shows_the_longer_night() -> None:
    berlin = {**calendar(shifts=week("22:00-06:00", weekdays="1234567")), "time_zone": "Europe/Berlin"}
    found = {one["date"]: one["worked_seconds"] / 3600 for one in plan.month_of([berlin], "2026-10")}
    assert (found["2026-10-24"], found["2026-10-23"]) == (9, 8)


# ---- inheritance


def test_days_and_years_are_inherited_and_the_nearest_says_what_counts() -> None:
    base = calendar(
        days=[day("2026-05-01"), day("2026-05-04")],
        years=[{"year": 2026, "state": "CONFIRMED"}, {"year": 2027, "state": "CONFIRMED"}],
    )
    own = calendar("10:00-12:00", days=[day("2026-05-04", "WORKDAY")], years=[{"year": 2027, "state": "PROVISIONAL"}])
    line = [own, base]
    assert [hours(line, text) for text in ("2026-05-01", "2026-05-04", "2026-05-05")] == [0, 2, 2]
    assert plan.confirmed_years(line) == {2026}


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
        "BEGIN:VEVENT\nDTSTART:20261231T120000\nDTEND:20261231T180000\nSUMMARY:Eve\nEND:VEVENT",
        event("20260601", "", "gone", "STATUS:CANCELLED"),
    )
    found = {one["date"]: one["label"] for one in ics.days_of(text, 2026)}
    assert found == {
        "2026-01-01": "New Year, the first", "2026-01-02": "New Year, the first", "2026-07-04": "Independence Day",
        "2026-12-25": "Christmas", "2026-12-26": "Christmas", "2026-12-31": "Eve",
    }  # fmt: skip


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


# ---- as departments get it


def test_a_calendar_travels_with_all_that_it_inherits_and_comes_out_the_same() -> None:
    base = calendar(_id="base", days=[day("2026-05-01")], years=[{"year": 2026, "state": "CONFIRMED"}], is_default=True)
    own = calendar("22:00-06:00", _id="own", base_calendar_id="base", days=[day("2026-05-09", "WORKDAY"), day("1999-05-09")])
    message = plan.plans_of([base, own], 2026)
    known = WorkTimes.of(type(message).FromString(message.SerializeToString()))
    assert (known.default, known.plans["own"]) == ("base", plan.plan_of([own, base]))
    assert message_of("own", known.plans["own"]) == message.plans[1]
    assert known.effective(("gone", "own")) == "own" and known.effective(("gone",)) == "base"


def test_plans_of_a_circle_that_slipped_in_come_to_an_end() -> None:
    one, other = calendar(_id="a", base_calendar_id="b"), calendar(_id="b", base_calendar_id="a")
    assert len(plan.plans_of([one, other], 2026).plans) == 2


# ---- stories


def test_a_promise_of_eight_working_hours_ends_where_the_shift_ends_also_over_a_holiday_and_the_night_the_clocks_change() -> None:
    shifts = week("08:00-12:00", "13:00-17:00", "22:00-06:00")
    suzhou = compiled(plan.plan_of([calendar(shifts=shifts, days=shipped.days_of(2026))]), date(2026, 1, 1), date(2026, 12, 31))
    begin = datetime(2026, 4, 30, 16, tzinfo=ZONE)  # an hour of the day shift, then the night that runs into 1 May
    assert suzhou.add(begin, 8 * 3600) == datetime(2026, 5, 1, 5, tzinfo=ZONE)
    assert suzhou.add(begin, 9 * 3600) == datetime(2026, 5, 1, 6, tzinfo=ZONE)
    assert suzhou.add(begin, 9 * 3600 + 1) == datetime(2026, 5, 6, 8, 0, 1, tzinfo=ZONE)
    sunday_too = week("22:00-06:00", weekdays="1234567")
    leipzig = compiled(plan.plan_of([{**calendar(shifts=sunday_too), "time_zone": "Europe/Berlin"}]), date(2026, 1, 1), date(2026, 12, 31))
    for month, day, hour in ((3, 28, 6), (10, 24, 4)):  # the clocks go forward in March and back in October
        begin = datetime(2026, month, day, 22, tzinfo=ZoneInfo("Europe/Berlin"))
        assert leipzig.add(begin, 7 * 3600).astimezone(ZoneInfo("Europe/Berlin")).hour == hour
