"""The department's inside door over HTTP: alive, ready, metrics. Plain ASGI; the public never reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.kernel.addresses import Network
from chassis.observe.metrics import Metrics
from chassis.runtime.proxies import BehindProxies

Ready = Callable[[], Awaitable[dict[str, bool]]]
TICK_SECONDS = 1.0


def ops_app(service: str, metrics: Metrics, ready: Ready, measure: Callable[[], Awaitable[None]] | None = None) -> Starlette:
    """/healthz says that the process runs; /readyz asks what it depends on; /metrics for Prometheus, after `measure`."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"service": service, "status": "ok"})

    async def readyz(_: Request) -> Response:
        parts = await ready()
        return JSONResponse({"service": service, **parts}, status_code=200 if all(parts.values()) else 503)

    async def show(_: Request) -> Response:
        if measure:
            await measure()
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show)])


class _Server(uvicorn.Server):
    """Ticks once a second, for the date that answers carry; uvicorn's own wakes ten times a second to see whether it is to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self.ending.wait()


class HttpServer:
    """uvicorn inside an event loop that somebody else runs. WebSockets are served where `largest_message` says how many bytes one may
    have. What is said of the client is believed from the `trusted` networks only."""

    def __init__(self, app: Any, address: str, *, backlog: int = 512, largest_message: int = 0, trusted: Sequence[Network] = ()) -> None:
        host, _, port = address.rpartition(":")
        self.socket = _listen(host, int(port), address)
        self.port: int = self.socket.getsockname()[1]
        config = uvicorn.Config(
            BehindProxies(app, trusted), proxy_headers=False, log_config=None, access_log=False, lifespan="off", server_header=False, backlog=backlog,
            ws="websockets-sansio" if largest_message else "none", ws_max_size=largest_message or 1, timeout_graceful_shutdown=5, h11_max_incomplete_event_size=16384,
        )  # fmt: skip
        self.server = _Server(config)
        self.server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve in the background."""
        self.task = asyncio.create_task(self.server._serve(sockets=[self.socket]))
        while not self.server.started:
            if self.task.done():
                await self.task
                raise OSError("the HTTP server did not start")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish what runs, then end."""
        self.server.should_exit = True
        self.server.ending.set()
        if self.task:
            await self.task


def _listen(host: str, port: int, address: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"{address} is in use; stop what listens there or choose another port") from error
    listener.setblocking(False)
    return listener
