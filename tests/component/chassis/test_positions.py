"""The order in which facts were first published is kept: a cursor stands in it, whatever happens to the relay or the stream afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest_asyncio
from pymongo import ASCENDING

from chassis.messaging.broker import stream_name
from chassis.messaging.relay import Relay, publish_again
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from tests.component.chassis.test_events_repair import order
from tests.support.installation import Installation


@pytest_asyncio.fixture(loop_scope="session")
async def relay(own_crm: Installation) -> AsyncIterator[Relay]:
    """A relay of sales; the department itself is down, so nobody else publishes."""
    orders = [await order(own_crm) for _ in range(4)]
    assert orders
    await own_crm.settled()
    database, department = own_crm.suite["sales"].database, own_crm.suite["sales"]
    await own_crm.suite.stop("sales")
    connection = await nats.connect(own_crm.plan.nats_url)

    async def nothing() -> None:
        raise AssertionError("the stream is there")

    database = type(database)(own_crm.suite["customer"].database.client, database.name)
    yield Relay(department.name, database, connection.jetstream(), Metrics(), Traces("tests", ""), nothing)
    await connection.close()


async def _places(relay: Relay) -> list[str]:
    rows = relay.database["outbox"].find({"position": {"$exists": True}}).sort([("position", ASCENDING), ("_id", ASCENDING)])
    return [row["_id"] async for row in rows]


async def _pending(relay: Relay, *ids: str) -> list[dict[str, Any]]:
    """Facts as they are between commit and publication; copies of one that was published before, under ids of their own."""
    like = await relay.database["outbox"].find_one({"position": {"$exists": True}})
    assert like is not None
    for name in ("position", "publish_time", "sequence"):
        del like[name]
    rows = [like | {"_id": one, "pending": True, "headers": like["headers"] | {"Nats-Msg-Id": one, "ce-id": one}} for one in ids]
    await relay.database["outbox"].insert_many(rows)
    return rows


async def test_what_a_relay_published_and_did_not_live_to_mark_stands_before_what_came_later(relay: Relay) -> None:
    before = await _places(relay)
    assert len(before) == 4
    first, last = await _pending(relay, "zz1", "zz3")
    for row in (first, last):  # a relay that dies now has been heard by everybody
        await relay.context.publish(row["subject"], row["payload"], headers={key: value for key, value in row["headers"].items() if value})
    await _pending(relay, "zz2")
    assert await relay.lease.hold()
    assert await relay._turn() == 3
    assert await _places(relay) == [*before, "zz1", "zz3", "zz2"]


async def test_what_is_published_again_keeps_its_place(relay: Relay) -> None:
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
