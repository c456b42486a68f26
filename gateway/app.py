"""The gateway's ASGI app: the graph, GraphiQL from local files, the schema as text."""

from __future__ import annotations

from pathlib import Path

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from gateway.http import GraphHttp
from gateway.websocket import GraphSocket

STATIC = Path(__file__).parent / "static"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def build_app(schema: strawberry.Schema, http: GraphHttp, socket: GraphSocket, *, explore: bool) -> Starlette:
    """`explore` serves GraphiQL and the schema's text: everywhere but in production."""
    text = schema.as_str()

    async def graph(request: Request) -> Response:
        if explore and request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return FileResponse(STATIC / "graphiql.html", headers=_PAGE_HEADERS)
        return await http(request)

    async def live(websocket: WebSocket) -> None:
        await socket(websocket)

    async def show_schema(_: Request) -> Response:
        return PlainTextResponse(text)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok")

    routes: list[Route | Mount | WebSocketRoute] = [
        Route("/graphql", graph, methods=["GET", "POST"]),
        WebSocketRoute("/graphql", live),
        Route("/healthz", alive),
    ]
    if explore:
        routes += [Route("/schema.graphql", show_schema), Mount("/static", StaticFiles(directory=STATIC))]
    return Starlette(routes=routes)
