"""The worker that sends what is due. Written down after it was sent: a process killed in between sends once more, under the same webhook-id."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from crm.organization.v1 import webhook_endpoint_events_pb2 as events
from pymongo.errors import PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict
from chassis.rpc.call import Call
from chassis.storage.changes import settle
from services.organization.webhook_deliveries import model
from services.organization.webhook_deliveries.lease import Lease
from services.organization.webhook_deliveries.link import WebhookLink
from services.organization.webhook_deliveries.store import WebhookDeliveries
from services.organization.webhook_endpoints import credentials
from services.organization.webhook_endpoints import model as endpoint_model
from services.organization.webhook_endpoints.store import WebhookEndpoints

log = logging.getLogger("crm.organization")
Document = dict[str, Any]
PAUSE_SECONDS = 0.2
# At once to one endpoint; each has its own turn, so a slow one holds up no other.
BESIDE_EACH_OTHER, BATCH = 4, 50


@dataclass
class Turn:
    """One endpoint's turn. `over` says that nothing more is to be sent to it."""

    endpoint: Document
    secrets: Sequence[str]
    gate: asyncio.Semaphore
    over: bool = False


class WebhookSender:
    """Sends while it holds the lease. What a paused process that lost it still sends is sent twice, never lost."""

    def __init__(
        self, endpoints: WebhookEndpoints, deliveries: WebhookDeliveries, link: WebhookLink, lease: Lease, own_call: Callable[[str], Call]
    ) -> None:
        self.endpoints, self.deliveries, self.link, self.lease, self.own_call = endpoints, deliveries, link, lease, own_call
        self._turns: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        try:
            while True:
                try:
                    if await self.lease.hold():
                        await self._begin_turns()
                    else:
                        await self._end_turns()
                except PyMongoError as error:
                    log.warning("webhooks wait", extra={"reason": str(error)[:200]})
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await self._end_turns()

    async def close(self) -> None:
        """Let another replica go on at once."""
        with suppress(PyMongoError):
            await self.lease.release()
        await self.link.close()

    async def _begin_turns(self) -> None:
        """A turn for every endpoint that has something due and no turn yet; none any more for those that are out of use."""
        call = self.own_call("webhook")
        endpoints = await self.endpoints.sendable(call)
        for identity, task in list(self._turns.items()):
            if task.done():
                del self._turns[identity]
            elif identity not in endpoints:
                task.cancel()
        idle = [identity for identity in endpoints if identity not in self._turns]
        due = await self.deliveries.due(call, idle, BATCH) if idle else {}
        for identity, rows in due.items():
            if rows:
                self._turns[identity] = asyncio.create_task(self._turn(endpoints[identity], rows))

    async def _end_turns(self) -> None:
        await settle(list(self._turns.values()))
        self._turns.clear()

    async def _turn(self, endpoint: Document, rows: Sequence[Document]) -> None:
        try:
            secrets = await credentials.secrets_of(self.own_call("webhook"), endpoint["_id"])
            turn = Turn(endpoint, secrets, asyncio.Semaphore(BESIDE_EACH_OTHER))
            async with asyncio.TaskGroup() as group:
                for row in rows:
                    group.create_task(self._send(turn, row))
        except* PyMongoError as errors:
            log.warning("webhooks wait", extra={"endpoint": endpoint["_id"], "reason": str(errors.exceptions[0])[:200]})
        except* Exception as errors:  # one endpoint's trouble must not become another's
            log.error("webhooks failed", extra={"endpoint": endpoint["_id"]}, exc_info=errors)
            await asyncio.sleep(1)

    async def _send(self, turn: Turn, row: Document) -> None:
        async with turn.gate:
            if turn.over:
                return
            moment = now()
            body = orjson.dumps(model.payload(row))
            timestamp = int(moment.timestamp())
            headers = {
                "content-type": "application/json", "user-agent": "xietong-crm", "webhook-id": row["_id"], "webhook-timestamp": str(timestamp),
                "webhook-signature": endpoint_model.signatures(turn.secrets, row["_id"], timestamp, body),
            }  # fmt: skip
            answer = await self.link.post(turn.endpoint["url"], headers, body)
            await self._note(turn, row, model.attempt(moment, answer.status, answer.milliseconds, answer.reason))

    async def _note(self, turn: Turn, row: Document, made: Document) -> None:
        """Write down what became of an attempt, and what that says of the endpoint."""
        call, identity = self.own_call("webhook"), turn.endpoint["_id"]
        await self.deliveries.note(call, row, model.after(row, made, random.random()))  # noqa: S311  jitter is no secret
        if model.is_taken(made["status"]):
            await self.endpoints.is_well(call, identity)
            return
        since = await self.endpoints.fails(call, identity, made["time"])
        if made["status"] == model.GONE:
            await self._disable(turn, "GONE")
        elif endpoint_model.is_given_up(since, made["time"]):
            await self._disable(turn, "FAILING")

    async def _disable(self, turn: Turn, reason: str) -> None:
        """Take an endpoint out of service, with a fact. Somebody who changes it at the same time goes first; the next failure comes."""
        turn.over = True
        call = self.own_call("webhook")
        before = await self.endpoints.get(call, turn.endpoint["_id"], "update")
        if before.get("enabled") and not before.get("archive_time"):
            self.endpoints.change(call, before, {"enabled": False, "disable_reason": reason}, events.WebhookEndpointDisabled)
            with suppress(Conflict):
                await call.changes.commit()
