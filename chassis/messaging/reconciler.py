"""Finds out what a department has not heard: what others say they published, against its own inbox. What is missing is published again.

The broker is a transport that may be lost whole; the owner's outbox is the truth. Every fact is compared once, a minute after it was
made, and at once where a record's later facts wait for an earlier one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm.common.v1 import event_service_pb2 as contract
from nats.errors import Error as NatsError
from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import time_of
from chassis.messaging.reactions import Consumer
from chassis.storage.client import Database

log = logging.getLogger("crm.reconciler")
SERVICE = contract.DESCRIPTOR.services_by_name["EventService"]
POSITIONS = "reconciliations"
PAGE = 1000
LOOK_SECONDS = 1.0
ROUND_SECONDS = 10.0
# A fact's id is older than its commit: by less than the longest transaction takes.
SETTLED_SECONDS = 60.0
_WAITED = (CrmError, NatsError, PyMongoError, OSError, TimeoutError)
Ask = Callable[[str, Any], Awaitable[Any]]


@dataclass
class Outcome:
    """What the comparison with one owner gave. `refusal` says why it stopped early."""

    owner: str
    compared: int = 0
    missing: int = 0
    refusal: str = ""


class Reconciler:
    """Compares for all consumers of a department. `owners` asks a department's EventService by (method, request)."""

    def __init__(self, database: Database, consumers: Sequence[Consumer], owners: Mapping[str, Ask]) -> None:
        self.database, self.owners = database, owners
        self.consumers: dict[str, list[Consumer]] = {}
        for consumer in consumers:
            self.consumers.setdefault(consumer.reaction.department, []).append(consumer)
        if unknown := self.consumers.keys() - owners.keys():
            raise RuntimeError(f"nobody to ask for the facts of {', '.join(sorted(unknown))}; give the department a channel")

    async def run(self) -> None:
        """Compare until cancelled: every ten seconds, and within one where later facts wait."""
        due = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            moment = time.monotonic()
            for owner, consumers in self.consumers.items():
                if any(consumer.gaps for consumer in consumers):
                    await self._watched(owner, self.fill_gaps(owner))
                if moment >= due:
                    await self._watched(owner, self.compare(owner))
            if moment >= due:
                due = moment + ROUND_SECONDS

    async def _watched(self, owner: str, work: Awaitable[Outcome]) -> None:
        try:
            found = await work
        except _WAITED as error:
            log.info("reconciler waits", extra={"owner": owner, "reason": str(error)[:200]})
            return
        if found.missing:
            log.warning("facts were missing", extra={"owner": owner, "compared": found.compared, "missing": found.missing})

    async def reconcile(self, *, from_beginning: bool = False) -> list[Outcome]:
        """Compare with every owner now."""
        return [await self._told(owner, from_beginning=from_beginning) for owner in self.consumers]

    async def _told(self, owner: str, *, from_beginning: bool) -> Outcome:
        try:
            return await self.compare(owner, from_beginning=from_beginning)
        except _WAITED as error:
            return Outcome(owner, refusal=str(getattr(error, "message", error))[:300])

    async def compare(self, owner: str, *, from_beginning: bool = False) -> Outcome:
        """Everything since the last comparison that is old enough; facts that wait in the stream are no matter, they will come."""
        found = Outcome(owner)
        position, settled = "" if from_beginning else await self._position(owner), time.time() - SETTLED_SECONDS
        events = await self._page(owner, position)
        if not events:
            return found  # nothing was published since, so the broker need not be asked
        consumers = [consumer for consumer in self.consumers[owner] if not await consumer.behind()]
        if len(consumers) < len(self.consumers[owner]):
            found.refusal = "facts are on their way still; the comparison comes when they have been heard"
            return found
        while events:
            old = [event for event in events if time_of(event.event_id) < settled]
            missing = await self._missing(consumers, old)
            found.compared += len(old)
            found.missing += len(missing)
            if missing:
                await self._again(owner, missing)
                return found  # the next round begins here again, and sees whether they came
            if old:
                position = old[-1].event_id
                await self._keep(owner, position)
            if len(old) < PAGE:
                return found
            events = await self._page(owner, position)
        return found

    async def fill_gaps(self, owner: str) -> Outcome:
        """What is missing before the facts that wait, of their records alone."""
        consumers = [consumer for consumer in self.consumers[owner] if consumer.gaps]
        waiting = set[str]().union(*(consumer.gaps for consumer in consumers))
        for consumer in consumers:
            consumer.gaps.clear()
        found = await self._fill(owner, consumers, waiting, await self._position(owner))
        # What is older than the last comparison is rare: a fact made under a clock that was behind.
        return found if found.missing else await self._fill(owner, consumers, waiting, "")

    async def _fill(self, owner: str, consumers: Sequence[Consumer], waiting: set[str], position: str) -> Outcome:
        found = Outcome(owner)
        while events := await self._page(owner, position):
            position = events[-1].event_id
            wanted = [event for event in events if event.aggregate_id in waiting]
            missing = await self._missing(consumers, wanted)
            found.compared += len(wanted)
            found.missing += len(missing)
            if missing:
                await self._again(owner, missing)
        return found

    async def _page(self, owner: str, after: str) -> Sequence[Any]:
        request = contract.ListPublishedEventsRequest(after_id=after, page_size=PAGE)
        events: Sequence[Any] = (await self.owners[owner]("ListPublishedEvents", request)).events
        return events

    async def _again(self, owner: str, missing: Iterable[str]) -> None:
        wanted = list(missing)
        for start in range(0, len(wanted), PAGE):
            await self.owners[owner]("RepublishEvents", contract.RepublishEventsRequest(event_ids=wanted[start : start + PAGE]))

    async def _missing(self, consumers: Sequence[Consumer], events: Sequence[Any]) -> list[str]:
        """Ids of the facts that one of the consumers has not heard."""
        found: dict[str, None] = {}
        for consumer in consumers:
            mine = [event for event in events if consumer.wants(event.aggregate)]
            seen = await consumer.heard({event.aggregate_id for event in mine}) if mine else {}
            found |= {event.event_id: None for event in mine if event.version > seen.get(event.aggregate_id, 0)}
        return list(found)

    async def _position(self, owner: str) -> str:
        row = await self.database[POSITIONS].find_one({"_id": owner})
        return str(row["event_id"]) if row else ""

    async def _keep(self, owner: str, event_id: str) -> None:
        values = {"$set": {"event_id": event_id, "time": now()}}
        await self.database[POSITIONS].bulk_write([UpdateOne({"_id": owner}, values, upsert=True)])
