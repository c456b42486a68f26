"""The order in which facts were first published is kept: a cursor stands in it, whatever happens to the relay or the stream afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.msg import Msg
from nats.js.api import PubAck
from nats.js.errors import NotFoundError
from pymongo import ASCENDING

from chassis.kernel.ids import new_id, time_of
from chassis.kernel.tasks import settle
from chassis.messaging.broker import ensure_stream, stream_name
from chassis.messaging.relay import Relay, publish_again, under_way
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.rpc import facts
from tests.component.chassis.test_events_repair import order
from tests.support.installation import Installation
from tests.support.stream import held

PAST = datetime(1970, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def relay(file_crm: Installation) -> AsyncIterator[Relay]:
    """A relay of sales; the department itself is down, so nobody else publishes."""
    for _ in range(4):
        await order(file_crm)
    await file_crm.settled()
    database, department = file_crm.suite["sales"].database, file_crm.suite["sales"]
    await file_crm.suite.stop("sales")
    connection = await nats.connect(file_crm.plan.nats_url)
    context = connection.jetstream()
    database = type(database)(file_crm.suite["customer"].database.client, database.name)
    yield Relay(department.name, database, context, Metrics(), Traces("tests", ""), lambda: ensure_stream(context, department.name))
    await connection.close()


async def _places(relay: Relay) -> list[str]:
    rows = relay.database["outbox"].find({"position": {"$exists": True}}).sort([("position", ASCENDING), ("_id", ASCENDING)])
    return [row["_id"] async for row in rows]


async def _pending(relay: Relay, *ids: str) -> list[dict[str, Any]]:
    """Facts as they are between commit and publication; copies of one that was published before, under ids of their own."""
    like = await relay.database["outbox"].find_one({"position": {"$exists": True}})
    assert like is not None
    like = {name: value for name, value in like.items() if name not in ("position", "publish_time", "sequence")}
    rows = [like | {"_id": one, "pending": True, "headers": like["headers"] | {"Nats-Msg-Id": one, "ce-id": one}} for one in ids]
    await relay.database["outbox"].insert_many(rows)
    return rows


def _another(relay: Relay) -> Relay:
    """The same department's relay in another process."""
    return Relay(relay.department, relay.database, relay.context, Metrics(), Traces("tests", ""), relay.make_stream)


async def _dies(relay: Relay, dice: random.Random) -> None:
    """A turn of a relay that is killed somewhere in it."""
    assert await relay.lease.hold()
    relay._mark = _killed  # type: ignore[method-assign,assignment]
    if dice.random() < 0.3:
        relay._publish = _killed  # type: ignore[method-assign,assignment]
    elif dice.random() < 0.5:
        whole, most = relay._publish, dice.randint(1, 3)

        async def some(rows: list[dict[str, Any]]) -> list[PubAck]:
            await whole(rows[:most])
            raise TimeoutError

        relay._publish = some  # type: ignore[method-assign]
    with contextlib.suppress(TimeoutError):
        await relay._turn()
    await relay.lease.release()


async def _killed(*_: Any) -> Any:
    raise TimeoutError


async def test_facts_stand_in_the_order_in_which_they_were_first_heard_however_often_relays_die(
    relay: Relay, file_crm: Installation
) -> None:
    """Ids come in any order. Who has heard of a fact can go on behind it at once, and behind it stands all that was not heard before."""
    connection = await nats.connect(file_crm.plan.nats_url)
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        if (one := (message.headers or {})["ce-id"]).startswith("zz") and one not in heard:
            heard.append(one)

    await connection.subscribe("crm.sales.v1.>", cb=hear)
    for seed in range(12):
        dice, before = random.Random(seed), await _places(relay)
        earlier = len(heard)
        ids = [f"zz{seed:02}{number:02}" for number in range(30)]
        dice.shuffle(ids)
        while ids:
            await _pending(relay, *(ids.pop() for _ in range(min(len(ids), dice.randint(1, 4)))))
            if dice.random() < 0.2:  # then the broker does not know either what it has seen
                with contextlib.suppress(NotFoundError):
                    await relay.context.delete_stream(stream_name("sales"))
            await (_dies(_another(relay), dice) if dice.random() < 0.6 else _lives(_another(relay)))
            await connection.flush()
            for one in heard[-3:]:
                assert await _place_of(relay, one), (seed, one)
        await _lives(_another(relay))
        await connection.flush()
        assert len(heard) == earlier + 30
        assert (await _places(relay))[len(before) :] == heard[earlier:], seed
        assert await held(relay.context, "sales") == set(await _places(relay)), seed
    await connection.close()


async def _lives(relay: Relay) -> None:
    assert await relay.lease.hold()
    while await relay._turn():
        pass
    await relay.lease.release()


async def _place_of(relay: Relay, fact: str) -> bool:
    """Whether a client who has heard of a fact can go on behind it."""
    row = await relay.database["outbox"].find_one({"_id": fact})
    assert row is not None
    return "position" in row or fact in (await under_way(relay.database))[1]


async def test_what_is_published_again_keeps_its_place(relay: Relay) -> None:
    await _lives(relay)
    before = await _places(relay)
    assert await relay.lease.hold()
    assert await publish_again(relay.database, {"_id": before[1]}) == 1
    assert await relay._turn() == 1
    assert await _places(relay) == before
    await _pending(relay, "zz4")
    assert await relay._turn() == 1
    assert await _places(relay) == [*before, "zz4"]
    info = await relay.context.stream_info(stream_name("sales"))
    assert info.state.messages >= 6


