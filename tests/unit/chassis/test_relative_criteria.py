"""Values of criteria that count from now: what they mean at a moment, when a document changes sides, and what makes no sense."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chassis.kernel.clock import day, start_of, turns
from chassis.kernel.criteria import Field, to_flips, to_pending, to_predicate, to_query
from chassis.kernel.errors import Invalid
from chassis.kernel.relative import When

SCHEMA = {
    "name": Field("name", "text"),
    "state": Field("state", "enum", frozenset(["OPEN", "WON"])),
    "time": Field("time", "time"),
    "seen": Field("seen", "time"),
    "on": Field("on", "text", day=True),
    "count": Field("count", "number"),
    "tags": Field("tags", "text", repeated=True),
}
# Half an hour of summer time; a day left out (2011-12-30); summer time but in Ramadan; clocks put back at one minute past midnight (until
# 2011), so that one day comes twice; put forward at midnight (until 2018); three quarters of an hour; no summer time.
ZONES = (
    "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Shanghai",
)  # fmt: skip
MS, DAY, LOCAL = timedelta(milliseconds=1), timedelta(days=1), "%Y-%m-%dT%H:%M:%S.%f"
_ORDER = ("LESS", "LESS_OR_EQUAL", "GREATER", "GREATER_OR_EQUAL")
# About the moments at which those zones put their clocks.
ODD = [
    datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC),
    datetime(2026, 2, 15, 2, tzinfo=UTC), datetime(2026, 3, 22, 2, tzinfo=UTC), datetime(2010, 11, 7, 2, 31, tzinfo=UTC),
    datetime(2018, 2, 18, 2, tzinfo=UTC), datetime(2017, 10, 15, 3, tzinfo=UTC), datetime(2026, 3, 8, 3, 30, tzinfo=UTC),
]  # fmt: skip


def cond(field: str, operator: str, **value: Any) -> dict[str, Any]:
    return {"condition": {"field": field, "operator": operator, "values": [value]}}


near = st.builds(
    lambda moment, days, milliseconds: moment + days * DAY + milliseconds * MS,
    st.sampled_from(ODD),
    st.integers(-3, 3),
    st.one_of(st.integers(-3, 3), st.integers(-90_000_000, 90_000_000), st.sampled_from([3_600_000, -3_600_000, 60_000, 1_800_000])),
)
days = st.integers(-3, 3)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    field = draw(st.sampled_from(["time", "seen", "on", "state"]))
    if field == "state":
        return cond(field, "EQUALS", text="OPEN")
    if field != "on" and draw(st.booleans()):
        return cond(field, draw(st.sampled_from(_ORDER)), relative_seconds=draw(st.integers(-200_000, 200_000)))
    if field != "on" and draw(st.integers(0, 4)) == 0:
        return cond(field, draw(st.sampled_from(_ORDER)), time=draw(near))
    return cond(field, draw(st.sampled_from((*_ORDER, "EQUALS"))), relative_days=draw(days))


def _nest(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        lists.map(lambda items: {"all": {"items": items}}), lists.map(lambda items: {"any": {"items": items}}),
        inner.map(lambda item: {"negated": item}),
    )  # fmt: skip


criteria = st.one_of(conditions(), _nest(conditions()), _nest(_nest(conditions())))
documents = st.fixed_dictionaries(
    {},
    optional={
        "time": st.one_of(st.none(), near), "seen": near, "state": st.sampled_from(["OPEN", "WON"]),
        "on": near.map(lambda moment: day(moment, "UTC").isoformat()),
    },
)  # fmt: skip


def instants(now: datetime, zone: str, until: datetime) -> Iterator[datetime]:
    """Moments to look at: every quarter of an hour, every turn of a day and of the zone's clocks with a millisecond about it."""
    step = timedelta(minutes=15)
    moment = now
    while moment < until:
        yield moment
        moment += step
    for number in range((until - now) // DAY + 3):
        for turn in turns(day(now, zone) + timedelta(days=number - 1), zone):
            yield from (turn - MS, turn, turn + MS)
    for odd in ODD:
        yield from (odd - MS, odd, odd + MS)


def _nothing_changes_sides_but_then(zone: str, document: dict[str, Any], asked: dict[str, Any], now: datetime) -> None:
    flips = to_flips(asked, SCHEMA, zone)
    told = flips(document, now) if flips else None
    end = told or now + 9 * DAY
    inside = to_predicate(asked, SCHEMA, When(now, zone))(document)
    for moment in instants(now, zone, min(end, now + 9 * DAY)):
        if now <= moment < end:
            assert to_predicate(asked, SCHEMA, When(moment, zone))(document) is inside, moment
    if told:
        assert told > now
        assert to_predicate(asked, SCHEMA, When(told - MS, zone))(document) is inside
        assert to_predicate(asked, SCHEMA, When(told, zone))(document) is not inside


cases = given(document=documents, asked=criteria, now=near, zone=st.sampled_from(ZONES))


@settings(max_examples=70, deadline=None)
@cases
@example(document={"time": ODD[5] - DAY}, asked=cond("time", "LESS", relative_days=0), now=ODD[5] - timedelta(minutes=5), zone=ZONES[3])
@example(document={"on": "2010-11-07"}, asked=cond("on", "EQUALS", relative_days=0), now=ODD[5] - timedelta(minutes=5), zone=ZONES[3])
@example(document={"on": "2011-12-30"}, asked=cond("on", "EQUALS", relative_days=0), now=ODD[2] - DAY, zone=ZONES[1])
def test_nothing_changes_sides_but_at_the_moment_that_was_told(
    zone: str, document: dict[str, Any], asked: dict[str, Any], now: datetime
) -> None:
    _nothing_changes_sides_but_then(zone, document, asked, now)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=3000, deadline=None)
