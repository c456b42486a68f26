"""What fires at a moment that was set: once, not before, late rather than never, and one record's trouble is not another's."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import UpdateOne
from pymongo.errors import ExecutionTimeout, WriteError

from chassis.kernel.errors import Conflict, CrmError, Invalid, NotFound
from chassis.rpc.call import Call
from chassis.runtime.timers import Timer, Timers
from tests.support.checks import equals, refused, trace
from tests.support.installation import Installation

TICKETS = "support.tickets"
SOON, LONG = timedelta(seconds=1.0), timedelta(hours=1)
STATES = {"OPEN": 2, "PENDING": 3, "RESOLVED": 4}


def at(moment: datetime) -> dict[str, int]:
    return {"seconds": int(moment.timestamp()), "nanos": moment.microsecond * 1000}


def later(step: timedelta) -> datetime:
    return datetime.now(UTC) + step


async def waiting(crm: Installation, until: datetime | None = None, **more: Any) -> str:
    """The id of a ticket that waits until then, or for an hour."""
    made = await crm.ask("CreateTicket", subject="等回复", channel=1, owner_id=crm.people["SUPPORT_AGENT"], **more)
    await crm.ask("WaitTicket", role="SUPPORT_AGENT", ticket_id=made.ticket.id, until_time=at(until or later(LONG)))
    return str(made.ticket.id)


async def soon(ask: Callable[..., Awaitable[Any]]) -> datetime:
    """Ask with a time that comes soon, and which it was; on a machine that is busy it may have passed when it is heard, so later ones too."""
    for seconds in (1, 4, 16):
        due = later(timedelta(seconds=seconds))
        try:
            await ask(at(due))
        except CrmError as refusal:
            assert refusal.code == "TIME_IN_PAST"
        else:
            return due
    raise AssertionError("it took 16 seconds to set a time")


async def waiting_soon(crm: Installation) -> tuple[str, datetime]:
    """The id of a ticket that waits until soon, and until when."""
    made = await crm.ask("CreateTicket", subject="等回复", channel=1, owner_id=crm.people["SUPPORT_AGENT"])
    key = {"role": "SUPPORT_AGENT", "ticket_id": made.ticket.id}
    return str(made.ticket.id), await soon(lambda then: crm.ask("WaitTicket", **key, until_time=then))


async def ticket(crm: Installation, ticket_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await crm.suite["support"].database["tickets"].find_one({"_id": ticket_id})
    return found


async def types(crm: Installation, ticket_id: str) -> list[str]:
    rows = crm.suite["support"].database["outbox"].find({"headers.ce-subject": ticket_id}).sort("_id", 1)
    return [row["headers"]["ce-type"].rsplit(".", 1)[1] async for row in rows]


async def become(crm: Installation, ticket_id: str, state: str, seconds: float = 10) -> dict[str, Any]:
    async def there() -> bool:
        return bool((await ticket(crm, ticket_id))["state"] == state)

    await crm.until(there, seconds)
    return await ticket(crm, ticket_id)


async def test_a_ticket_that_waited_long_enough_is_worked_on_again(crm: Installation) -> None:
    made, due = await waiting_soon(crm)
    found = await become(crm, made, "OPEN", 30)
    assert due <= found["update_time"] < due + timedelta(seconds=15)
    assert "wait_until_time" not in found
    assert [stay["state"] for stay in found["state_history"]] == ["NEW", "PENDING", "OPEN"]
    assert found["state_history"][-1]["actor_id"] == "service-support"
    await asyncio.sleep(1.2)  # and not once more
    assert await types(crm, made) == ["TicketCreated", "TicketWaiting", "TicketWaitEnded"]


async def test_a_time_that_was_moved_or_taken_away_fires_at_the_new_one_or_never(crm: Installation) -> None:
    (worker, _), timer, mark = await alone(crm, None)
    moved, answered, resolved = await asyncio.gather(*(waiting(crm, product=mark) for _ in range(3)))
    await crm.ask("WaitTicket", role="SUPPORT_AGENT", ticket_id=moved, until_time=at(later(3 * LONG)))
    await crm.ask("CreateTicketReply", role="SUPPORT_AGENT", ticket_id=answered, author=1, text="好了")
    await crm.ask("ResolveTicket", role="SUPPORT_AGENT", ticket_id=resolved, resolution="好了")
    assert await worker.fire_due(timer, later(2 * LONG)) == 0
    assert (await ticket(crm, moved))["state"] == "PENDING"
    assert await worker.fire_due(timer, later(4 * LONG)) == 1
    assert await types(crm, moved) == ["TicketCreated", "TicketWaiting", "TicketWaiting", "TicketWaitEnded"]
    assert await types(crm, answered) == ["TicketCreated", "TicketWaiting", "TicketUpdated"]
    assert await types(crm, resolved) == ["TicketCreated", "TicketWaiting", "TicketResolved"]
    assert "wait_until_time" not in await ticket(crm, answered)


async def test_a_time_that_is_moved_nearer_fires_then(crm: Installation) -> None:
    made = await waiting(crm)
    await soon(lambda then: crm.ask("WaitTicket", role="SUPPORT_AGENT", ticket_id=made, until_time=then))
    await become(crm, made, "OPEN", 30)
    assert await types(crm, made) == ["TicketCreated", "TicketWaiting", "TicketWaiting", "TicketWaitEnded"]


async def test_a_time_that_has_passed_is_refused(crm: Installation) -> None:
    made = await waiting(crm)
    action = crm.ask("WaitTicket", role="SUPPORT_AGENT", ticket_id=made, until_time=at(later(-SOON)))
    await refused(crm, TICKETS, action, "TIME_IN_PAST", field="until_time", record_id=made)


async def test_what_was_due_while_the_department_stood_still_fires_when_it_is_back(own_crm: Installation) -> None:
    made, due = await waiting_soon(own_crm)
    await own_crm.suite.stop("support")
    await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()) + 0.5)
    await own_crm.suite.start(["support"])
    await become(own_crm, made, "OPEN", 20)
    assert await types(own_crm, made) == ["TicketCreated", "TicketWaiting", "TicketWaitEnded"]


async def test_a_campaign_launches_by_itself_at_its_start(crm: Installation) -> None:
    segment = (await crm.ask("CreateSegment", role="MARKETER", name="nobody", criteria=equals("region", "nobody"))).segment.id
    text = {"subject": "s", "body": "b", "segment_id": segment}
    made = (await crm.ask("CreateCampaign", role="MARKETER", name="展会", channel=1, **text)).campaign.id
    key = {"role": "MARKETER", "campaign_id": made}
    where = "marketing.campaigns"
    await refused(
        crm, where, crm.ask("ScheduleCampaign", **key, start_time=at(later(-SOON))), "TIME_IN_PAST", field="start_time", record_id=made
    )
    await crm.ask("ScheduleCampaign", **key, start_time=at(later(LONG)))
    await refused(
        crm,
        where,
        crm.ask("UpdateCampaign", **key, version=2, update_mask={"paths": ["name"]}, name="x"),
        "CAMPAIGN_STATE_NOT_ALLOWED",
        record_id=made,
    )
    assert (await crm.ask("UnscheduleCampaign", **key)).campaign.state == 1
    await crm.ask("ScheduleCampaign", **key, start_time=at(later(LONG)))
    await soon(lambda then: crm.ask("ScheduleCampaign", **key, start_time=then))

    async def over() -> bool:
        return bool((await crm.ask("GetCampaign", campaign_id=made)).campaign.state == 5)

    await crm.until(over, 10)
    # Made, scheduled, unscheduled, scheduled twice; launched, started and completed by itself, for nobody is in the segment.
    stored, facts = await trace(crm, "marketing", "campaigns", made)
    assert (facts, stored["version"], stored["updater_id"]) == (8, 8, "service-marketing")


async def test_a_mail_campaign_without_text_cannot_be_scheduled(crm: Installation) -> None:
    made = (await crm.ask("CreateCampaign", name="没写完", channel=1)).campaign.id
    action = crm.ask("ScheduleCampaign", campaign_id=made, start_time=at(later(LONG)))
    await refused(crm, "marketing.campaigns", action, "CAMPAIGN_INCOMPLETE", record_id=made)


class Passed:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def alone(crm: Installation, fire: Any, passed: Passed | None = None) -> tuple[list[Timers], Timer, Any]:
    """Two workers of a timer that nobody else runs: tickets of a product of their own, found by the index of the department's timer."""
    support = crm.suite["support"]
    mark = f"p{secrets.token_hex(4)}"
    (real,) = support.timers
    timer = Timer("wait_end", real.store, real.due, {"state": "PENDING", "product": mark}, fire or real.fire)
    workers = [Timers([timer], support.database, support.own_call, support.metrics, passed or time.monotonic) for _ in range(2)]
    return workers, timer, mark


