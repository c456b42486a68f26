"""The graph over WebSocket by the graphql-transport-ws protocol: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.websockets import WebSocket, WebSocketDisconnect

from chassis.kernel.tasks import settle
from chassis.observe import purpose
from gateway.departments.clients import Clients
from gateway.departments.context import Context
from gateway.departments.errors import translated
from gateway.departments.language import SIMPLIFIED, spoken
from gateway.departments.live import Live
from gateway.doors.written import Written
from gateway.operations.run import Answer, Operations, question_of

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 5
MOST_SUBSCRIPTIONS = 50


# Why a socket is closed: the words of the protocol, which clients know by their codes, and Chinese. A reason has 123 bytes at most.
_CHINESE = {
    "Subprotocol not acceptable": "不支持该子协议；请使用 graphql-transport-ws",
    "Connection initialisation timeout": "连接后未及时发送 connection_init",
    "Invalid message received": "消息无法识别",
    "Too many initialisation requests": "connection_init 只能发送一次",
    "Unauthorized": "请先发送 connection_init，再订阅",
    "Subscriber for {id} already exists": "编号 {id} 的订阅已存在",
    "More than {most} subscriptions on one connection": "一个连接上最多 {most} 个订阅",
}


class Closed(Exception):
    """The client broke the protocol; close with a code and a reason, one of `_CHINESE` and what is put into it."""

    def __init__(self, code: int, reason: str, **params: object) -> None:
        super().__init__(reason)
        self.code, self.reason, self.params = code, reason, params


def reason_of(closed: Closed, accepts: str) -> str:
    """The reason in the language of Accept-Language, English where it names none that is spoken here."""
    words = _CHINESE[closed.reason] if spoken(accepts) == SIMPLIFIED else closed.reason
    return words.format_map(closed.params)


async def _close(socket: WebSocket, closed: Closed) -> None:
    await socket.close(closed.code, reason_of(closed, socket.headers.get("accept-language", "")))


def _short(identity: str) -> str:
    """As much of a client's own id as a reason has room for: its bytes, whole characters."""
    return identity.encode()[:60].decode(errors="ignore")


class GraphSocket:
    """Serves one socket after another."""

    def __init__(self, operations: Operations, clients: Clients, live: Live) -> None:
        self.operations, self.clients, self.live = operations, clients, live

    async def __call__(self, socket: WebSocket) -> None:
        """One connection, until either side ends it."""
        if PROTOCOL not in socket.scope.get("subprotocols", []):
            await socket.accept()
            await _close(socket, Closed(4406, "Subprotocol not acceptable"))
            return
        await socket.accept(PROTOCOL)
        connection = _Connection(self, socket)
        try:
            await connection.serve()
        except Closed as closed:
            await _close(socket, closed)
        except WebSocketDisconnect:
            pass
        finally:
            await connection.end()


class _Connection:
    def __init__(self, owner: GraphSocket, socket: WebSocket) -> None:
        self.owner, self.socket = owner, socket
        self.token: str | None = None
        self.purpose = ""
        self.running: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        timer = asyncio.get_running_loop().call_later(INIT_SECONDS, self._late)
        try:
            while True:
                await self._take(await self._receive())
        finally:
            timer.cancel()

    def _context(self, token: str) -> Context:
        client = self.socket.client
        accepts = self.socket.headers.get("accept-language", "")
        return Context(self.owner.clients, self.owner.live, token, address=client.host if client else "", why=self.purpose, accepts=accepts)

    def _late(self) -> None:
        if self.token is None:
            self.running["init"] = asyncio.create_task(_close(self.socket, Closed(4408, "Connection initialisation timeout")))

    async def _receive(self) -> dict[str, Any]:
        try:
            message = orjson.loads(await self.socket.receive_text())
        except (orjson.JSONDecodeError, KeyError):
            raise Closed(4400, "Invalid message received") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closed(4400, "Invalid message received")
        return message

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "connection_init":
            await self._init(message.get("payload"))
        elif kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "subscribe":
            self._subscribe(message)
        elif kind == "complete":
            task = self.running.pop(str(message.get("id")), None)
            if task:
                task.cancel()
        elif kind != "pong":
            raise Closed(4400, "Invalid message received")

    async def _init(self, payload: object) -> None:
        if self.token is not None:
            raise Closed(4429, "Too many initialisation requests")
        given = payload if isinstance(payload, dict) else {}
        text = str(given.get("authorization") or given.get("Authorization") or self.socket.headers.get("authorization", ""))
        self.purpose = purpose.decoded(str(given.get("purpose") or self.socket.headers.get(purpose.HEADER, "")))
        self.token = text.partition(" ")[2].strip() if text.lower().startswith("bearer ") else ""
        await self._send({"type": "connection_ack"})

    def _subscribe(self, message: dict[str, Any]) -> None:
        identity = message.get("id")
        if self.token is None:
            raise Closed(4401, "Unauthorized")
        if not isinstance(identity, str) or not isinstance(message.get("payload"), dict):
            raise Closed(4400, "Invalid message received")
        if identity in self.running:
            raise Closed(4409, "Subscriber for {id} already exists", id=_short(identity))
        if len(self.running) >= MOST_SUBSCRIPTIONS:
            raise Closed(4429, "More than {most} subscriptions on one connection", most=MOST_SUBSCRIPTIONS)
        self.running[identity] = asyncio.create_task(self._run(identity, message["payload"], self.token))

    async def _run(self, identity: str, payload: dict[str, Any], token: str) -> None:
        try:
            found = await self.owner.operations.stream(question_of(payload), self._context(token))
            if isinstance(found, Answer):
                if not found.executed:
                    await self._send({"id": identity, "type": "error", "payload": found.body["errors"]})
                    return
                await self._next(identity, found.body)
            else:
                async for body in found:
                    await self._next(identity, body)
            await self._send({"id": identity, "type": "complete"})
        except GraphQLError as error:
            await self._send(
                {"id": identity, "type": "error", "payload": [translated(dict(error.formatted), spoken(self._context(token).accepts))]}
            )
        except (WebSocketDisconnect, RuntimeError):
            return
        finally:
            if self.running.get(identity) is asyncio.current_task():
                self.running.pop(identity)

    async def _next(self, identity: str, body: dict[str, Any]) -> None:
        accepts = self.socket.headers.get("accept-language", "")
        payload = Written(self.owner.operations.settings.most_answer_bytes, accepts).text(body)
        await self._send({"id": identity, "type": "next", "payload": orjson.Fragment(payload)})

    async def _send(self, message: dict[str, Any]) -> None:
        await self.socket.send_text(orjson.dumps(message, default=str).decode())

    async def end(self) -> None:
        await settle(self.running.values())
