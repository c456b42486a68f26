"""A batch of facts is one transaction: what is wrong in the middle of it is set aside alone, and nothing of it takes effect twice."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any

import nats
import pytest
import pytest_asyncio
from crm.customer.v1 import customer_events_pb2
from nats.aio.msg import Msg
from pymongo import InsertOne
from pymongo.errors import AutoReconnect

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.kernel.tasks import settle
from chassis.messaging import reactions
from chassis.messaging.broker import ensure_stream, stream_name
from chassis.messaging.envelope import Event, decode, encode
from chassis.messaging.reactions import INBOX, PARKED, Consumer, Reaction, consumer_config
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.rpc.call import Call
from chassis.storage.changes import Changes
from chassis.storage.client import Database, connect
from tests.support.installation import Engines, Installation

EFFECTS = "effects"


class Desk:
    """A consumer that gets its batches from the test, on a stream and a database of its own. `refused` are versions that it fails on."""

    def __init__(self, database: Database, context: Any, department: str, *aggregates: str) -> None:
        self.database, self.context, self.department = database, context, department
        self.sizes: list[int] = []
        self.refused: set[str] = set()
        reaction = Reaction("batch", department, aggregates, self._handle, (EFFECTS,))
        self.consumer = Consumer("tests", reaction, context, database, self._call, Metrics(), Traces("tests"))
        self.consumer.read = lambda message: decode(message.headers or {}, message.data)  # the subject is the test's own

    async def _handle(self, call: Call, events: Sequence[Event]) -> None:
        names = [f"{event.aggregate_id}{event.version}" for event in events]
        if self.refused & set(names):
            raise RuntimeError("a fault of ours")
        self.sizes.append(len(events))
        for name in names:
            call.changes.write(EFFECTS, InsertOne({"_id": name, "batch": len(self.sizes)}))

    def _call(self, method: str) -> Call:
        return Call(None, None, self.database, Changes(self.database), method)  # type: ignore[arg-type]

    async def publish(self, *names: str, broken: str = "") -> None:
        """A fact for each name: the record and its version, e.g. "a1"."""
        for name in names:
            record = {"_id": name[0], "version": int(name[1:]), "name": "firm", "kind": "COMPANY"}
            event = encode(customer_events_pb2.CustomerUpdated, record, id=new_id(), time=now(), actor_id="p1")
            headers = {key: value for key, value in event.headers().items() if value}
            payload = b"\xff" if name == broken else event.payload
            await self.context.publish(f"crm.{self.department}.v1.customer.updated.{name[0]}", payload, headers=headers)

    async def take(self, count: int) -> list[Msg]:
        """So many messages as one batch; those that wait for their turn may come a moment after each other."""
        found: list[Msg] = []
        while len(found) < count:
            found += await self.subscription.fetch(count - len(found), timeout=20)
        return found

    async def effects(self) -> list[str]:
        """What took effect, by name."""
        return sorted([row["_id"] async for row in self.database[EFFECTS].find()])

    async def heard(self) -> dict[str, int]:
        """The inbox: record and version."""
        return {row["_id"].rsplit("|", 1)[1]: row["version"] async for row in self.database[INBOX].find()}

    async def unacknowledged(self) -> int:
        """Messages that the broker would deliver again."""
        return (await self.context.consumer_info(stream_name(self.department), self.consumer.durable)).num_ack_pending or 0


@pytest_asyncio.fixture(loop_scope="session")
async def desk(engines: Engines) -> AsyncIterator[Desk]:
    connection = await nats.connect(engines.nats_url)
    context = connection.jetstream()
    name = f"s{secrets.token_hex(4)}"
    await ensure_stream(context, name)
    database = connect(engines.mongo_uri, f"x{name}")
    for collection in (INBOX, PARKED, EFFECTS):
        await database.create_collection(collection)
    made = Desk(database, context, name)
    made.subscription = await made.consumer._subscribe()
    yield made
    await context.delete_stream(stream_name(name))
    await database.client.drop_database(database.name)
    await database.client.close()
    await connection.close()


async def test_facts_of_several_records_take_effect_in_one_transaction(desk: Desk) -> None:
    await desk.publish("a1", "b1", "a2", "a3", "b2")
    await desk.consumer.handle(await desk.take(5))
    assert desk.sizes == [5]
    assert await desk.effects() == ["a1", "a2", "a3", "b1", "b2"]
    assert await desk.heard() == {"a": 3, "b": 2}
    await Installation.until(lambda: _none(desk))


async def _none(desk: Desk) -> bool:
    return not await desk.unacknowledged()


async def test_a_repeat_in_a_batch_has_no_effect_and_a_gap_waits(desk: Desk) -> None:
    await desk.publish("a2", "a1", "a1", "a3", "b1")
    await desk.consumer.handle(await desk.take(5))
    assert (desk.sizes, await desk.effects(), await desk.heard()) == ([2], ["a1", "b1"], {"a": 1, "b": 1})
    await desk.consumer.handle(await desk.take(2))
    assert (desk.sizes, await desk.effects(), await desk.heard()) == ([2, 2], ["a1", "a2", "a3", "b1"], {"a": 3, "b": 1})
    await Installation.until(lambda: _none(desk))


async def test_what_cannot_be_read_in_the_middle_is_parked_alone_and_its_record_goes_on(desk: Desk) -> None:
    await desk.publish("a1", "a2", "b1", "a3", "b2", "b3", "a4", "b4", broken="b2")
    await desk.consumer.handle(await desk.take(8))
    assert await desk.effects() == ["a1", "a2", "a3", "a4", "b1", "b3", "b4"]
    assert await desk.heard() == {"a": 4, "b": 4}
    assert desk.sizes == [4, 1, 2]  # halves, not message by message
    rows = await desk.database[PARKED].find().to_list()
    assert [(row["headers"]["ce-subject"], row["headers"]["ce-version"], row["deliveries"]) for row in rows] == [("b", "2", 1)]
    await Installation.until(lambda: _none(desk))


async def test_one_fact_that_the_reaction_fails_on_keeps_only_its_own_record_waiting(desk: Desk) -> None:
    desk.refused = {"b2"}
    await desk.publish("a1", "b1", "a2", "b2", "a3", "b3", "a4", "c1")
    await desk.consumer.handle(await desk.take(8))
    assert await desk.effects() == ["a1", "a2", "a3", "a4", "b1", "c1"]
    assert await desk.heard() == {"a": 4, "b": 1, "c": 1}
    assert await desk.database[PARKED].count_documents({}) == 0
    desk.refused = set()
    await Installation.until(lambda: _caught_up(desk))
    assert await desk.effects() == ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "c1"]


async def _caught_up(desk: Desk) -> bool:
    if await desk.unacknowledged():
        await desk.consumer.handle(await desk.subscription.fetch(2, timeout=20))
    return await desk.heard() == {"a": 4, "b": 3, "c": 1} and await _none(desk)


@pytest.mark.parametrize("committed", [False, True])
async def test_a_batch_that_was_killed_takes_effect_once_when_it_comes_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    await desk.publish("a1", "a2", "b1")
    messages = await desk.take(3)
    commit = Changes.commit

    async def killed(changes: Changes) -> None:
        if committed:
            await commit(changes)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(Changes, "commit", killed)
        with pytest.raises(asyncio.CancelledError):
            await desk.consumer.handle(messages)
    assert await desk.heard() == ({"a": 2, "b": 1} if committed else {})
    assert await desk.unacknowledged() == 3
    await desk.consumer.handle(messages)
    assert await desk.effects() == ["a1", "a2", "b1"]
    assert await desk.heard() == {"a": 2, "b": 1}
    await Installation.until(lambda: _none(desk))


async def test_of_two_that_hold_the_same_batch_one_has_its_effect(desk: Desk) -> None:
    await desk.publish("a1", "a2", "b1", "a3")
    messages = await desk.take(4)
    other = Desk(desk.database, desk.context, desk.department)
    await asyncio.gather(desk.consumer.handle(messages), other.consumer.handle([copy(message) for message in messages]))
    await Installation.until(lambda: _heard_all(desk))
    assert await desk.effects() == ["a1", "a2", "a3", "b1"]


async def _heard_all(desk: Desk) -> bool:
    if await desk.unacknowledged():  # the loser's share comes again, and is a repeat; or its acknowledgement was on its way
        with suppress(TimeoutError):
            await desk.consumer.handle(await desk.subscription.fetch(4, timeout=6))
    return await desk.heard() == {"a": 3, "b": 1}


async def test_facts_that_the_reaction_does_not_listen_to_are_passed_over(desk: Desk) -> None:
    listening = Desk(desk.database, desk.context, desk.department, "Contact", "Customer")
    earlier = consumer_config(listening.consumer.durable, listening.consumer.reaction)  # as builds before this one made it
    two = [f"crm.{desk.department}.v1.{name}.*.*" for name in ("contact", "customer")]
    await desk.context.add_consumer(stream_name(desk.department), earlier.evolve(filter_subject=None, filter_subjects=two, metadata=None))
    listening.subscription = await listening.consumer._subscribe()
    config = (await desk.context.consumer_info(stream_name(desk.department), listening.consumer.durable)).config
    # With two filters NATS takes many times as long for a message; the metadata tell what is listened to.
    assert (config.filter_subject, config.filter_subjects) == (f"crm.{desk.department}.v1.>", None)
    assert config.metadata["aggregates"] == "Contact,Customer"
    await desk.context.publish(f"crm.{desk.department}.v1.segment.created.s", b"nothing that anybody could read")
    await desk.publish("a1", "b1")
    await listening.consumer._next(listening.subscription)
    assert (await listening.effects(), await listening.heard()) == (["a1", "b1"], {"a": 1, "b": 1})
    await Installation.until(lambda: _none(listening))
    assert await desk.database[PARKED].count_documents({}) == 0


async def test_a_fact_of_a_shape_that_only_a_newer_build_knows_is_set_aside_and_told_so(desk: Desk) -> None:
    record = {"_id": "a", "version": 1, "name": "firm", "kind": "COMPANY"}
    event = encode(customer_events_pb2.CustomerUpdated, record, id=new_id(), time=now(), actor_id="p1", shape=2)
    headers = {key: value for key, value in event.headers().items() if value}
    await desk.context.publish(f"crm.{desk.department}.v1.customer.updated.a", event.payload, headers=headers)
    await desk.publish("b1")
    await desk.consumer.handle(await desk.take(2))
    (parked,) = await desk.database[PARKED].find().to_list()
    assert "has shape 2, this build knows 1; update this department" in parked["reason"]
    assert await desk.effects() == ["b1"]


async def test_what_a_killed_process_had_taken_comes_again_soon(desk: Desk) -> None:
    await desk.publish("a1")
    await desk.take(1)
    begun = time.monotonic()
    await desk.consumer.handle(await desk.take(1))
    assert time.monotonic() - begun < 2 * reactions.ACK_SECONDS <= 4
    assert await desk.effects() == ["a1"]


async def test_what_takes_long_comes_to_nobody_else_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, heard = asyncio.Event(), desk.consumer.heard

    async def slow(identities: Iterable[str]) -> dict[str, int]:
        begun.set()
        await asyncio.sleep(2.2 * reactions.ACK_SECONDS)
        return await heard(identities)

    monkeypatch.setattr(desk.consumer, "heard", slow)
    await desk.publish("a1")
    work = asyncio.create_task(desk.consumer.handle(await desk.take(1)))
    await begun.wait()
    with pytest.raises(TimeoutError):
        await desk.subscription.fetch(1, timeout=2 * reactions.ACK_SECONDS)
    await work
    assert await desk.effects() == ["a1"]


async def test_what_the_database_was_away_for_comes_again_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Iterable[str]) -> dict[str, int]:
        raise AutoReconnect("the database is away")

    await desk.publish("a1", "b1")
    with monkeypatch.context() as patched, pytest.raises(AutoReconnect):
        patched.setattr(desk.consumer, "heard", away)
        await desk.consumer.handle(await desk.take(2))
    begun = time.monotonic()
    await desk.consumer.handle(await desk.take(2))
    assert time.monotonic() - begun < reactions.ACK_SECONDS / 2
    assert await desk.effects() == ["a1", "b1"]


async def test_who_waits_for_a_broker_that_went_away_asks_it_anew_when_it_is_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def lost(_: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(reactions, "FETCH_SECONDS", 0.1)
    monkeypatch.setattr(reactions.quiet, "first", lost)
    work = asyncio.create_task(desk.consumer.run())
    await asked.wait()
    await desk.publish("a1")
    desk.consumer.broker_back()
    await Installation.until(desk.effects)
    await settle([work])


async def test_all_who_wait_in_a_department_ask_a_broker_that_is_back_anew(crm: Installation) -> None:
    department = crm.suite["customer"]
    consumers = department.consumers.values()
    await crm.until(lambda: all(one._asking for one in consumers))
    asked = [one._asking for one in consumers]
    await department.nats._reconnected_cb()
    await crm.until(lambda: all(one._asking and one._asking is not before for one, before in zip(consumers, asked, strict=True)))