async def test_two_workers_at_once_fire_each_record_once(crm: Installation) -> None:
    workers, timer, mark = await alone(crm, None)
    ids = await asyncio.gather(*(waiting(crm, product=mark) for _ in range(20)))
    await asyncio.gather(*(worker.fire_due(timer, later(2 * LONG)) for worker in workers))
    for identity in ids:
        assert await types(crm, identity) == ["TicketCreated", "TicketWaiting", "TicketWaitEnded"]


async def many(crm: Installation, mark: str, count: int) -> list[str]:
    """So many waiting tickets of a product, the first due first: copies of one that was made by the doors. Nothing was told of them, so the
    first fact about each is that of its first version: whoever hears it waits for no other."""
    model = await ticket(crm, await waiting(crm, product=mark))
    rows = [
        {**model, "_id": f"{mark}-{number:03}", "version": 0, "number": f"{mark}-{number}", "wait_until_time": later(LONG + number * SOON)}
        for number in range(count)
    ]
    tickets = crm.suite["support"].database["tickets"]
    await tickets.delete_one({"_id": model["_id"]})
    await tickets.insert_many(rows)
    return [row["_id"] for row in rows]


def commits(crm: Installation) -> float:
    """How many transactions the department has committed."""
    return float(crm.suite["support"].metrics.mongo_commands.labels("commitTransaction", "")._value.get())


