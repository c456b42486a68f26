"""A department that has just come up, and the streams it finds: it serves nothing before it can judge, and keeps streams safe."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import nats
import pytest
import pytest_asyncio
from crm.customer.v1 import customer_events_pb2, customer_service_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from chassis.access.link import OrganizationLink
from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.messaging import reactions
from chassis.messaging.broker import ensure_stream
from chassis.messaging.envelope import decode, encode
from chassis.messaging.reactions import INBOX, PARKED, Consumer, Reaction
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.rpc.call import Call
from chassis.rpc.channels import Channel
from chassis.storage.changes import COMMIT_SECONDS, Changes
from chassis.storage.client import Database, connect
from cli.compact import Suite
from tests.support.installation import Engines, Installation

CUSTOMERS = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]


@pytest_asyncio.fixture(loop_scope="session")
async def alone(engines: Engines, crm: Installation) -> AsyncIterator[Suite]:
    """A customer department whose organization does not answer."""
    plan = engines.plan()
    plan.secrets = crm.plan.secrets
    suite = Suite(plan)
    await suite.start(["customer"])
    yield suite
    await suite.stop()


async def test_department_without_a_policy_says_that_it_does_not_serve(alone: Suite) -> None:
    async with grpc.aio.insecure_channel(alone.plan.address("customer")) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=3)
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_good_token_is_put_off_not_refused_while_the_keys_are_not_known(alone: Suite, crm: Installation) -> None:
    link = OrganizationLink(crm.channels["organization"], "cli", crm.plan.secrets["cli"])
    channel = Channel("customer", alone.plan.address("customer"))
    told = []
    for _ in range(3):
        try:
            request = customer_service_pb2.ListCustomersRequest()
            told.append(await channel.call(CUSTOMERS, "ListCustomers", request, token=await link.token(), seconds=1))
        except CrmError as refusal:
            told.append((refusal.code if refusal.code != "DEADLINE_EXCEEDED" else "UNAVAILABLE", refusal.retryable))
    await channel.close()
    assert told == [("UNAVAILABLE", True)] * 3


@pytest.mark.parametrize("name", ["customer", "sales", "marketing", "support"])
def test_department_as_a_process_of_its_own_can_read_every_fact_that_it_reacts_to(name: str) -> None:
    root = Path(__file__).parents[3]
    # The process knows only what its own code imports; the types that exist are read from the files of the contract.
    code = f"""
from pathlib import Path
import importlib, json
from services.{name} import bootstrap, settings
from cli.plan import Plan, DEPARTMENTS, new_masters, new_secrets
ports = dict.fromkeys((*DEPARTMENTS, "gateway"), 1)
plan = Plan("mongodb://127.0.0.1:1/?replicaSet=crm", "nats://127.0.0.1:1", ports, ports, 1, 0, 1, new_secrets(), new_masters())
department = bootstrap.build(settings.Settings.from_env(plan.environment("{name}") | {{"CRM_WEB_ADDRESS": "127.0.0.1:0"}}))
from google.protobuf.descriptor_pool import Default
known = []
for reaction in department.reactions:
    for aggregate in reaction.aggregates:
        for path in Path("gen/crm", reaction.department, "v1").glob("*_events_pb2.pyi"):
            for line in path.read_text().splitlines():
                if line.startswith(f"class {{aggregate}}") and line.endswith("(_message.Message):"):
                    known.append(f"crm.{{reaction.department}}.v1.{{line[6:].split('(')[0]}}")
missing = []
for type_ in sorted(set(known)):
    try:
        Default().FindMessageTypeByName(type_)
    except KeyError:
        missing.append(type_)
