"""Working time against a counter of minutes: a minute counts when its wall time lies in a shift. Every rule and edge of the design by name."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.kernel import worktime
from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.worktime import Plan, WorkTime, compiled, spans_of
from tests.support.samples import rounds

ZONES = (
    "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu", "Asia/Shanghai", "America/New_York", "Europe/Berlin",
    "America/Sao_Paulo", "Asia/Tehran", "Pacific/Chatham",
)  # fmt: skip
# Around which days something happens to the clocks: half of the questions are asked there.
EVENTS = {
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)), "Pacific/Apia": (date(2011, 12, 30), date(2012, 4, 1)),
    "Africa/Casablanca": (date(2026, 2, 15), date(2026, 3, 22)), "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)), "America/Sao_Paulo": (date(2018, 11, 4), date(2019, 2, 17)),
    "Asia/Tehran": (date(2022, 3, 22), date(2022, 9, 22)), "Pacific/Chatham": (date(2026, 4, 5), date(2026, 9, 27)),
}  # fmt: skip
OFFICE = spans_of([{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "18:00"}])
PLANT = spans_of([{"start": "08:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}, {"start": "22:00", "end": "06:00"}])
WINDOW, QUESTIONS = 24, 500
MINUTE = timedelta(minutes=1)


def week(spans: worktime.Span | tuple[worktime.Span, ...]) -> tuple[tuple[worktime.Span, ...], ...]:
    """These shifts from Monday to Friday."""
    return (*[spans] * 5, (), ())  # type: ignore[return-value]


def at(zone: str, text: str, *, fold: int = 0) -> datetime:
    """The instant of a wall time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def wall(zone: str, moment: datetime) -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def reckon(plan: Plan, year: int = 2026) -> WorkTime:
    return compiled(plan, date(year - 1, 1, 1), date(year + 1, 12, 31))


# ---- the counter of minutes


def counts(plan: Plan, moment: datetime) -> bool:
    """Whether a minute counts: its wall time lies in a shift of that day, or in one of the day before that runs over midnight."""
    local = moment.astimezone(ZoneInfo(plan.zone))
    minute = local.hour * 60 + local.minute
    for back in (0, 1):
        day = local.date() - timedelta(days=back)
        spans = plan.days.get(day, plan.week[day.weekday()])
        if any(begin <= minute + 1440 * back < end for begin, end in spans):
            return True
    return False