def failures(crm: Installation) -> float:
    return float(crm.suite["support"].metrics.timer_failures.labels("wait_end")._value.get())


async def fired(crm: Installation, ids: list[str]) -> set[str]:
    """Those of the tickets that fired; each has one fact and one line in the audit of one request of its own, and one version more."""
    database = crm.suite["support"].database
    facts = [row async for row in database["outbox"].find({"headers.ce-subject": {"$in": ids}})]
    told = {(row["headers"]["ce-subject"], row["headers"]["ce-correlation"]) for row in facts}
    lines = [row async for row in database["audit_entries"].find({"record_id": {"$in": ids}, "action": "TicketWaitEnded"})]
    assert {(line["record_id"], line["request_id"]) for line in lines} == told
    assert len(facts) == len(lines) == len(told) == len({request for _, request in told})
    stored = {row["_id"]: row async for row in database["tickets"].find({"_id": {"$in": ids}})}
    begun = {line["record_id"]: line["version"] for line in lines}
    assert {identity for identity, row in stored.items() if row["state"] == "OPEN"} == begun.keys()
    assert all(stored[identity]["version"] == version for identity, version in begun.items())
    return set(begun)


async def test_a_hundred_records_are_one_commit_and_each_keeps_a_request_of_its_own(crm: Installation) -> None:
    (worker, _), timer, mark = await alone(crm, None)
    ids = await many(crm, mark, 130)
    before, moment = commits(crm), later(2 * LONG)
    assert await worker.fire_due(timer, moment) == 100
    assert commits(crm) - before <= 5  # of this department; what else runs may commit too
    assert await fired(crm, ids) == set(ids[:100])
    assert await worker.fire_due(timer, moment) == 30
    assert await worker.fire_due(timer, moment) == 0
    assert await fired(crm, ids) == set(ids)


async def test_workers_that_are_killed_anywhere_repeat_nothing_and_lose_nothing(crm: Installation) -> None:
    workers, timer, mark = await alone(crm, None)
    ids = await many(crm, mark, 250)
    moment, chance = later(2 * LONG), random.Random(44)
    for _ in range(12):
        tasks = [asyncio.create_task(worker.fire_due(timer, moment)) for worker in workers]
        await asyncio.sleep(chance.uniform(0, 0.08))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    fresh = (await alone(crm, None))[0][0]
    await crm.until(lambda: _over(fresh, timer, moment), 10)
    assert await fired(crm, ids) == set(ids)


async def _over(worker: Timers, timer: Timer, moment: datetime) -> bool:
    return await worker.fire_due(timer, moment) == 0


ERRORS = (Invalid("not now"), RuntimeError("broken"), NotFound("gone"), WriteError("cannot be stored"), ExecutionTimeout("slow"))


