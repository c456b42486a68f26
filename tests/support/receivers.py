"""A receiver of webhooks on this machine: takes note of every request, and answers as it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from crm.organization.v1 import webhook_delivery_pb2
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chassis.runtime.ops import HttpServer
from chassis.storage.client import Database
from tests.support.checks import equals
from tests.support.installation import Installation

State = webhook_delivery_pb2.WebhookDeliveryState


@dataclass
class Got:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def identity(self) -> str:
        """Its webhook-id."""
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        """What it says."""
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    def is_from(self, secret: str) -> bool:
        """Whether the reference library takes it; raises where it does not."""
        return bool(Webhook(secret).verify(self.body, self.headers) == self.told)


class Receiver:
    """`status`, `pause` (seconds), `body` and `location` are what it answers with."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.got: list[Got] = []
        self.closing = asyncio.Event()
        self.status, self.pause, self.body, self.location = 204, 0.0, b"", ""
        self.server = HttpServer(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST", "GET"])]), address)
        self.url = f"http://127.0.0.1:{self.server.port}/hooks"

    async def __aenter__(self) -> Receiver:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closing.set()
        await self.server.stop()

    async def _take(self, request: Request) -> Response:
        self.got.append(Got(dict(request.headers), await request.body()))
        with suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), self.pause)
        more = {"location": self.location} if self.location else {}
        return Response(self.body if self.status not in (204, 304) else b"", self.status, more)

    async def receives(self, count: int, seconds: float = 20) -> None:
        """Wait for so many requests."""
        await Installation.until(lambda: len(self.got) >= count, seconds)

    @property
    def times(self) -> Counter[str]:
        """How often each webhook-id came."""
        return Counter(one.identity for one in self.got)


async def endpoint(crm: Installation, receiver: Receiver, *event_types: str, **more: Any) -> tuple[Any, str]:
    """A webhook endpoint that leads to the receiver, and its secret."""
    values = {"display_name": "财务系统", "url": receiver.url, "event_types": event_types or ["crm.sales.v1.ProductCreated"], **more}
    made = await crm.ask("CreateWebhookEndpoint", role="ADMINISTRATOR", **values)
    return made.webhook_endpoint, made.secret


async def deliveries(crm: Installation, record: Any) -> list[Any]:
    """The log of an endpoint, newest first."""
    found = await crm.ask("ListWebhookDeliveries", role="ADMINISTRATOR", filter=equals("webhook_endpoint_id", record.id), page_size=100)
    return list(found.webhook_deliveries)


async def become(crm: Installation, record: Any, *states: str) -> list[Any]:
    """The log of an endpoint once its deliveries are in these states, newest first."""
    wanted = [State.Value(f"WEBHOOK_DELIVERY_STATE_{state}") for state in states]

    async def are() -> bool:
        return [one.state for one in await deliveries(crm, record)] == wanted

    await crm.until(are)
    return await deliveries(crm, record)


async def due(database: Database, record: Any) -> None:
    """Let every delay of an endpoint be over."""
    query = {"webhook_endpoint_id": record.id, "state": "PENDING"}
    await database["webhook_deliveries"].update_many(query, [{"$set": {"next_attempt_time": "$create_time"}}])