@pytest.mark.parametrize("fails", ["_mark", "_lost", "_publish"])
async def test_a_loss_that_was_seen_while_something_else_fell_down_is_still_seen_afterwards(relay: Relay, fails: str) -> None:
    """The broker lost its store and somebody made the stream again; the relay publishes, and what comes after that fails once."""
    await _lives(relay)
    again = _another(relay)
    await _pending(relay, f"zz9{fails}1")
    await _lives(again)
    await relay.context.delete_stream(stream_name("sales"))
    await relay.make_stream()
    await _pending(relay, f"zz9{fails}2")
    whole = getattr(again, fails)

    async def once(*given: Any) -> Any:
        setattr(again, fails, whole)
        if fails == "_publish":  # sent, but the acknowledgements are lost
            await whole(*given)
        raise TimeoutError

    setattr(again, fails, once)
    assert await again.lease.hold()
    again.lease.begun, again._look_due = False, time.monotonic() + 60  # it is no new one, and does not look just now
    with pytest.raises(TimeoutError):
        await again._turn()
    await _lives(again)
    assert await held(relay.context, "sales") == set(await _places(relay))


async def test_who_takes_over_sees_that_the_broker_lost_the_end_of_the_stream(relay: Relay) -> None:
    """How far the stream went is noted with the next batch: after the last one it stands on its rows alone."""
    await _lives(relay)
    await relay.context.delete_stream(stream_name("sales"))
    await _lives(_another(relay))
    await _pending(relay, "zz92")
    await _lives(_another(relay))
    end = (await relay.context.stream_info(stream_name("sales"))).state.last_seq
    before = [await relay.context.get_msg(stream_name("sales"), number) for number in range(1, end)]
    await relay.context.delete_stream(stream_name("sales"))
    await relay.make_stream()
    for message in before:
        await relay.context.publish(message.subject or "", message.data or b"", headers=message.headers)
    assert "zz92" not in await held(relay.context, "sales")
    again = _another(relay)
    assert await again.lease.hold()
    for _ in range(2):  # it believes what it is told twice
        await again._turn()
        again._look_due = 0.0
    await _lives(again)
    assert await held(relay.context, "sales") == set(await _places(relay))


@pytest.mark.parametrize("ticks", range(4))
async def test_a_relay_that_is_stopped_in_the_moment_in_which_it_is_woken_ends(relay: Relay, ticks: int) -> None:
    await _lives(relay)
    another = _another(relay)
    running = asyncio.create_task(another.run())
    await Installation.until(lambda: another.woken._waiters)
    another.wake(1)
    for _ in range(ticks):
        await asyncio.sleep(0)
    running.cancel()
    ended, _ = await asyncio.wait([running], timeout=5)
    await settle([running])
    await another.lease.release()
    assert ended


async def test_what_is_marked_while_somebody_asks_for_it_is_found(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fact goes from the batch under way to its own place between the two questions, whichever comes first."""
    await _lives(relay)
    place = (await _places(relay))[-1]
    (row,) = await _pending(relay, "zz5")
    assert await relay.lease.hold()
    assert [one["_id"] for one in await relay._next()] == ["zz5"]
    call: Any = SimpleNamespace(database=relay.database, milliseconds_left=1000)
    asked: list[str] = []

    def marking(name: str) -> Any:
        ask = getattr(facts, name)

        async def wrapped(*given: Any) -> Any:
            found = await ask(*given)
            if not asked:
                await relay._mark([row], 0)
            asked.append(name)
            return found

        return wrapped

    for name in ("_sent", "_marked"):
        monkeypatch.setattr(facts, name, marking(name))
    position, batch = await under_way(relay.database)
    start = await facts._place(call, place, position, batch)
    found = await facts._since(call, start, position, batch)
    assert [one["_id"] for one in found][-2:] == [place, "zz5"]
    assert len(asked) == 2
    relay._unmarked = []


async def test_a_fact_that_is_under_way_has_its_place(relay: Relay) -> None:
    await _lives(relay)
    await _pending(relay, "zz6", "zz7")
    assert await relay.lease.hold()
    assert len(await relay._next()) == 2
    call: Any = SimpleNamespace(database=relay.database, milliseconds_left=1000)
    position, batch = await under_way(relay.database)
    assert (position, batch) == (relay._position, ["zz6", "zz7"])
    assert await facts._place(call, "zz6", position, batch) == (position, "zz6")
    assert [row["_id"] for row in await facts._since(call, (position, "zz6"), position, batch)] == ["zz6", "zz7"]
    await _lives(relay)
    assert (await _places(relay))[-2:] == ["zz6", "zz7"]


async def test_who_lost_the_lease_begins_no_batch_and_marks_nothing_that_is_to_be_published_again(relay: Relay) -> None:
    await _lives(relay)
    (row,) = await _pending(relay, "zz8")
    assert await relay.lease.hold()
    other = _another(relay)
    await relay.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "", "until": PAST}})
    assert await relay._next() == []
    await _lives(other)
    assert await publish_again(relay.database, {"_id": "zz8"}) == 1
    await relay._mark([row], 0)  # late
    assert [one["_id"] async for one in relay.database["outbox"].find({"pending": True})] == ["zz8"]
    await _lives(_another(relay))


async def test_a_moment_stands_before_all_that_was_made_since_also_when_it_is_published_again(relay: Relay) -> None:
    await _lives(relay)
    call: Any = SimpleNamespace(database=relay.database, milliseconds_left=1000)
    early = new_id()
    await _pending(relay, early)
    await _lives(relay)
    await _pending(relay, new_id())
    await _lives(relay)
    place = await relay.database["outbox"].find_one({"_id": early})
    assert place is not None
    assert await publish_again(relay.database, {}) > 4  # nothing has a time of publication now
    position, batch = await under_way(relay.database)
    assert await facts._place(call, f"@{int(time_of(early) * 1000)}", position, batch) == (place["position"], "")
    await _lives(relay)
