"""The worker that sends what is due. Written down after it was sent: a process killed in between sends once more, under the same webhook-id."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from crm.organization.v1 import webhook_endpoint_events_pb2 as events
from pymongo.errors import PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict
from chassis.kernel.signatures import signatures
from chassis.kernel.tasks import settle
from chassis.rpc.call import Call
from services.organization.webhook_deliveries import model
from services.organization.webhook_deliveries.link import WebhookLink
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_endpoints import credentials
from services.organization.webhook_endpoints import model as endpoint_model
from services.organization.webhook_endpoints.store import WebhookEndpoints

log = logging.getLogger("crm.organization")
Document = dict[str, Any]
PAUSE_SECONDS = 0.2
# At once to one endpoint, and taken for it to be next; each has its own, so a slow one holds up no other.
BESIDE_EACH_OTHER, BATCH = 4, 50


@dataclass
class Line:
    """What is on its way to one endpoint, by the delivery's id, and what left it since the log was last asked. `over` says that nothing
    more is to be sent to it."""

    endpoint: Document
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BESIDE_EACH_OTHER))
    taken: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    over: bool = False

    def leave(self, identity: str, _: object) -> None:
        """One is done with. An answer of the log that is on its way may still call it due."""
        self.taken.pop(identity, None)
        self.left.add(identity)


class WebhookSender:
    """Sends, in one replica at a time. What a paused process that lost its lease still sends is sent twice, never lost."""

    def __init__(
        self, endpoints: WebhookEndpoints, deliveries: WebhookDeliveries, link: WebhookLink, own_call: Callable[[str], Call]
    ) -> None:
        self.endpoints, self.deliveries, self.link, self.own_call = endpoints, deliveries, link, own_call
        self._lines: dict[str, Line] = {}

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        try:
            while True:
                try:
                    await self._take()
                except PyMongoError as error:
                    log.warning("webhooks wait", extra={"reason": str(error)[:200]})
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await self._drop(list(self._lines))

    async def _take(self) -> None:
        """Bring what is due into the lines of those endpoints that have room; end the lines of those that are out of use."""
        call = self.own_call("webhook")
        endpoints = await self.endpoints.sendable(call)
        await self._drop([identity for identity in self._lines if identity not in endpoints])
        for identity, endpoint in endpoints.items():
            line = self._lines.setdefault(identity, Line(endpoint))
            line.endpoint, line.over = endpoint, False
            line.left.clear()
        room = [identity for identity, line in self._lines.items() if len(line.taken) < BATCH]
        for identity, rows in (await self.deliveries.due(call, room, BATCH) if room else {}).items():
            self._join(self._lines[identity], {row["_id"]: row for row in rows})

    def _join(self, line: Line, rows: Mapping[str, Document]) -> None:
        for identity, row in rows.items():
            if identity not in line.taken and identity not in line.left:
                task = line.taken[identity] = asyncio.create_task(self._watched(line, row))
                task.add_done_callback(partial(line.leave, identity))

    async def _drop(self, identities: Sequence[str]) -> None:
        for identity in identities:
            await settle(list(self._lines.pop(identity).taken.values()))

    async def _watched(self, line: Line, row: Document) -> None:
        try:
            await self._send(line, row)
        except PyMongoError as error:
            log.warning("webhooks wait", extra={"endpoint": line.endpoint["_id"], "reason": str(error)[:200]})
        except Exception as error:  # one delivery's trouble must not become another's
            log.error("webhook failed", extra={"endpoint": line.endpoint["_id"], "delivery": row["_id"]}, exc_info=error)
            await asyncio.sleep(1)

    async def _send(self, line: Line, row: Document) -> None:
        async with line.gate:
            if line.over:
                return
            secrets = await credentials.secrets_of(self.own_call("webhook"), line.endpoint["_id"])
            moment = now()
            body = orjson.dumps(model.payload(row))
            timestamp = int(moment.timestamp())
            headers = {
                "content-type": "application/json", "user-agent": "xietong-crm", "webhook-id": row["_id"], "webhook-timestamp": str(timestamp),
                "webhook-signature": signatures(secrets, row["_id"], timestamp, body),
            }  # fmt: skip
            answer = await self.link.post(line.endpoint["url"], headers, body)
            await self._note(line, row, model.attempt(moment, answer.status, answer.milliseconds, answer.reason))

    async def _note(self, line: Line, row: Document, made: Document) -> None:
        """Write down what became of an attempt, and what that says of the endpoint."""
        call, identity = self.own_call("webhook"), line.endpoint["_id"]
        await self.deliveries.note(call, row, model.after(row, made, random.random()))  # noqa: S311  jitter is no secret
        if model.is_taken(made["status"]):
            await self.endpoints.is_well(call, identity)
            return
        since = await self.endpoints.fails(call, identity, made["time"])
        if made["status"] == model.GONE:
            await self._disable(line, "GONE")
        elif endpoint_model.is_given_up(since, made["time"]):
            await self._disable(line, "FAILING")

    async def _disable(self, line: Line, reason: str) -> None:
        """Take an endpoint out of service, with a fact. Somebody who changes it at the same time goes first; the next failure comes."""
        line.over = True
        call = self.own_call("webhook")
        before = await self.endpoints.get(call, line.endpoint["_id"], "update")
        if before.get("enabled") and not before.get("archive_time"):
            self.endpoints.change(call, before, {"enabled": False, "disable_reason": reason}, events.WebhookEndpointDisabled)
            with suppress(Conflict):
                await call.changes.commit()