print(json.dumps(missing))
"""
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'gen'}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


async def test_locks_of_a_killed_process_end_soon_after_the_longest_commit(engines: Engines) -> None:
    database = connect(engines.mongo_uri, "admin")
    found = await database.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
    await database.client.close()
    assert COMMIT_SECONDS <= found["transactionLifetimeLimitSeconds"] <= COMMIT_SECONDS + 5


async def test_settings_of_an_existing_stream_are_brought_to_what_safety_needs(engines: Engines) -> None:
    connection = await nats.connect(engines.nats_url)
    context = connection.jetstream()
    name = f"s{secrets.token_hex(4)}"
    await context.add_stream(
        StreamConfig(
            name=f"CRM_{name.upper()}", subjects=[f"crm.{name}.v1.>"], retention=RetentionPolicy.LIMITS, storage=StorageType.FILE,
            discard=DiscardPolicy.OLD, max_msgs=3, duplicate_window=1,
        )
    )  # fmt: skip
    await ensure_stream(context, name)
    config = (await context.stream_info(f"CRM_{name.upper()}")).config
    await context.delete_stream(f"CRM_{name.upper()}")
    await connection.close()
    assert (config.discard, config.max_msgs, config.duplicate_window) == (DiscardPolicy.NEW, -1, 120)


class Room:
    """A consumer of one reaction on a stream of its own, and what it has seen."""

    def __init__(self, database: Database, context: Any, department: str) -> None:
        self.database, self.context, self.department = database, context, department
        self.seen: list[int] = []
        self.broken = False
        reaction = Reaction("watch", department, (), self._handle, ("seen",))
        self.consumer = Consumer("tests", reaction, context, database, self._call, Metrics(), Traces("tests"))
        # The subject is the test's own, so that no department of the same engines hears it; the type is a real one.
        self.consumer.read = lambda message: decode(message.headers or {}, message.data)

    async def _handle(self, _: Call, events: Any) -> None:
        if self.broken:
            raise CrmError("another department does not answer", code="UNAVAILABLE", retryable=True)
        self.seen += [event.version for event in events]

    def _call(self, method: str) -> Call:
        return Call(None, None, self.database, Changes(self.database), method)  # type: ignore[arg-type]

    async def publish(self, identity: str, version: int, **headers: str) -> None:
        record = {"_id": identity, "version": version, "name": "Zoë \\ «甲»\n", "kind": "COMPANY"}
        event = encode(customer_events_pb2.CustomerUpdated, record, id=new_id(), time=now(), actor_id="p1")
        sent = {key: value for key, value in {**event.headers(), **headers}.items() if value}
        await self.context.publish(f"crm.{self.department}.v1.customer.updated.{identity}", event.payload, headers=sent)


@pytest_asyncio.fixture(loop_scope="session")
async def room(engines: Engines) -> AsyncIterator[Room]:
    """A stream, a database and a consumer of the test's own."""
    connection = await nats.connect(engines.nats_url)
    context = connection.jetstream()
    name = f"s{secrets.token_hex(4)}"
    await ensure_stream(context, name)
    database = connect(engines.mongo_uri, f"x{name}")
    for collection in (INBOX, PARKED):
        await database.create_collection(collection)
    made = Room(database, context, name)
    task = asyncio.create_task(made.consumer.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await context.delete_stream(f"CRM_{name.upper()}")
    await database.client.drop_database(database.name)
    await database.client.close()
    await connection.close()


async def test_versions_take_effect_in_order_and_repeats_have_none(room: Room) -> None:
    for version in (2, 1, 1, 3, 2, 3, 4):
        await room.publish("a", version)
    await Installation.until(lambda: len(room.seen) >= 4)
    assert room.seen == [1, 2, 3, 4]
    assert await room.database[INBOX].find_one({"_id": f"{room.consumer.durable}|a"}, {"version": 1, "_id": 0}) == {"version": 4}


async def test_message_that_cannot_be_read_is_parked_and_stops_neither_others_nor_its_own_record(room: Room) -> None:
    before, reactions.RETRY_SECONDS = reactions.RETRY_SECONDS, 0.01
    try:
        await room.publish("b", 1, **{"ce-type": "crm.customer.v1.CustomerTeleported"})
        await room.publish("c", 1)
        await Installation.until(lambda: room.seen == [1])
        await Installation.until(lambda: room.database[PARKED].find_one({}))
        parked = await room.database[PARKED].find_one({})
        assert parked is not None
        assert (parked["headers"]["ce-subject"], parked["reaction"], parked["deliveries"]) == ("b", "watch", reactions.MOST_DELIVERIES)
        await room.publish("b", 2)
        await Installation.until(lambda: room.seen == [1, 2])
    finally:
        reactions.RETRY_SECONDS = before


async def test_label_and_body_survive_the_way_through_the_broker(room: Room) -> None:
    await room.publish("d", 1)
    await Installation.until(lambda: room.seen == [1])
    message = await room.context.get_last_msg(f"CRM_{room.department.upper()}", f"crm.{room.department}.v1.customer.updated.d")
    event = decode(message.headers, message.data)
    assert (event.label, event.record["name"]) == ("Zoë \\ «甲»\n", "Zoë \\ «甲»\n")


async def test_outage_of_another_department_does_not_set_facts_aside(room: Room) -> None:
    room.broken = True
    before, reactions.RETRY_SECONDS = reactions.RETRY_SECONDS, 0.01  # an outage of 30 s in less than one
    try:
        for number in range(3):
            await room.publish(f"e{number}", 1)
        await asyncio.sleep(2)
        assert await room.database[PARKED].count_documents({}) == 0
        room.broken = False
        await Installation.until(lambda: room.seen == [1, 1, 1])
    finally:
        reactions.RETRY_SECONDS = before
