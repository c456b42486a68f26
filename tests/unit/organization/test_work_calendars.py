"""Work calendars: each rule, bad input and edge case of the design by name; what holds for every noun is tested elsewhere (tests/contract)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chassis.access.calendars import WorkTimes, message_of
from chassis.kernel.errors import CrmError, Invalid, WrongState
from chassis.kernel.worktime import compiled
from services.organization.work_calendars import model, plan, shipped

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
    found = model.base_refusal(calendar(), ["b", "c"], 0)
    assert found is not None and (found.code, found.field) == ("CALENDAR_CYCLE", "base_calendar_id")


@pytest.mark.parametrize(
    ("above", "below", "refused"), [(1, 0, False), (2, 0, False), (3, 0, True), (1, 1, False), (2, 1, True), (1, 2, True)]
)
def test_three_calendars_stand_on_each_other_at_most(above: int, below: int, refused: bool) -> None:
    found = model.base_refusal(calendar(), [f"b{number}" for number in range(above)], below)
    assert (found is not None and found.code == "CALENDAR_TOO_DEEP") is refused


def test_what_stands_on_what_is_counted_upward_and_downward_and_a_circle_ends() -> None:
    bases = {"a": "b", "b": "c", "x": "c", "y": "z", "z": "y"}
    assert (model.above(bases, "a"), model.above(bases, None), model.above(bases, "y")) == (["a", "b", "c"], [], ["y", "z"])
    assert [model.below(bases, one) for one in ("c", "b", "a", "", "y")] == [2, 1, 0, 0, 1]


def test_more_calendars_than_departments_carry_do_not_come_into_use() -> None:
    found = model.full_refusal(model.MOST_CALENDARS)
    assert found is not None and found.code == "CALENDARS_FULL" and "500 calendars are in use" in found.message
    assert model.full_refusal(model.MOST_CALENDARS - 1) is None


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
