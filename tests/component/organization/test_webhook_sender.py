"""The sender of webhooks: one at a time by a lease; killed at any moment it sends twice under one id, and loses nothing."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio

from chassis.access.caller import Caller
from chassis.access.directory import Directory
from chassis.kernel.addresses import networks_of
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.storage.changes import Changes
from chassis.storage.client import Database, connect
from chassis.storage.encryption import Masters, Vault
from chassis.storage.lease import Lease
from cli.plan import new_master
from services.organization.webhook_deliveries import model
from services.organization.webhook_deliveries.link import WebhookLink
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_deliveries.workers import WebhookSender
from services.organization.webhook_endpoints import credentials
from services.organization.webhook_endpoints.destinations import Destinations
from services.organization.webhook_endpoints.store import WebhookEndpoints
from tests.component.chassis.test_events_survive_kills import Killable
from tests.support.installation import Engines, Installation
from tests.support.receivers import Receiver, deliveries, due, endpoint

LAPTOP = Destinations(networks_of("127.0.0.0/8"), development=True)


@dataclass
class Log:
    """A log of deliveries in a database of its own, and senders beside each other."""

    database: Database
    vault: Vault
    stored = WebhookDeliveries()

    def call(self, method: str) -> Call:
        return Call(
            Caller("service-organization", frozenset()), Directory(), self.database, Changes(self.database, vault=self.vault), method
        )

    def sender(self) -> WebhookSender:
        return WebhookSender(WebhookEndpoints(), self.stored, WebhookLink(LAPTOP), self.call)

    async def endpoint(self, url: str) -> str:
        identity, call = new_id(), self.call("test")
        await self.database["webhook_endpoints"].insert_one({"_id": identity, "version": 1, "enabled": True, "url": url, "event_types": []})
        await credentials.renew(call, identity)
        await call.changes.commit()
        return identity

    async def take(self, endpoint_id: str, count: int) -> None:
        call = self.call("test")
        for _ in range(count):
            self.stored.take(call, model.test_of({"_id": endpoint_id, "version": 1}, call.now))
        await call.changes.commit()

    async def states(self) -> dict[str, int]:
        found = await self.database["webhook_deliveries"].aggregate([{"$group": {"_id": "$state", "count": {"$sum": 1}}}])
        return {row["_id"]: row["count"] async for row in found}

    async def delivered(self, count: int) -> None:
        async def are() -> bool:
            return await self.states() == {"DELIVERED": count}

        await Installation.until(are)


@pytest_asyncio.fixture(loop_scope="session")
async def log(engines: Engines) -> AsyncIterator[Log]:
    database = connect(engines.mongo_uri, f"w{secrets.token_hex(4)}_organization")
    for name in ("webhook_deliveries", "webhook_endpoints", credentials.SECRETS, "leases", "subject_keys"):
        await database.create_collection(name)
    await database["webhook_deliveries"].create_indexes(Log.stored.indexes())
    vault = Vault(database, Masters.of(new_master()))
    await vault.begin()
    yield Log(database, vault)
    await database.client.drop_database(database.name)
    await database.client.close()


async def test_of_two_senders_one_sends_and_the_other_takes_over_from_a_dead_one(log: Log) -> None:
    async with Receiver() as receiver:
        identity = await log.endpoint(receiver.url)
        await log.take(identity, 60)
        senders, leases = [log.sender(), log.sender()], [Lease(log.database, "webhooks"), Lease(log.database, "webhooks")]
        running = [asyncio.create_task(lease.while_held(sender.run)) for lease, sender in zip(leases, senders, strict=True)]
        await log.delivered(60)
        assert sorted(receiver.times.values()) == [1] * 60
        lease = await log.database["leases"].find_one({"_id": "webhooks"})
        holds = next(index for index, one in enumerate(leases) if one.holder == lease["holder"])
        running[holds].cancel()  # it does not give the lease back, like a killed process
        await log.take(identity, 1)
        await asyncio.sleep(0.6)
        assert await log.states() == {"DELIVERED": 60, "PENDING": 1}
        await log.database["leases"].update_one({"_id": "webhooks"}, {"$set": {"until": datetime.now(UTC) - timedelta(seconds=1)}})
        await log.delivered(61)
        running[1 - holds].cancel()
        for sender in senders:
            await sender.link.close()


async def test_what_was_sent_and_not_written_down_is_sent_again_under_the_same_id(log: Log) -> None:
    async with Receiver() as receiver:
        receiver.pause = 0.5
        await log.take(await log.endpoint(receiver.url), 1)
        first = log.sender()
        running = asyncio.create_task(first.run())
        await receiver.receives(1)
        running.cancel()
        await first.link.close()
        assert await log.states() == {"PENDING": 1}
        second = log.sender()
        running = asyncio.create_task(second.run())
        await log.delivered(1)
        running.cancel()
        await second.link.close()
        assert list(receiver.times.values()) == [2]
        assert receiver.got[0].body == receiver.got[1].body


async def test_a_fact_taken_twice_is_one_delivery(log: Log) -> None:
    fact: dict[str, Any] = {
        "event_id": new_id(),
        "event_type": "x",
        "event_time": datetime.now(UTC),
        "record_type": "y",
        "record_id": "z",
        "record_version": 1,
    }
    for _ in range(2):
        call = log.call("test")
        log.stored.take(call, model.delivery_of(fact, "endpoint", call.now))
        await call.changes.commit()
    assert await log.states() == {"PENDING": 1}


async def test_two_endpoints_far_behind_get_their_turns_beside_each_other(log: Log) -> None:
    async with Receiver() as dead, Receiver() as quick:
        dead.pause = 30
        behind, other = await log.endpoint(dead.url), await log.endpoint(quick.url)
        await log.take(behind, 500)
        await log.take(other, 120)
        sender = log.sender()
        running = asyncio.create_task(sender.run())
        await quick.receives(120)
        assert len(dead.got) == 4
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await sender.link.close()


async def test_a_killed_organization_loses_no_delivery(own_crm: Installation, tmp_path: Path) -> None:
    crm = own_crm
    async with Receiver() as receiver:
        made, secret = await endpoint(crm, receiver)
        await crm.suite.stop("organization")
        process = Killable("organization", crm, tmp_path)
        receiver.pause = 30
        await process.start()
        await crm.ask("CreateProduct", role="COORDINATOR", code="first", name="x")
        await receiver.receives(1)
        await process.kill()  # it has sent, and never heard the answer
        receiver.pause = 0
        dice = random.Random(7)
        for index in range(3):
            await process.start()
            await process.answers()
            for number in range(10):
                await crm.ask("CreateProduct", role="COORDINATOR", code=f"{index}-{number}", name="x")
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            await process.kill()
        await process.start()
        await process.answers()

        async def all_there() -> bool:
            await due(process.database, made)
            try:
                rows = await deliveries(crm, made)
            except CrmError:  # it has only just come up
                return False
            return len(rows) == 31 and {row.state for row in rows} == {2}

        await crm.until(all_there, 40)
        assert len(receiver.times) == 31
        assert receiver.times[receiver.got[0].identity] >= 2
        assert all(got.is_from(secret) for got in receiver.got)
        await process.kill()
        await process.database.client.close()
        await crm.suite.start(["organization"])
