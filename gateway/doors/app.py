"""The gateway's ASGI app: the graph, the doors for webhooks and files, GraphiQL from local files, the schema as text."""

from __future__ import annotations

import logging
from pathlib import Path

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.doors.files import PATH as FILES
from gateway.doors.files import FileDoor
from gateway.doors.http import GraphHttp
from gateway.doors.origins import Origins
from gateway.doors.webhooks import PATH as WEBHOOKS
from gateway.doors.webhooks import WebhookDoor
from gateway.doors.websocket import GraphSocket

log = logging.getLogger("crm.gateway")
STATIC = Path(__file__).parent / "static"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def build_app(
    schema: strawberry.Schema,
    http: GraphHttp,
    socket: GraphSocket,
    door: WebhookDoor,
    files: FileDoor,
    origins: frozenset[str],
    *,
    explore: bool,
) -> Origins:
    """`explore` serves GraphiQL and the schema's text: everywhere but in production. `origins` are those whose pages may ask."""
    text = schema.as_str()

    async def graph(request: Request) -> Response:
        if explore and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return FileResponse(STATIC / "graphiql.html", headers=_PAGE_HEADERS)
        return await http(request)

    async def live(websocket: WebSocket) -> None:
        await socket(websocket)

    async def show_schema(_: Request) -> Response:
        return PlainTextResponse(text)

    async def door_sign(_: Request) -> Response:
        if explore:
            return RedirectResponse("/graphql", 302)
        return FileResponse(STATIC / "index.html", headers=_PAGE_HEADERS)

    async def webhook(request: Request) -> Response:
        return await door(request)

    async def file(request: Request) -> Response:
        return await files(request)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok")

    routes: list[Route | Mount | WebSocketRoute] = [
        Route("/", door_sign),
        Route("/graphql", graph, methods=["GET", "POST"]),
        WebSocketRoute("/graphql", live),
        Route(WEBHOOKS, webhook, methods=["POST"]),
        Route(FILES, file, methods=["GET", "POST"]),
        Route("/healthz", alive),
    ]
    if explore:
        routes += [Route("/schema.graphql", show_schema), Mount("/static", StaticFiles(directory=STATIC))]
    return Origins(ShortPath(Starlette(routes=routes), http), origins)


class ShortPath:
    """Takes POST /graphql straight to the graph; everything else goes through the framework's routes."""

    def __init__(self, app: Starlette, http: GraphHttp) -> None:
        self.app, self.http = app, http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != "/graphql":
            await self.app(scope, receive, send)
            return
        try:
            response = await self.http(Request(scope, receive))
        except Exception as error:
            log.error("failed", exc_info=error)
            response = PlainTextResponse("the gateway failed on this request; its log says why", 500)
        await response(scope, receive, send)
