"""Facts that the broker lost come all the same: the outbox is the truth, the stream a transport. And what was set aside can be dealt with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import nats
import pytest
import pytest_asyncio
from crm.common.v1 import event_service_pb2 as contract

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.messaging import reconciler
from chassis.messaging.broker import stream_name
from cli import events
from cli.batches import Batches
from tests.support.installation import Installation

TIMELINE, SALES = "customer-timeline-sales", stream_name("sales")


@pytest_asyncio.fixture(loop_scope="session")
async def stream(file_crm: Installation) -> AsyncIterator[Any]:
    """The broker, for taking things away."""
    connection = await nats.connect(file_crm.plan.nats_url)
    yield connection.jetstream()
    await connection.close()


CUSTOMER = "0" * 26
PRICE = {"currency_code": "CNY", "amount_micros": 5_000_000}
LINE = {"product_code": "P", "description": "阀", "quantity": 1, "unit_price": PRICE, "amount": PRICE}


async def order(crm: Installation, source_key: str = "") -> str:
    """An order that comes in by an import, or comes in again with another number: sales alone has to be up."""
    row = {"source_key": source_key or new_id(), "customer_id": CUSTOMER, "number": new_id(), "kind": 1, "state": 1, "lines": [LINE]}
    answer = await crm.ask("BatchUpsertOrders", orders=[{**row, "order_time": {"seconds": 1_700_000_000}}])
    assert answer.outcomes[0].result in (1, 2), answer.outcomes[0]
    return str(answer.outcomes[0].id)


async def told(crm: Installation, order_id: str) -> int:
    """How many entries of the timeline an order has."""
    return int(await crm.suite["customer"].database["timeline_entries"].count_documents({"record_id": order_id}))


async def published(crm: Installation) -> bool:
    return await crm.suite["sales"].database["outbox"].count_documents({"pending": True}) == 0


async def test_a_stream_that_is_gone_is_made_again_with_everything_in_it(file_crm: Installation, stream: Any) -> None:
    before = await order(file_crm)
    await file_crm.until(lambda: told(file_crm, before))
    was = (await stream.stream_info(SALES)).state.messages
    await stream.delete_stream(SALES)
    after = await order(file_crm)

    async def whole() -> bool:
        with suppress(nats.js.errors.NotFoundError):
            return bool((await stream.stream_info(SALES)).state.messages > was)
        return False

    await file_crm.until(whole, 15)
    await file_crm.until(lambda: told(file_crm, after), 15)
    assert (await told(file_crm, before), await told(file_crm, after)) == (1, 1)


async def test_what_a_broker_forgot_that_nobody_had_heard_comes_again(file_crm: Installation, stream: Any) -> None:
    """The broker came back empty, from before everything, while the reader was away."""
    await file_crm.suite.stop("customer")
    lost = [await order(file_crm) for _ in range(3)]
    await file_crm.until(lambda: published(file_crm))
    config = (await stream.stream_info(SALES)).config
    await stream.delete_stream(SALES)
    await stream.add_stream(config)
    await file_crm.suite.start(["customer"])
    for order_id in lost:
        await file_crm.until(lambda order_id=order_id: told(file_crm, order_id), 20)
        assert await told(file_crm, order_id) == 1


async def test_a_hole_before_later_facts_is_filled_by_asking_the_owner(file_crm: Installation, stream: Any) -> None:
    await file_crm.suite.stop("customer")
    source_key = new_id()
    order_id = await order(file_crm, source_key)
    for _ in range(2):
        await order(file_crm, source_key)
    await file_crm.until(lambda: published(file_crm))
    last = (await stream.stream_info(SALES)).state.last_seq
    await stream.delete_msg(SALES, last - 1)
    await file_crm.suite.start(["customer"])
    started = asyncio.get_running_loop().time()
    await file_crm.until(heard(file_crm, order_id, 3), 20)
    print(f"the hole was filled {asyncio.get_running_loop().time() - started:.1f} s after the start")
    assert await told(file_crm, order_id) == 3


def heard(crm: Installation, order_id: str, version: int) -> Any:
    async def yet() -> bool:
        found = await crm.suite["customer"].consumers[TIMELINE].heard([order_id])
        return found.get(order_id) == version

    return yet


async def test_a_loss_that_nothing_tells_of_is_found_by_comparing(
    file_crm: Installation, stream: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await file_crm.settled()
    monkeypatch.setattr(reconciler, "SETTLED_SECONDS", 1e9)  # only when it is told to
    await file_crm.suite.stop("customer")
    order_id = await order(file_crm)
    await file_crm.until(lambda: published(file_crm))
    await stream.delete_msg(SALES, (await stream.stream_info(SALES)).state.last_seq)
    await file_crm.suite.start(["customer"])
    await file_crm.settled()
    await asyncio.sleep(1.5)
    assert await told(file_crm, order_id) == 0
    monkeypatch.setattr(reconciler, "SETTLED_SECONDS", 0)
    with suppress(SystemExit):
        await events.reconcile(file_crm.plan, ["customer"])
    assert re.search(r"customer +← sales +\d+ compared, 1 missing, published again", capsys.readouterr().out)
    await file_crm.until(lambda: told(file_crm, order_id), 10)
    await file_crm.settled()
    await events.reconcile(file_crm.plan, from_beginning=True)
    text = capsys.readouterr().out
    assert text.count("all heard") == len(text.splitlines()) >= 10


async def test_a_fact_that_was_set_aside_is_shown_tried_again_and_dropped(
    file_crm: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    consumer = file_crm.suite["customer"].consumers[TIMELINE]
    sound = consumer.reaction

    async def fail(_: Any, batch: Any) -> None:
        raise ValueError("the timeline is out of ink")

    consumer.reaction = replace(sound, handle=fail)
    kept, dropped = await order(file_crm), await order(file_crm)
    audit = file_crm.suite["customer"].database["parked_events"]

    async def both() -> bool:
        return await audit.count_documents({}) == 2

    await file_crm.until(both)
    await events.parked(file_crm.plan)
    text = capsys.readouterr().out
    assert ("ValueError: the timeline is out of ink" in text, "2 parked" in text) == (True, True)
    ids = re.findall(r"customer-timeline-sales\|\w+", text)
    await events.show(file_crm.plan, ids[:1])
    shown = json.loads(capsys.readouterr().out)
    first = shown["headers"]["ce-subject"]
    assert (shown["content"]["order"]["_id"], shown["headers"]["ce-type"]) == (first, "crm.sales.v1.OrderCreated")
    with pytest.raises(SystemExit):
        await events.retry(file_crm.plan, ids[:1])
    assert "out of ink" in capsys.readouterr().out
    consumer.reaction = sound
    assert list(await asyncio.gather(*(tried(file_crm, ids[0]) for _ in range(4)))).count("") == 1
    assert await told(file_crm, first) == 1
    await events.drop(file_crm.plan, ids[1:], "the order was a test")
    assert "1 dropped" in capsys.readouterr().out
    assert await told(file_crm, ({kept, dropped} - {first}).pop()) == 0
    entry = await file_crm.suite["customer"].database["audit_entries"].find_one({"action": "ParkedEventDropped"})
    assert entry
    assert (entry["actor_id"], entry["reason"]) == ("service-cli", "the order was a test")
    await events.parked(file_crm.plan)
    assert "nothing is parked" in capsys.readouterr().out


async def tried(crm: Installation, identity: str) -> str:
    """What one of several operators who retry at once is told."""
    batches = Batches(crm.plan)
    try:
        request = contract.RetryParkedEventsRequest(parked_ids=[identity])
        return str((await batches.call("customer", reconciler.SERVICE, "RetryParkedEvents", request)).outcomes[0].refusal)
    finally:
        await batches.close()


@pytest.mark.parametrize("identity", ["nobody-x|1", "customer", "sales"])
async def test_ids_that_are_none_are_refused_before_anything_is_asked(file_crm: Installation, identity: str) -> None:
    with pytest.raises(CrmError, match="is no id of a parked fact"):
        await events.drop(file_crm.plan, [identity], "x")
