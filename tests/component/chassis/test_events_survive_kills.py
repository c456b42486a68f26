"""Departments killed again and again, at any moment: what was acknowledged is announced once and takes effect once.

Real processes, SIGKILL, a broker and a database that live on; sales writes and publishes, customer consumes into its timeline.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest_asyncio
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.storage.client import connect
from cli.engines import Child
from tests.support.installation import Engines, Installation

ROOT = Path(__file__).parents[3]
WRITERS, ROUNDS = 8, 4
TIMELINE = "customer-timeline-sales"


class Killable:
    """A department as a process of its own that is killed and started again."""

    def __init__(self, name: str, crm: Installation, folder: Path) -> None:
        self.name, self.crm, self.log = name, crm, folder / f"{name}.log"
        self.database = connect(crm.plan.mongo_uri, f"{crm.plan.database_prefix}_{name}")
        self.kills = 0

    async def start(self) -> None:
        paths = os.pathsep.join((str(ROOT), str(ROOT / "gen")))
        environment = {
            **os.environ,
            **self.crm.plan.environment(self.name),
            "PYTHONPATH": paths,
            "CRM_LOG_LEVEL": "WARNING",
            "CRM_DIE_WITH_PARENT": "1",
        }
        # Not Child.start: a fork with code before exec breaks in a process whose threads are inside gRPC.
        with self.log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"services.{self.name}", stdout=sink, stderr=sink, stdin=asyncio.subprocess.DEVNULL, env=environment
            )
        self.child = Child(self.name, process, self.log)

    async def answers(self) -> None:
        async def open_port() -> bool:
            assert not self.child.ended, self.child.last_words()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.crm.plan.grpc[self.name])
            except OSError:
                return False
            writer.close()
            return True

        await self.crm.until(open_port)

    async def kill(self) -> None:
        self.child.process.kill()
        await self.child.process.wait()
        self.kills += 1
        # What five seconds would do: the lease of the dead relay ends.
        await self.database["leases"].delete_many({})

    async def torment(self, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(ROUNDS):
            await self.answers()
            await asyncio.sleep(dice.uniform(0.05, 0.9))
            await self.kill()
            await self.start()
        await self.answers()


@pytest_asyncio.fixture(loop_scope="session")
async def departments(own_crm: Installation, tmp_path: Path) -> AsyncIterator[dict[str, Killable]]:
    """Sales and customer as processes; the rest stays in this one."""
    found = {name: Killable(name, own_crm, tmp_path) for name in ("sales", "customer")}
    await own_crm.suite.stop("sales", "customer")
    for department in found.values():
        await department.start()
    for department in found.values():
        await department.answers()
    yield found
    for department in found.values():
        await department.child.stop()
        await department.database.client.close()


async def _patient(crm: Installation, method: str, until: float, role: str = "SALES_LEAD", **fields: Any) -> Any:
    """An answer, however often the department has to be asked; always with the same request id. Fails when time is up."""
    fields["request_id"] = new_id()
    while True:
        try:
            return await crm.ask(method, role=role, **fields)
        except CrmError as refusal:
            # A department that has just come up may not know keys and policy yet: test_beginning.py judges that.
            assert refusal.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "BUSY", "INTERNAL", "UNAUTHENTICATED", "NOT_ALLOWED"), (
                refusal.message
            )
            assert asyncio.get_running_loop().time() < until, f"{method} is still refused: {refusal.code} {refusal.message}"
            await asyncio.sleep(0.05)


async def _move(crm: Installation, opportunity_id: str, stopped: asyncio.Event, acknowledged: list[tuple[str, int]]) -> None:
    forever = asyncio.get_running_loop().time() + 25
    while not stopped.is_set():
        for stage in ("second", "first"):
            answer = await _patient(crm, "MoveOpportunityStage", forever, opportunity_id=opportunity_id, stage_key=stage)
            acknowledged.append((opportunity_id, answer.opportunity.version))


async def _stream(context: JetStreamContext) -> list[tuple[str, str, int]]:
    """(event id, record, version) of everything in the stream of sales about opportunities."""
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, filter_subject="crm.sales.v1.opportunity.>")
    info = await context.add_consumer("CRM_SALES", config)
    subscription = await context.pull_subscribe_bind(info.name, "CRM_SALES")
    found: list[tuple[str, str, int]] = []
    while len(found) < (info.num_pending or 0):
        for message in await subscription.fetch(500, timeout=5):
            headers = message.headers or {}
            found.append((headers["ce-id"], headers["ce-subject"], int(headers["ce-version"])))
    await subscription.unsubscribe()
    return found


async def _hurry(context: JetStreamContext) -> None:
    """Shorten the half minute after which the broker gives what a dead consumer held to the living."""
    info = await context.consumer_info("CRM_SALES", TIMELINE)
    info.config.ack_wait = 1
    await context.add_consumer("CRM_SALES", info.config)


async def test_what_was_acknowledged_is_announced_once_and_entered_once(
    engines: Engines, own_crm: Installation, departments: dict[str, Killable]
) -> None:
    sales, customer = departments["sales"], departments["customer"]
    soon = asyncio.get_running_loop().time() + 15
    stages = [{"key": "first", "name": "first"}, {"key": "second", "name": "second"}]
    await _patient(own_crm, "CreatePipeline", soon, role="cli", name="way", stages=stages, is_default=True)
    firm = await _patient(own_crm, "CreateCustomer", soon, kind=1, name="firm")
    made = [
        await _patient(own_crm, "CreateOpportunity", soon, customer_id=firm.customer.id, name=f"deal {number}") for number in range(WRITERS)
    ]
    ids = [answer.opportunity.id for answer in made]
    acknowledged = [(identity, 1) for identity in ids]
    stopped = asyncio.Event()
    writers = [asyncio.create_task(_move(own_crm, identity, stopped, acknowledged)) for identity in ids]
    await asyncio.gather(sales.torment(1), customer.torment(2))
    stopped.set()
    await asyncio.gather(*writers)
    assert (sales.kills, customer.kills) == (ROUNDS, ROUNDS)
    assert len(acknowledged) == len(set(acknowledged)) > WRITERS * ROUNDS

    async def published() -> bool:
        return await sales.database["outbox"].find_one({"pending": True}) is None

    await own_crm.until(published)
    connection = await nats.connect(own_crm.plan.nats_url)
    context = connection.jetstream()
    await _hurry(context)

    async def taken() -> bool:
        info = await context.consumer_info("CRM_SALES", TIMELINE)
        return not info.num_pending and not info.num_ack_pending

    await own_crm.until(taken)
    outbox = [row async for row in sales.database["outbox"].find({"headers.ce-subject": {"$in": ids}})]
    events = [(row["_id"], row["headers"]["ce-subject"], int(row["headers"]["ce-version"])) for row in outbox]
    facts = Counter((record, version) for _, record, version in events)
    assert set(facts.values()) == {1}
    assert set(acknowledged) <= set(facts)
    assert sorted(await _stream(context)) == sorted(events)

    rows = customer.database["timeline_entries"].find({"record_id": {"$in": ids}})
    assert sorted([(row["_id"], row["record_id"], row["record_version"]) async for row in rows]) == sorted(events)
    stored = {row["_id"]: row["version"] async for row in sales.database["opportunities"].find({"_id": {"$in": ids}})}
    assert facts.keys() == {(identity, version) for identity, last in stored.items() for version in range(1, last + 1)}
    inbox = customer.database["inbox"].find({"_id": {"$in": [f"{TIMELINE}|{identity}" for identity in ids]}})
    assert {row["_id"].rsplit("|", 1)[1]: row["version"] async for row in inbox} == stored
    assert await customer.database["parked_events"].count_documents({}) == 0
    audit = sales.database["audit_entries"].find({"record_id": {"$in": ids}})
    assert Counter([(row["record_id"], row["version"]) async for row in audit]) == facts
    await connection.close()
