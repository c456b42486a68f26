"""Composition root of the gateway: the only file that knows every part. Tests build the gateway with it too."""

from __future__ import annotations

import asyncio

import strawberry
from nats.aio.client import Client

from chassis.messaging import broker
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.runtime.ops import HttpServer, ops_app
from gateway.departments.clients import Clients
from gateway.departments.live import Live
from gateway.doors.app import build_app
from gateway.doors.files import FileDoor
from gateway.doors.http import GraphHttp
from gateway.doors.webhooks import WebhookDoor
from gateway.doors.websocket import GraphSocket
from gateway.graph import schema
from gateway.operations.admission import Admission
from gateway.operations.callers import Callers
from gateway.operations.metrics import OperationMetrics
from gateway.operations.run import Operations
from gateway.settings import Settings


class Gateway:
    """The gateway, built but not started."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clients, self.live, self.metrics = Clients(settings), Live(), Metrics()
        self.schema = shared_schema()
        self.traces = Traces("gateway", settings.otlp_endpoint)
        callers = Callers(self.clients)
        self.operations = Operations(self.schema, settings, callers, self.traces, OperationMetrics(self.metrics, self.clients))
        http = GraphHttp(self.operations, self.clients, self.live, settings)
        socket = GraphSocket(self.operations, self.clients, self.live)
        door = WebhookDoor(self.clients, self.operations.admission, settings.most_body_bytes)
        files = FileDoor(self.clients, self.live, callers, Admission(settings.most_files_at_once, self.operations.admission.shed))
        explore = settings.environment != "production"
        self.app = build_app(self.schema, http, socket, door, files, settings.origins, explore=explore)
        self.http: list[HttpServer] = []
        self.port = self.ops_port = 0
        self.nats: Client | None = None

    async def start(self) -> None:
        """Listen; the departments are reached when they are asked."""
        self.nats = await broker.connect(
            self.settings.nats_url, "crm-gateway", self.settings.identity, lost=self.live.lost, back=self.live.back
        )
        await self.live.start(self.nats)
        self.clients.watch()
        graph = HttpServer(
            self.app, self.settings.http_address, largest_message=self.settings.most_body_bytes, trusted=self.settings.proxies
        )
        ops = HttpServer(ops_app("gateway", self.metrics, self.ready), self.settings.ops_address)
        self.http = [graph, ops]
        for server in self.http:
            await server.start()
        self.port, self.ops_port = graph.port, ops.port

    async def migrate(self) -> None:
        """Nothing: a gateway owns no data."""

    async def ready(self) -> dict[str, bool]:
        """A gateway is ready when it hears facts; a department that is away is the answer's business."""
        return {"nats": bool(self.nats and self.nats.is_connected)}

    async def stop(self) -> None:
        """Finish what runs, then close."""
        for server in self.http:
            await server.stop()
        if self.nats:
            await broker.close(self.nats)
        await self.clients.close()
        await asyncio.to_thread(self.traces.flush)


_built: list[strawberry.Schema] = []


def shared_schema() -> strawberry.Schema:
    """The schema; its types are made once a process."""
    if not _built:
        _built.append(schema.build())
    return _built[0]


def build(settings: Settings) -> Gateway:
    """The gateway, not yet started."""
    return Gateway(settings)