@cases
def test_nothing_changes_sides_but_then_of_many(zone: str, document: dict[str, Any], asked: dict[str, Any], now: datetime) -> None:
    _nothing_changes_sides_but_then(zone, document, asked, now)


@settings(max_examples=100, deadline=None)
@given(
    zone=st.sampled_from([zone for zone in ZONES if zone != "America/St_Johns"]),
    moment=near, now=near, number=days, operator=st.sampled_from((*_ORDER, "EQUALS")),
)  # fmt: skip
def test_a_time_is_compared_with_a_day_as_the_wall_calendar_does(
    zone: str, moment: datetime, now: datetime, number: int, operator: str
) -> None:
    found, wanted = (datetime.strptime(one.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d"), "%Y-%m-%d") for one in (moment, now))
    wanted += number * DAY
    expected = {
        "LESS": found < wanted, "LESS_OR_EQUAL": found <= wanted, "GREATER": found > wanted, "GREATER_OR_EQUAL": found >= wanted,
        "EQUALS": found == wanted,
    }[operator]  # fmt: skip
    asked = cond("time", operator, relative_days=number)
    assert to_predicate(asked, SCHEMA, When(now, zone))({"time": moment}) is expected
    text = cond("on", operator, relative_days=number)
    assert to_predicate(text, SCHEMA, When(now, zone))({"on": f"{found:%Y-%m-%d}"}) is expected


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), moment=near)
def test_a_day_begins_where_its_first_moment_is(zone: str, moment: datetime) -> None:
    on = day(moment, zone)
    begin = start_of(on, zone)
    assert day(begin, zone) >= on > day(begin - MS, zone)
    crossed = turns(on, zone)
    assert len(crossed) in (1, 3)
    assert list(crossed) == sorted(set(crossed))
    assert [day(turn, zone) >= on for turn in crossed] == [number % 2 == 0 for number in range(len(crossed))]


def test_the_turns_of_days_that_come_twice_or_never() -> None:
    assert turns(date(2010, 11, 7), "America/St_Johns") == (
        datetime(2010, 11, 7, 2, 30, tzinfo=UTC), datetime(2010, 11, 7, 2, 31, tzinfo=UTC), datetime(2010, 11, 7, 3, 30, tzinfo=UTC),
    )  # fmt: skip
    skipped = datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert turns(date(2011, 12, 30), "Pacific/Apia") == turns(date(2011, 12, 31), "Pacific/Apia") == (skipped,)
    assert turns(date(2017, 10, 15), "America/Sao_Paulo") == (datetime(2017, 10, 15, 3, tzinfo=UTC),)
    assert turns(date(2026, 11, 30), "Asia/Shanghai") == (datetime(2026, 11, 29, 16, tzinfo=UTC),)


NOW = datetime(2026, 11, 30, 4, tzinfo=UTC)


def test_ninety_days_without_an_order_are_over_on_the_ninetieth_day() -> None:
    asked = cond("time", "LESS", relative_days=-90)
    flips = to_flips(asked, SCHEMA, "Asia/Shanghai")
    assert flips
    bought = datetime(2026, 11, 1, 9, tzinfo=UTC)
    told = flips({"time": bought}, NOW)
    assert told == datetime(2027, 1, 30, 16, tzinfo=UTC)  # 31 January in Shanghai: on 1 November it was bought, 90 days lie behind the 30th
    assert flips({"time": bought}, told) is None
    assert flips({}, NOW) is None
    assert to_flips(cond("name", "EQUALS", text="x"), SCHEMA, "Asia/Shanghai") is None
    assert to_flips(None, SCHEMA, "Asia/Shanghai") is None


