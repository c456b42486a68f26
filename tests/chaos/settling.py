"""What is not at rest yet after the last heal, how long each of it was not, and what it waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx
import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from pymongo.errors import PyMongoError

from chassis.messaging.broker import servers
from cli.plan import DEPARTMENTS
from tests.chaos.checker import Checker
from tests.chaos.schedule import SERVICES
from tests.chaos.stack import Stack

LOOK_SECONDS = 0.1
ENGINES_AWAY = (PyMongoError, NatsError, OSError, TimeoutError)
# Records that nobody shall find after a while: where, which, and what they are called.
_RECORDS: tuple[tuple[str, str, Mapping[str, Any], str], ...] = (
    ("customer", "customers", {"flip_time": {"$exists": True}}, "customers who come in or go out by age"),
    ("marketing", "campaign_messages", {"state": "PLANNED"}, "mails"),
    ("support", "tickets", {"state": "PENDING", "wait_until_time": {"$exists": True}}, "timers"),
)


class Settling:
    """Looks until everything is published, heard, sealed and done. `last` tells of each thing that was not when it was not for the last time, in
    seconds since `healed`, and how it stood then."""

    def __init__(self, stack: Stack, checker: Checker, healed: float) -> None:
        self.stack, self.checker, self.healed = stack, checker, healed
        self.last: dict[str, tuple[float, str]] = {}

    async def until_quiet(self, seconds: float) -> float:
        """When everything came to rest, in seconds since the heal; `seconds` when it did not by then."""
        end = self.healed + seconds
        while time.monotonic() < end:
            if not await self._unrest():
                moment = time.monotonic() - self.healed
                await asyncio.sleep(1.0)
                if not await self._unrest():
                    return moment
            await asyncio.sleep(LOOK_SECONDS)
        return seconds

    async def watch(self) -> None:
        """Look on until cancelled, while clients end: `last` tells of that time too."""
        while True:
            await self._unrest()
            await asyncio.sleep(LOOK_SECONDS)

    def __str__(self) -> str:
        return "; ".join(f"{what} {moment:.1f} s ({how})" for what, (moment, how) in sorted(self.last.items(), key=lambda one: one[1][0]))

    async def _unrest(self) -> bool:
        """Whether anything is not at rest."""
        try:
            found = {**await self._of_services(), **await self._of_databases(), **await self._of_streams()}
        except ENGINES_AWAY as error:
            found = {type(error).__name__: str(error)[:100]}
        moment = time.monotonic() - self.healed
        self.last |= {what: (moment, how) for what, how in found.items()}
        return bool(found)

    async def _of_services(self) -> dict[str, str]:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            return {f"{name} not ready": said for name in SERVICES if (said := await self.stack.not_ready(http, name))}

    async def _of_databases(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, database in self.checker.databases.items():
            for collection in ("outbox", "audit_entries"):
                if await database[collection].find_one({"pending": True}):
                    found[f"{collection} of {name}"] = "pending"
            async for job in database["jobs"].find({"state": {"$in": ["QUEUED", "RUNNING"]}, "due": True}):
                found[f"job {job['_id'][-6:]} of {name}"] = f"{job['state']}, {job['cursor']} of {job['appended']} rows"
            if await database["customer_aliases"].find_one({"sweeps": 0}):
                found[f"aliases of {name}"] = "not swept"
        for name, collection, query, what in _RECORDS:
            if await self.checker.databases[name][collection].find_one(query):
                found[what] = "waiting"
        return found

    async def _of_streams(self) -> dict[str, str]:
        connection = await nats.connect(servers(self.stack.plan.nats_url), max_reconnect_attempts=1, connect_timeout=1)
        try:
            return await _behind(connection.jetstream())
        finally:
            await connection.close()


async def _behind(context: JetStreamContext) -> dict[str, str]:
    """Of each consumer that has not heard everything, what it lacks."""
    found: dict[str, str] = {}
    for name in DEPARTMENTS:
        for consumer in await context.consumers_info(f"CRM_{name.upper()}"):
            if consumer.config.durable_name and (consumer.num_pending or consumer.num_ack_pending):
                lacks = f"{consumer.num_pending} not delivered, {consumer.num_ack_pending} not acknowledged"
                found[consumer.config.durable_name] = f"{lacks}, {consumer.num_redelivered or 0} of them delivered anew"
    return found
