"""Segments whose criteria count from now: customers come in and go out by themselves, at the moment, once, and end where they belong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from chassis.kernel.clock import day, start_of
from chassis.rpc.call import Call
from chassis.runtime.migrations import migrate
from chassis.runtime.timers import Timer, Timers
from gateway.graph.contract import from_global
from services.customer.segments import model
from services.customer.segments.migrations import first_flips
from services.customer.segments.store import FLIP, FLIP_MARK
from tests.component.customer.test_segments import SEGMENTS, make, members, segment, state
from tests.support.checks import equals, mask, refused
from tests.support.installation import Installation

EQUALS, LESS, GREATER_OR_EQUAL = 1, 3, 6


def within(region: str, field: str, operator: int, **value: int) -> dict[str, Any]:
    """Criteria: of a region, and a time that counts from now."""
    return {"all": {"items": [equals("region", region), {"condition": {"field": field, "operator": operator, "values": [value]}}]}}


def young(region: str, seconds: int) -> dict[str, Any]:
    """Made in the last seconds."""
    return within(region, "create_time", GREATER_OR_EQUAL, relative_seconds=-seconds)


def quiet(region: str, seconds: int) -> dict[str, Any]:
    """Not changed for so many seconds."""
    return within(region, "update_time", LESS, relative_seconds=-seconds)


async def facts(crm: Installation, segment_id: str, customer_id: str) -> list[str]:
    rows = crm.suite["customer"].database["outbox"].find({"headers.ce-subject": f"{segment_id}-{customer_id}"}).sort("_id", 1)
    return [row["headers"]["ce-type"].rsplit(".", 1)[1].removeprefix("SegmentMember") async for row in rows]


async def stored(crm: Installation, customer_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await crm.suite["customer"].database["customers"].find_one({"_id": customer_id})
    return found


async def become(crm: Installation, segment_id: str, *customers: Any) -> datetime:
    """Wait until these are the members; when the last of them came in or went out."""
    wanted = {customer.id for customer in customers}

    async def there() -> bool:
        return await members(crm, segment_id) == wanted

    await crm.until(there, 10)
    rows = [row async for row in crm.suite["customer"].database["segment_members"].find({"segment_id": segment_id})]
    return max(row.get("leave_time") or row["enter_time"] for row in rows)


async def test_who_was_made_in_the_last_seconds_goes_out_by_itself(crm: Installation) -> None:
    made = await segment(crm, "时一", criteria=young("时一", 2))
    one = await make(crm, "时一")
    assert await state(crm, made.id) == (2, 1, {one.id})
    out = await become(crm, made.id)
    due = one.create_time.ToDatetime(UTC) + timedelta(seconds=2)
    assert due < out
    assert await state(crm, made.id) == (2, 0, set())
    assert await facts(crm, made.id, one.id) == ["Entered", "Left"]
    found = await stored(crm, one.id)
    assert (FLIP in found, FLIP_MARK in found, found["version"]) == (False, False, 1)


async def test_who_is_left_alone_comes_in_and_who_is_touched_goes_out(crm: Installation) -> None:
    one = await make(crm, "时二")
    made = await segment(crm, "时二", criteria=quiet("时二", 1))  # built while the moment lies ahead
    await become(crm, made.id, one)
    await crm.ask("UpdateCustomer", customer_id=one.id, version=1, update_mask=mask("industry"), industry="x")
    await become(crm, made.id)
    await become(crm, made.id, one)
    assert await facts(crm, made.id, one.id) == ["Entered", "Left", "Entered"]
    await crm.ask("ArchiveCustomer", customer_id=one.id)
    await become(crm, made.id)


async def test_each_segment_has_its_moment_though_one_is_kept(crm: Installation) -> None:
    one = await make(crm, "时三")
    first, second = await segment(crm, "时三", criteria=quiet("时三", 7)), await segment(crm, "时三", criteria=quiet("时三", 5))
    assert (await stored(crm, one.id))[FLIP] <= one.update_time.ToDatetime(UTC) + timedelta(seconds=5.001)
    assert await become(crm, second.id, one) < await become(crm, first.id, one)
    assert await facts(crm, first.id, one.id) == await facts(crm, second.id, one.id) == ["Entered"]
    rows = (
        crm.suite["customer"].database["outbox"].find({"headers.ce-subject": {"$in": [f"{made.id}-{one.id}" for made in (first, second)]}})
    )
    assert len({row["headers"]["ce-correlation"] async for row in rows}) == 2  # of one version of the customer, yet two requests
    await crm.ask("ArchiveSegment", segment_id=second.id)
    await crm.ask("UpdateSegment", segment_id=first.id, version=1, update_mask=mask("criteria"), criteria=young("时三", 9))
    await become(crm, first.id, one)  # still young, so it never went
    assert await facts(crm, first.id, one.id) == ["Entered"]


@asynccontextmanager
async def another_has(crm: Installation, work: str) -> AsyncIterator[None]:
    """The department's own worker rests meanwhile, for another replica has its lease."""
    leases = crm.suite["customer"].database["leases"]
    await leases.update_one({"_id": work}, {"$set": {"holder": "another", "until": datetime.now(UTC) + timedelta(minutes=1)}})
    await asyncio.sleep(3)  # until it has noticed
    try:
        yield
    finally:
        await leases.update_one({"_id": work, "holder": "another"}, {"$set": {"until": datetime.now(UTC)}})