async def test_records_at_fault_are_tried_alone_and_again_later_and_the_rest_goes_through(
    crm: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    bad: dict[str, Exception] = {}
    fire = crm.suite["support"].timers[0].fire

    async def sometimes(call: Call, record: dict[str, Any]) -> None:
        await fire(call, record)
        if record["_id"] in bad:  # what it wrote so far must not go through either
            raise bad[record["_id"]]

    def told(*names: str) -> set[tuple[Any, ...]]:
        return {tuple(getattr(line, name) for name in names) for line in caplog.records if getattr(line, "record", "") in ids}

    passed = Passed()
    (worker, _), timer, mark = await alone(crm, sometimes, passed)
    ids = await many(crm, mark, 40)
    bad |= dict(zip(ids[::8], ERRORS, strict=True))
    moment, before = later(2 * LONG), failures(crm)
    assert await worker.fire_due(timer, moment) == 40
    assert await fired(crm, ids) == set(ids) - bad.keys()
    assert failures(crm) - before == 5
    assert told("timer", "record", "tries", "seconds") == {("wait_end", identity, 1, 2.0) for identity in bad}
    passed.seconds = 1.9
    assert await worker.fire_due(timer, moment) == 0  # they wait for two seconds
    del bad[ids[0]]
    caplog.clear()
    passed.seconds = 2.0
    assert await worker.fire_due(timer, moment) == 5
    assert await fired(crm, ids) == set(ids) - bad.keys()
    assert told("tries", "seconds") == {(2, 4.0)}


async def test_a_database_that_is_too_busy_is_asked_once_a_look_and_each_alone_later(crm: Installation) -> None:
    busy, asked = True, []

    async def prepare(call: Call, due: Any) -> Any:
        asked.append(len(due))
        if busy:
            raise Conflict("too busy", code="BUSY")
        return crm.suite["support"].timers[0].fire

    _, timer, mark = await alone(crm, None)
    timer = replace(timer, fire=None, prepare=prepare)
    support = crm.suite["support"]
    passed = Passed()
    worker = Timers([timer], support.database, support.own_call, support.metrics, passed)
    ids = await many(crm, mark, 9)
    moment = later(2 * LONG)
    assert await worker.fire_due(timer, moment) == 0
    assert asked == [9]
    passed.seconds = 2.0
    await worker.fire_due(timer, moment)
    assert asked == [9, 1]  # and the look was over
    busy = False
    await worker.fire_due(timer, moment)
    assert asked == [9] + [1] * 9
    passed.seconds = 6.0  # the second time it waits for longer
    await worker.fire_due(timer, moment)
    assert await fired(crm, ids) == set(ids)


async def test_records_that_write_the_same_third_one_find_their_order(crm: Installation) -> None:
    """Each takes the next number, as it was when it looked: only one of a batch can have it."""
    database, fire = crm.suite["support"].database, crm.suite["support"].timers[0].fire

    async def numbered(call: Call, record: dict[str, Any]) -> None:
        found = await database["agent_loads"].find_one({"_id": mark})
        assert found
        call.changes.must_match("agent_loads", UpdateOne({"_id": mark, "n": found["n"]}, {"$inc": {"n": 1}}))
        await fire(call, record)

    (worker, _), timer, mark = await alone(crm, numbered)
    await database["agent_loads"].insert_one({"_id": mark, "n": 0})
    ids = await many(crm, mark, 7)
    await worker.fire_due(timer, later(2 * LONG))
    assert await fired(crm, ids) == set(ids)
    assert (await database["agent_loads"].find_one_and_delete({"_id": mark}) or {})["n"] == 7


async def test_nothing_happens_before_it_was_due_though_our_clock_be_slow(crm: Installation) -> None:
    """What is due is due by the database's clock; records that fire are changed then, not an hour earlier."""
    (worker, _), timer, mark = await alone(crm, None)
    (identity,) = await many(crm, mark, 1)
    moment = later(2 * LONG)
    await worker.fire_due(timer, moment)
    assert (await ticket(crm, identity))["update_time"] == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def test_the_search_for_what_is_due_reads_only_what_is_due(crm: Installation) -> None:
    await asyncio.gather(*(waiting(crm) for _ in range(5)))
    for name in ("support", "marketing", "customer"):
        database = crm.suite[name].database
        for timer in crm.suite[name].timers:
            find = {
                "find": timer.store.resource,
                "filter": {**timer.where, timer.due: {"$lte": later(timedelta())}},
                "sort": {timer.due: 1},
            }
            found = await database.command("explain", {**find, "hint": timer.index.document["name"]}, verbosity="executionStats")
            assert found["executionStats"]["totalKeysExamined"] <= 1
            unhinted = await database.command("explain", find, verbosity="executionStats")
            assert "COLLSCAN" not in str(unhinted["queryPlanner"]["winningPlan"])
