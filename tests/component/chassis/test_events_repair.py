"""Facts that the broker lost come all the same: the outbox is the truth, the stream a transport. And what was set aside can be dealt with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
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
from cli.engines import free_port, start_nats
from tests.support.installation import Engines, Installation

TIMELINE, SALES = "customer-timeline-sales", stream_name("sales")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broken(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation with a broker of its own, which may lose things."""
    folder: Path = tmp_path_factory.mktemp("broken")
    child, url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
    installation = Installation(engines, url)
    await installation.start()
    yield installation
    await installation.stop()
    await child.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def stream(broken: Installation) -> AsyncIterator[Any]:
    """The broker, for taking things away."""
    connection = await nats.connect(broken.plan.nats_url)
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


async def test_a_stream_that_is_gone_is_made_again_with_everything_in_it(broken: Installation, stream: Any) -> None:
    before = await order(broken)
    await broken.until(lambda: told(broken, before))
    was = (await stream.stream_info(SALES)).state.messages
    await stream.delete_stream(SALES)
    after = await order(broken)

    async def whole() -> bool:
        with suppress(nats.js.errors.NotFoundError):
            return bool((await stream.stream_info(SALES)).state.messages > was)
        return False

    await broken.until(whole, 15)
    await broken.until(lambda: told(broken, after), 15)
    assert (await told(broken, before), await told(broken, after)) == (1, 1)


async def test_what_a_broker_forgot_that_nobody_had_heard_comes_again(broken: Installation, stream: Any) -> None:
    """The broker came back empty, from before everything, while the reader was away."""
    await broken.suite.stop("customer")
    lost = [await order(broken) for _ in range(3)]
    await broken.until(lambda: published(broken))
    config = (await stream.stream_info(SALES)).config
    await stream.delete_stream(SALES)
    await stream.add_stream(config)
    await broken.suite.start(["customer"])
    for order_id in lost:
        await broken.until(lambda order_id=order_id: told(broken, order_id), 20)
        assert await told(broken, order_id) == 1


async def test_a_hole_before_later_facts_is_filled_by_asking_the_owner(broken: Installation, stream: Any) -> None:
    await broken.suite.stop("customer")
    source_key = new_id()
    order_id = await order(broken, source_key)
    for _ in range(2):
        await order(broken, source_key)
    await broken.until(lambda: published(broken))
    last = (await stream.stream_info(SALES)).state.last_seq
    await stream.delete_msg(SALES, last - 1)
    await broken.suite.start(["customer"])
    started = asyncio.get_running_loop().time()
    await broken.until(heard(broken, order_id, 3), 20)
    print(f"the hole was filled {asyncio.get_running_loop().time() - started:.1f} s after the start")
    assert await told(broken, order_id) == 3


def heard(crm: Installation, order_id: str, version: int) -> Any:
    async def yet() -> bool:
        found = await crm.suite["customer"].consumers[TIMELINE].heard([order_id])
        return found.get(order_id) == version

    return yet


async def test_a_loss_that_nothing_tells_of_is_found_by_comparing(
    broken: Installation, stream: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await broken.settled()
    monkeypatch.setattr(reconciler, "SETTLED_SECONDS", 1e9)  # only when it is told to
    await broken.suite.stop("customer")
    order_id = await order(broken)
    await broken.until(lambda: published(broken))
    await stream.delete_msg(SALES, (await stream.stream_info(SALES)).state.last_seq)
    await broken.suite.start(["customer"])
    await broken.settled()
    await asyncio.sleep(1.5)
    assert await told(broken, order_id) == 0
    monkeypatch.setattr(reconciler, "SETTLED_SECONDS", 0)
    with suppress(SystemExit):
        await events.reconcile(broken.plan, ["customer"])
    assert re.search(r"customer +← sales +\d+ compared, 1 missing, published again", capsys.readouterr().out)
    await broken.until(lambda: told(broken, order_id), 10)
    await broken.settled()
    await events.reconcile(broken.plan, from_beginning=True)
    text = capsys.readouterr().out
    assert text.count("all heard") == len(text.splitlines()) >= 10


async def test_a_fact_that_was_set_aside_is_shown_tried_again_and_dropped(broken: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    consumer = broken.suite["customer"].consumers[TIMELINE]
    sound = consumer.reaction

    async def fail(_: Any, batch: Any) -> None:
        raise ValueError("the timeline is out of ink")

    consumer.reaction = replace(sound, handle=fail)
    kept, dropped = await order(broken), await order(broken)
    audit = broken.suite["customer"].database["parked_events"]

    async def both() -> bool:
        return await audit.count_documents({}) == 2

    await broken.until(both)
    await events.parked(broken.plan)
    text = capsys.readouterr().out
    assert ("ValueError: the timeline is out of ink" in text, "2 parked" in text) == (True, True)
    ids = re.findall(r"customer-timeline-sales\|\w+", text)
    await events.show(broken.plan, ids[:1])
    shown = json.loads(capsys.readouterr().out)
    first = shown["headers"]["ce-subject"]
    assert (shown["content"]["order"]["_id"], shown["headers"]["ce-type"]) == (first, "crm.sales.v1.OrderCreated")
    with pytest.raises(SystemExit):
        await events.retry(broken.plan, ids[:1])
    assert "out of ink" in capsys.readouterr().out
    consumer.reaction = sound
    assert list(await asyncio.gather(*(tried(broken, ids[0]) for _ in range(4)))).count("") == 1
    assert await told(broken, first) == 1
    await events.drop(broken.plan, ids[1:], "the order was a test")
    assert "1 dropped" in capsys.readouterr().out
    assert await told(broken, ({kept, dropped} - {first}).pop()) == 0
    entry = await broken.suite["customer"].database["audit_entries"].find_one({"action": "ParkedEventDropped"})
    assert entry
    assert (entry["actor_id"], entry["reason"]) == ("service-cli", "the order was a test")
    await events.parked(broken.plan)
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
async def test_ids_that_are_none_are_refused_before_anything_is_asked(broken: Installation, identity: str) -> None:
    with pytest.raises(CrmError, match="is no id of a parked fact"):
        await events.drop(broken.plan, [identity], "x")