def alone(crm: Installation, region: str, prepare: Any = None) -> tuple[Timers, Timer]:
    """A worker for the customers of a region, to be told what time it is."""
    customer = crm.suite["customer"]
    (real,) = customer.timers
    timer = Timer(real.name, real.store, real.due, {"region": region}, prepare=prepare or real.prepare, opened=real.opened)
    return Timers([timer], customer.database, customer.own_call, customer.metrics), timer


async def test_a_day_ends_at_midnight_of_the_company(crm: Installation) -> None:
    made = await segment(crm, "时四", criteria=within("时四", "create_time", EQUALS, relative_days=0))
    later = await segment(crm, "时四", criteria=within("时四", "create_time", LESS, relative_days=-6))
    one = await make(crm, "时四")
    await crm.settled()
    assert (await members(crm, made.id), await members(crm, later.id)) == ({one.id}, set())
    worker, timer = alone(crm, "时四")
    today = day(one.create_time.ToDatetime(UTC))
    for number, expected in ((1, (set(), set())), (7, (set(), {one.id}))):
        midnight = start_of(today + timedelta(days=number))
        assert (await stored(crm, one.id))[FLIP] == midnight
        assert await worker.fire_due(timer, midnight - timedelta(milliseconds=1)) == 0
        assert await worker.fire_due(timer, midnight) == 1
        assert (await members(crm, made.id), await members(crm, later.id)) == expected
    assert FLIP not in await stored(crm, one.id)


async def test_another_zone_of_the_company_is_reckoned_with_once(crm: Installation) -> None:
    customer = crm.suite["customer"]
    made = await segment(crm, "时九", criteria=within("时九", "create_time", EQUALS, relative_days=0))
    one = await make(crm, "时九")
    await become(crm, made.id, one)
    kept, notes = (await stored(crm, one.id))[FLIP], customer.database["migrations"]

    def own_call(method: str, zone: str) -> Call:
        return replace(customer.own_call(method), zone=zone)

    segments = next(service.records for service in customer.services if service.records and service.records.resource == "segments")
    for zone in ("Pacific/Kiritimati", "Asia/Shanghai"):  # its midnight comes six hours before
        for _ in range(2):
            await migrate(customer.database, [first_flips(segments, zone)], partial(own_call, zone=zone))
        assert {row["_id"] async for row in notes.find({"_id": {"$regex": "flips"}})} == {f"customers.flips-{zone}"}
    sooner = start_of(day(one.create_time.ToDatetime(UTC), "Pacific/Kiritimati") + timedelta(days=1), "Pacific/Kiritimati")
    assert (await stored(crm, one.id))[FLIP] == min(kept, sooner)


async def test_a_segment_that_is_made_while_a_moment_comes_is_waited_for(crm: Installation) -> None:
    customer = crm.suite["customer"]
    await segment(crm, "时七", criteria=young("时七", 5))
    one = await make(crm, "时七", phone="+86 10 6234 5671")
    await crm.settled()

    async def prepare(call: Call, due: Any) -> Any:
        assert isinstance(due[0]["phone"], bytes)  # what nobody reads stays sealed
        fire = await customer.timers[0].firing(call, due)  # it knows one segment
        await segment(crm, "时七", criteria=young("时七", 200))
        return fire

    made = one.create_time.ToDatetime(UTC) + timedelta(milliseconds=1)
    async with another_has(crm, "Timers.run"):
        await asyncio.sleep((made + timedelta(seconds=5) - datetime.now(UTC)).total_seconds() + 0.05)
        worker, timer = alone(crm, "时七", prepare)
        await worker.fire_due(timer, datetime.now(UTC))
        assert (await stored(crm, one.id))[FLIP] == made + timedelta(seconds=5)  # refused: it would have been forgotten
        worker, timer = alone(crm, "时七")
        await worker.fire_due(timer, datetime.now(UTC))
        assert (await stored(crm, one.id))[FLIP] == made + timedelta(seconds=200)


async def test_what_is_waited_for_already_is_not_written_again(crm: Installation) -> None:
    made = await segment(crm, "时八", criteria=young("时八", 100))
    one = await make(crm, "时八")
    await become(crm, made.id, one)
    before = await stored(crm, one.id)
    await crm.ask("UpdateCustomer", customer_id=one.id, version=1, update_mask=mask("industry"), industry="x")
    later = await segment(crm, "时八", criteria=young("时八", 200))
    await become(crm, later.id, one)
    after = await stored(crm, one.id)
    assert (after[FLIP], after[FLIP_MARK]) == (before[FLIP], before[FLIP_MARK])
    sooner = await segment(crm, "时八", criteria=young("时八", 50))
    await become(crm, sooner.id, one)
    found = await stored(crm, one.id)
    assert (before[FLIP] - found[FLIP], found[FLIP_MARK] != before[FLIP_MARK]) == (timedelta(seconds=50), True)