def test_a_condition_that_changes_nothing_is_not_waited_for() -> None:
    asked = {"all": {"items": [cond("time", "LESS", relative_seconds=-60), cond("state", "EQUALS", text="WON")]}}
    flips = to_flips(asked, SCHEMA, "Asia/Shanghai")
    assert flips
    assert flips({"time": NOW, "state": "OPEN"}, NOW) is None
    assert flips({"time": NOW, "state": "WON"}, NOW) == NOW + timedelta(seconds=60) + MS


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)])
def test_the_ends_of_the_calendar_are_borne(moment: datetime) -> None:
    for value in ({"relative_days": 36_525}, {"relative_days": -36_525}, {"relative_seconds": 3_155_760_000}):
        asked = cond("time", "LESS", **value)
        flips = to_flips(asked, SCHEMA, "Pacific/Kiritimati")
        assert flips
        assert flips({"time": moment}, NOW) is None
    flips = to_flips(cond("on", "LESS", relative_days=36_525), SCHEMA, "Pacific/Apia")
    assert flips
    assert flips({"on": "9999-12-31"}, NOW) is None
    assert flips({"on": "no day"}, NOW) is None


@settings(max_examples=100, deadline=None)
@given(document=documents, asked=criteria, now=near, zone=st.sampled_from(ZONES))
def test_whoever_may_change_sides_is_looked_for(document: dict[str, Any], asked: dict[str, Any], now: datetime, zone: str) -> None:
    flips = to_flips(asked, SCHEMA, zone)
    if flips and flips(document, now):
        found = to_pending(asked, SCHEMA, When(now, zone))["$or"]
        assert any(document.get(path) and document[path] >= bound["$gte"] for one in found for path, bound in one.items())


WRONG = {
    "a text": (cond("name", "EQUALS", relative_days=1), "«name» is no time, so relative_days says nothing about it; give a text value"),
    "an enum": (cond("state", "EQUALS", relative_seconds=1), "«state» is no time, so relative_seconds says nothing about it; give a text value"),
    "a number": (cond("count", "LESS", relative_seconds=1), "«count» is no time, so relative_seconds says nothing about it; give a number value"),
    "a list": (cond("tags", "EQUALS", relative_days=1), "«tags» is no time, so relative_days says nothing about it; give a text value"),
    "seconds of a day": (cond("on", "LESS", relative_seconds=1), "«on» is a day and has no time; use relative_days"),
    "both": (
        cond("time", "LESS", relative_seconds=1, relative_days=1), "a value of «time» has relative_days and relative_seconds; give one of them",
    ),
    "a time too": (cond("time", "LESS", time=NOW, relative_days=1), "a value of «time» has relative_days and time; give one of them"),
    "equal to the second": (
        cond("time", "EQUALS", relative_seconds=1),
        "«time» with EQUALS takes no relative_seconds; use LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL, and join several by «any»",
    ),
    "one of": (
        cond("on", "IN", relative_days=1),
        "«on» with IN takes no relative_days; use LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL or EQUALS, and join several by «any»",
    ),
    "beginning": (
        cond("on", "STARTS_WITH", relative_days=1),
        "«on» with STARTS_WITH takes no relative_days; use LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL or EQUALS, and join several by «any»",
    ),
    "days too far": (
        cond("time", "LESS", relative_days=-36_526), "relative_days -36526 of «time» lies more than a hundred years away; use -36525 to 36525",
    ),
    "seconds too far": (
        cond("time", "LESS", relative_seconds=3_155_760_001),
        "relative_seconds 3155760001 of «time» lies more than a hundred years away; use -3155760000 to 3155760000",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), WRONG.values(), ids=WRONG)
def test_senseless_relative_values_are_refused_alike_with_what_to_do(asked: dict[str, Any], words: str) -> None:
    when = When(NOW)
    for compiler in (
        lambda: to_query(asked, SCHEMA, when),
        lambda: to_predicate(asked, SCHEMA, when),
        lambda: to_flips(asked, SCHEMA, "UTC"),
    ):
        with pytest.raises(Invalid) as refusal:
            compiler()
        assert (refusal.value.code, refusal.value.field, refusal.value.message) == ("CRITERIA_INVALID", "filter", words)