def drawn_spans(rng: random.Random, most: int) -> tuple[worktime.Span, ...]:
    edges = sorted(rng.sample(range(0, 1440, rng.choice((1, 15, 30))), 2 * rng.randint(0, most)))
    found = [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    if found and rng.random() < 0.3:  # the last one runs over midnight
        found[-1] = (found[-1][0], 1440 + rng.randint(0, found[0][0]))
    return tuple(found)


def drawn_plan(rng: random.Random, zone: str, first: date) -> Plan:
    days = {first + timedelta(days=rng.randrange(WINDOW)): drawn_spans(rng, 2) for _ in range(rng.randint(0, 6))}
    return Plan(zone, tuple(drawn_spans(rng, 3) if rng.random() < 0.8 else () for _ in range(7)), days)


def questions(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Differences between the compiled plan and the counter, of one drawn plan and its 500 questions."""
    zone = rng.choice(ZONES)
    middle = rng.choice(EVENTS.get(zone, (date(2026, 2, 17),))) if rng.random() < 0.5 else date(2024, 1, 1) + timedelta(rng.randrange(2000))
    first = middle - timedelta(days=WINDOW // 2)
    plan = drawn_plan(rng, zone, first)
    known = compiled(plan, first, first + timedelta(days=WINDOW))
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    minutes = [counts(plan, begin + MINUTE * index) for index in range(WINDOW * 1440)]
    sums = [0, *accumulate(minutes)]
    for _ in range(QUESTIONS):
        one, other = sorted(rng.randrange(len(minutes)) for _ in range(2))
        since, until = begin + MINUTE * one, begin + MINUTE * other
        asked = f"{plan} {since} {until}"
        if known.worked(since, until) != MINUTE * (sums[other] - sums[one]):
            yield asked, f"worked {known.worked(since, until)}, counted {sums[other] - sums[one]}"
        if known.is_working(since) != minutes[one]:
            yield asked, "is_working"
        wanted = rng.randint(1, max(1, sums[-1] - sums[one]))
        if wanted <= sums[-1] - sums[one]:
            end = bisect_left(sums, sums[one] + wanted)
            if known.add(since, wanted * 60) != begin + MINUTE * end:
                yield asked, f"add {wanted} minutes: {known.add(since, wanted * 60)}, counted {begin + MINUTE * end}"
        start = bisect_left(sums, sums[one] + 1) - 1
        if start < len(minutes) and known.next_working(since) != begin + MINUTE * start:
            yield asked, "next_working"


def test_it_agrees_with_a_counter_of_minutes() -> None:
    found = [each for seed in rounds(8, 8, "working time") for each in questions(random.Random(seed))]
    assert found == []


@pytest.mark.long
def test_it_agrees_with_a_counter_of_minutes_in_100_000_questions() -> None:
    found = [each for seed in rounds(8, 200, "working time") for each in questions(random.Random(seed))]
    assert found == []


# ---- what holds for any two instants

MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
KNOWN = {zone: reckon(Plan(zone, week(PLANT))) for zone in ZONES}


@given(st.sampled_from(ZONES), MOMENTS, st.integers(0, 2_000_000))
def test_what_is_added_is_what_was_worked(zone: str, begin: datetime, seconds: int) -> None:
    known = KNOWN[zone]
    if begin + timedelta(days=60) > at(zone, "2027-12-31"):
        begin -= timedelta(days=90)
    assert known.worked(begin, known.add(begin, seconds)) == timedelta(seconds=seconds)


@given(st.sampled_from(ZONES), st.lists(MOMENTS, min_size=2, max_size=6))
def test_the_parts_of_a_way_make_the_whole(zone: str, moments: list[datetime]) -> None:
    known = KNOWN[zone]
    parts = sum((known.worked(one, other) for one, other in pairwise(moments)), timedelta())
    assert parts == known.worked(moments[0], moments[-1])


@given(st.sampled_from(ZONES), MOMENTS, MOMENTS)
def test_stretches_make_up_what_was_worked(zone: str, one: datetime, other: datetime) -> None:
    known, (begin, end) = KNOWN[zone], sorted((one, other))
    found = known.stretches(begin, end)
    assert sum((until - since for since, until in found), timedelta()) == known.worked(begin, end)
    assert all(begin <= since < until <= end for since, until in found)


# ---- rules and edges, by name


def test_a_shift_that_begins_in_an_hour_that_the_day_does_not_have_begins_at_its_first_instant() -> None:
    known = reckon(Plan("Europe/Berlin", (((150, 600),),) * 7))  # 02:30 – 10:00
    begin = at("Europe/Berlin", "2026-03-29 00:00")
    assert known.next_working(begin) == at("Europe/Berlin", "2026-03-29 03:00")
    assert known.worked(begin, at("Europe/Berlin", "2026-03-29 12:00")) == timedelta(hours=7)


def test_a_boundary_in_an_hour_that_comes_twice_makes_two_stretches() -> None:
    zone = "Europe/Berlin"
    known = reckon(Plan(zone, ((), (), (), (), (), (), ((60, 150),))))  # Sundays 01:00 – 02:30
    found = known.stretches(at(zone, "2026-10-25 00:00"), at(zone, "2026-10-25 06:00"))
    assert found == [
        (at(zone, "2026-10-25 01:00"), at(zone, "2026-10-25 02:00") + timedelta(minutes=30)),
        (at(zone, "2026-10-25 02:00", fold=1), at(zone, "2026-10-25 02:30", fold=1)),
    ]


def test_a_night_shift_on_the_night_that_the_clocks_change_is_an_hour_longer_or_shorter() -> None:
    zone = "Europe/Berlin"
    known = reckon(Plan(zone, tuple(((1320, 1800),) for _ in range(7))))  # 22:00 – 06:00
    for night, hours in (("2026-03-28", 7), ("2026-10-24", 9), ("2026-06-01", 8)):
        begin = at(zone, f"{night} 21:00")
        assert known.worked(begin, begin + timedelta(hours=12)) == timedelta(hours=hours)
    # Eight hours of work begun with the night of autumn end one hour before the shift does by the wall.
    assert wall(zone, known.add(at(zone, "2026-10-24 22:00"), 8 * 3600)) == "2026-10-25 05:00"


def test_a_holiday_takes_the_shifts_that_start_on_it_and_a_night_shift_of_the_evening_before_runs_on() -> None:
    zone = "Asia/Shanghai"
    known = reckon(Plan(zone, week(PLANT), {date(2026, 10, 1): ()}))
    assert known.is_working(at(zone, "2026-10-01 05:59"))
    assert not known.is_working(at(zone, "2026-10-01 06:00"))
    assert not known.is_working(at(zone, "2026-10-01 23:00"))
    assert not known.is_working(at(zone, "2026-10-02 02:00"))


def test_a_lunch_break_is_between_two_shifts() -> None:
    zone = "Asia/Shanghai"
    known = reckon(Plan(zone, week(OFFICE)))
    assert wall(zone, known.add(at(zone, "2026-11-30 11:30"), 3600)) == "2026-11-30 13:30"
    assert not known.is_working(at(zone, "2026-11-30 12:00"))


def test_a_due_time_at_the_end_of_a_shift_is_that_end_and_not_the_next_morning() -> None:
    zone = "Asia/Shanghai"
    known = reckon(Plan(zone, week(OFFICE)))
    assert wall(zone, known.add(at(zone, "2026-11-27 09:00"), 8 * 3600)) == "2026-11-27 18:00"
    assert wall(zone, known.add(at(zone, "2026-11-27 09:00"), 8 * 3600 + 1)) == "2026-11-30 09:00"


def test_half_of_a_target_over_several_segments_is_added_and_no_start_of_a_day() -> None:
    zone = "Asia/Shanghai"  # GLPI set rungs to 00:00
    known = reckon(Plan(zone, week(PLANT)))
    assert wall(zone, known.add(at(zone, "2026-11-30 16:00"), 4 * 3600)) == "2026-12-01 01:00"


def test_hours_of_one_zone_hold_there_all_year() -> None:
    zone = "America/New_York"
    known = reckon(Plan(zone, week(((540, 1020),))))
    for month in range(1, 13):
        begin = known.next_working(at(zone, f"2026-{month:02}-10 19:00"))
        assert begin is not None and wall(zone, begin)[11:] == "09:00"


def test_an_afternoon_shift_on_the_day_that_the_clocks_change_is_not_an_hour_off() -> None:
    zone = "America/New_York"
    known = reckon(Plan(zone, tuple(((780, 1020),) for _ in range(7))))
    for day in ("2026-03-08", "2026-11-01"):
        begin = known.next_working(at(zone, f"{day} 00:00"))
        assert begin is not None and wall(zone, begin) == f"{day} 13:00"


def test_half_an_hour_of_summer_time_in_lord_howe() -> None:
    zone = "Australia/Lord_Howe"
    known = reckon(Plan(zone, tuple(((0, 1440),) for _ in range(7))))
    for day, hours in (("2026-04-05", 24.5), ("2026-10-04", 23.5), ("2026-06-01", 24)):
        begin = at(zone, f"{day} 00:00")
        end = at(zone, f"{(date.fromisoformat(day) + timedelta(1)).isoformat()} 00:00")
        assert known.worked(begin, end) == timedelta(hours=hours)


def test_a_day_that_never_was_counts_nothing_in_apia() -> None:
    zone = "Pacific/Apia"
    known = reckon(Plan(zone, week(OFFICE)), 2011)
    assert known.worked(at(zone, "2011-12-29 00:00"), at(zone, "2011-12-31 23:00")) == timedelta(hours=8)  # the 30th was skipped
    assert wall(zone, known.add(at(zone, "2011-12-29 17:00"), 2 * 3600)) == "2012-01-02 10:00"


def test_five_hours_and_three_quarters_in_kathmandu() -> None:
    zone = "Asia/Kathmandu"
    known = reckon(Plan(zone, week(OFFICE)))
    assert known.next_working(at(zone, "2026-11-30 00:00")) == datetime(2026, 11, 30, 3, 15, tzinfo=UTC)


def test_the_inverted_summer_time_of_ramadan_in_casablanca() -> None:
    zone = "Africa/Casablanca"  # the clocks go back when Ramadan begins, and forward when it ends
    known = reckon(Plan(zone, tuple(((0, 1440),) for _ in range(7))))
    days = {day: known.worked(at(zone, f"{day} 00:00"), at(zone, f"{day} 23:59")) + MINUTE for day in ("2026-02-15", "2026-03-22")}
    assert days == {"2026-02-15": timedelta(hours=25), "2026-03-22": timedelta(hours=23)}


def test_zone_data_of_another_edition_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("Asia/Shanghai", week(OFFICE))
    assert reckon(plan).tzdata == worktime.tzdata_version() != ""
    monkeypatch.setattr(worktime, "tzdata_version", lambda: "2099z")
    assert reckon(plan).tzdata == "2099z"


def test_a_year_that_nobody_confirmed_is_told_by_whatever_crosses_it() -> None:
    zone = "Asia/Shanghai"
    known = reckon(Plan(zone, week(OFFICE), confirmed=frozenset((2025, 2026))))
    begin = at(zone, "2026-12-31 10:00")
    assert not known.is_provisional(begin, known.add(begin, 3600))
    assert known.is_provisional(begin, known.add(begin, 8 * 3600))
    assert known.is_provisional(at(zone, "2027-03-01 10:00"), at(zone, "2027-03-01 10:00"))


def test_no_working_time_within_a_year_refuses_to_start_a_clock() -> None:
    empty = reckon(Plan("Asia/Shanghai", ((),) * 7))
    begin = at("Asia/Shanghai", "2026-03-01 10:00")
    assert (empty.worked(begin, begin + timedelta(days=30)), empty.next_working(begin), empty.is_working(begin)) == (
        timedelta(),
        None,
        False,
    )
    for refuse in (lambda: empty.must_start(begin), lambda: empty.add(begin, 60)):
        with pytest.raises(WrongState) as refused:
            refuse()
        assert (refused.value.code, refused.value.field) == ("NO_WORKING_TIME", "work_calendar_id")
    one_day = reckon(Plan("Asia/Shanghai", ((),) * 7, {date(2027, 3, 1): OFFICE}))
    one_day.must_start(at("Asia/Shanghai", "2026-03-01 10:00"))
    too_early = at("Asia/Shanghai", "2026-02-01 10:00")
    for refuse in (lambda: one_day.must_start(too_early), lambda: one_day.add(too_early, 60)):
        with pytest.raises(WrongState):
            refuse()


def test_where_what_is_known_ends_before_the_year_is_over_that_is_said_and_not_that_nobody_works() -> None:
    known = reckon(Plan("Asia/Shanghai", week(OFFICE)))
    late = known.ends[-1] / 1000 + 60
    for refuse in (known.must_start, lambda moment: known.add(moment, 60)):
        with pytest.raises(Invalid) as refused:
            refuse(datetime.fromtimestamp(late, UTC))
        assert refused.value.code == "CALENDAR_HORIZON"


def test_beyond_the_years_that_are_reckoned_it_says_so() -> None:
    known = reckon(Plan("Asia/Shanghai", week(OFFICE)))
    for ask in (
        lambda: known.is_working(datetime(2031, 1, 1, tzinfo=UTC)),
        lambda: known.add(datetime(2027, 12, 1, tzinfo=UTC), 10_000_000),
        lambda: known.worked(datetime(1999, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ):
        with pytest.raises(Invalid) as refused:
            ask()
        assert refused.value.code == "CALENDAR_HORIZON"
    with pytest.raises(Invalid):
        known.add(datetime(2026, 12, 1, tzinfo=UTC), -1)


def test_what_overlaps_counts_once() -> None:
    zone = "Asia/Shanghai"  # a night shift into Saturday, and a make-up Saturday that begins at four
    plan = Plan(zone, week(((1320, 1800),)), {date(2026, 5, 9): ((240, 600),)})
    known = reckon(plan)
    assert known.worked(at(zone, "2026-05-08 22:00"), at(zone, "2026-05-09 12:00")) == timedelta(hours=12)


def test_a_shift_of_milliseconds_is_added_exactly() -> None:
    known = reckon(Plan("Asia/Shanghai", week(OFFICE)))
    begin = at("Asia/Shanghai", "2026-11-30 10:00") + timedelta(milliseconds=250)
    assert known.add(begin, 60) - begin == MINUTE
    assert known.add(begin, 0) == begin


def test_a_plan_is_not_changed_by_what_is_compiled() -> None:
    plan = Plan("Asia/Shanghai", week(OFFICE), {date(2026, 1, 1): ()})
    assert reckon(plan) == reckon(replace(plan))