async def test_whatever_happens_meanwhile_all_end_where_they_belong(crm: Installation) -> None:
    """Customers are made and changed, segments are made and changed, while moments come."""
    chance = random.Random(45)
    made, rows = [], []
    for number in range(12):
        rows.append(await make(crm, "时五"))
        if number % 3 == 0:
            asked = (young, quiet)[number % 2]("时五", chance.randint(1, 2))
            made.append((await crm.ask("CreateSegment", role="COORDINATOR", name="时五", criteria=asked)).segment)
        if number % 4 == 3:
            one = chance.choice(rows)
            version = (await stored(crm, one.id))["version"]
            await crm.ask("UpdateCustomer", customer_id=one.id, version=version, update_mask=mask("industry"), industry=f"i{number}")
        if number % 5 == 4:
            one = made[0]
            asked = young("时五", number % 2 + 1)
            fresh = (await crm.ask("GetSegment", segment_id=one.id)).segment
            await crm.ask("UpdateSegment", segment_id=one.id, version=fresh.version, update_mask=mask("criteria"), criteria=asked)
        await asyncio.sleep(chance.uniform(0, 0.15))
    await asyncio.sleep(3)  # all moments are over, and looked at
    await crm.settled()
    database = crm.suite["customer"].database
    when = crm.suite["customer"].own_call("test").when
    for one in made:
        kept = await database["segments"].find_one({"_id": one.id})
        belongs = model.belongs(kept, when)
        wanted = {row["_id"] async for row in database["customers"].find({"region": "时五"}) if belongs(row)}
        assert await state(crm, one.id) == (2, len(wanted), wanted)
        for row in rows:
            told = await facts(crm, one.id, row.id)
            assert told == ["Entered", "Left"] * (len(told) // 2) + ["Entered"] * (len(told) % 2)
    assert await database["customers"].count_documents({"region": "时五", FLIP: {"$exists": True}}) == 0


@pytest.mark.parametrize(
    ("field", "operator", "value", "words"),
    [
        ("region", EQUALS, {"relative_days": 1}, "«region» is no time, so relative_days says nothing about it; give a text value"),
        ("create_time", EQUALS, {"relative_seconds": 1}, "«create_time» with EQUALS takes no relative_seconds; use LESS"),
        ("create_time", 2, {"relative_days": 1}, "«create_time» with IN takes no relative_days; use LESS"),
    ],
)
async def test_relative_values_that_make_no_sense_are_refused(
    crm: Installation, field: str, operator: int, value: dict[str, int], words: str
) -> None:
    criteria = {"condition": {"field": field, "operator": operator, "values": [value]}}
    refusal = await refused(crm, SEGMENTS, crm.ask("CreateSegment", name="x", criteria=criteria), "CRITERIA_INVALID", field="criteria")
    assert refusal.message.startswith(words)


async def test_the_graph_takes_them_and_tells_them(crm: Installation) -> None:
    one = await make(crm, "时六")
    text = 'mutation { segmentCreate(input: {name: "新客户", criteria: {region: {eq: "时六"}, createTime: {%s}}}) {segment {id criteria} errors {code message path}}}'

    async def create(condition: str) -> dict[str, Any]:
        made: dict[str, Any] = (await crm.data(text % condition))["segmentCreate"]
        return made

    made = (await create("gteRelative: {days: -7}"))["segment"]
    assert made["criteria"] == {"region": {"eq": "时六"}, "createTime": {"gteRelative": {"days": -7}}}
    await crm.settled()
    query = 'query { customers(filter: {region: {eq: "时六"}, createTime: {%s}}) { nodes { id } } }'
    for condition, count in (("eqRelative: {days: 0}", 1), ("ltRelative: {seconds: -3600}", 0), ("gteRelative: {seconds: -3600}", 1)):
        assert len((await crm.data(query % condition))["customers"]["nodes"]) == count, condition
    assert await members(crm, from_global(made["id"], "Segment")[1]) == {one.id}
    for condition, words in (
        ("gteRelative: {days: 1, seconds: 1}", "both days and seconds"), ("gteRelative: {}", "neither days nor seconds"),
        ("gteRelative: {days: 36526}", "36525"), ("eqRelative: {seconds: 1}", "takes no relativeSeconds"),
    ):  # fmt: skip
        refusal = await create(condition)
        assert refusal["segment"] is None
        assert words in refusal["errors"][0]["message"]
        assert refusal["errors"][0]["path"][:2] == ["input", "criteria"]
