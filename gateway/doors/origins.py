"""Which pages of browsers may ask: CORS for the graph and for files over HTTP, and the same judgement over WebSocket, where browsers make none themselves.

Nobody's cookies open anything here: who asks says so by a token. So credentials of browsers are not allowed, and whoever sends no Origin
(every program that is no browser) is none of this module's business.
"""

from __future__ import annotations

from functools import partial

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.kernel.origins import same
from gateway.departments.language import ENGLISH, SIMPLIFIED, spoken

PATH, FILES = "/graphql", "/files/"
METHODS = "GET, POST"
# What a client of the graph sends, and what it must be able to read of an answer.
SENT = "Accept, Authorization, Content-Type, Idempotency-Key, If-None-Match, Traceparent, X-Purpose, X-Request-Id"
READ = "Content-Disposition, ETag, Retry-After, X-Request-Id"
KEPT_SECONDS = 7200  # no browser keeps a preflight's answer longer
_REFUSED = {
    ENGLISH: "pages of this origin may not ask here; an administrator names it in CRM_ALLOWED_ORIGINS",
    SIMPLIFIED: "此来源的网页不能在这里查询；请管理员将其加入 CRM_ALLOWED_ORIGINS",
}


class Origins:
    """Stands before the app: answers preflights, and names the origin in answers to pages that may read them."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self.app, self.allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or one socket."""
        if scope["type"] not in ("http", "websocket") or not (scope["path"] == PATH or scope["path"].startswith(FILES)):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        if scope["type"] == "websocket":
            may = not origin or origin.lower() in self.allowed or same(origin, headers.get("host", ""))
            await (self.app if may else partial(_closed, _words(headers)))(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            asked = "access-control-request-method" in headers
            await self._preflight(origin, _words(headers), asked=asked)(scope, receive, send)
        elif origin.lower() in self.allowed:
            await self.app(scope, receive, _naming(origin, send))
        elif self.allowed:
            await self.app(scope, receive, _varied(send))
        else:
            await self.app(scope, receive, send)

    def _preflight(self, origin: str, words: str, *, asked: bool) -> Response:
        """The answer to OPTIONS: to a browser's question whether a page may ask, else what may be sent here."""
        vary = {"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
        if not origin or not asked:
            return Response(status_code=204, headers={"Allow": f"{METHODS}, OPTIONS", **vary})
        if origin.lower() not in self.allowed:
            return PlainTextResponse(words, 403, {"Vary": f"{vary['Vary']}, Accept-Language"})
        told = {
            "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": METHODS, "Access-Control-Allow-Headers": SENT,
            "Access-Control-Max-Age": str(KEPT_SECONDS),
        }  # fmt: skip
        return Response(status_code=204, headers=told | vary)


def _naming(origin: str, send: Send) -> Send:
    """Sends an answer that pages of the origin may read."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = READ
            headers.add_vary_header("Origin")
        await send(message)

    return told


def _varied(send: Send) -> Send:
    """Sends an answer that a cache on the way must not give to pages of other origins."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("Origin")
        await send(message)

    return told


def _words(headers: Headers) -> str:
    """Why a page may not ask, in the language that its browser asks for."""
    return _REFUSED[spoken(headers.get("accept-language", "")) or ENGLISH]


async def _closed(words: str, scope: Scope, receive: Receive, send: Send) -> None:
    """No socket: the handshake is answered with 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": words})
