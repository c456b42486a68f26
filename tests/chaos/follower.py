"""A client that follows every ticket through the whole run, by one subscription after the other, each behind the last cursor."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chassis.kernel.tasks import settle
from tests.chaos.stack import Stack
from tests.chaos.workers import OPEN, Worker

QUERY = "subscription($after: String) { ticketChanged(after: $after) { eventId cursor } }"
LONGEST_SECONDS = 25.0


class Broken(Exception):
    """The subscription ended; the next one goes on behind it."""


class Follower(Worker):
    """`told` are the ids of the facts, in their order; `again` how many came more than once; `refused` what no client should be told."""

    def __init__(self, number: int, stack: Stack, folder: Path, seed: int) -> None:
        super().__init__(number, stack, folder, seed, [])
        self.role, self.dice = "COORDINATOR", random.Random(f"{seed}:follower")
        self.told: dict[str, None] = {}
        self.again = self.subscriptions = 0
        self.refused: list[str] = []
        self.cursor: str | None = None
        self.diary = (folder / "follower.jsonl").open("w", buffering=1)  # for whoever looks for the cause of a change that was not told

    async def run(self, ended: asyncio.Event) -> None:
        """Until told to end; then the subscription ends too, wherever it is."""
        following = asyncio.create_task(self._on())
        try:
            await ended.wait()
        finally:
            await settle([following])
            self.ledger.close()
        if not following.cancelled():
            following.result()

    async def _on(self) -> None:
        while True:
            await self._next()

    async def catch_up(self, wanted: Sequence[str], seconds: float = 20) -> None:
        """Go on until everything wanted was told, or time is up."""
        end = asyncio.get_running_loop().time() + seconds
        while set(wanted) - set(self.told) and asyncio.get_running_loop().time() < end:
            await self._next()
        await self.http.aclose()
        self.diary.close()

    async def _next(self) -> None:
        with contextlib.suppress(Broken, WebSocketException, httpx.HTTPError, OSError, EOFError, LookupError, ValueError):
            await self._follow(self.dice.uniform(1, LONGEST_SECONDS))
        await asyncio.sleep(self.dice.uniform(0.05, 0.5))

    async def _follow(self, seconds: float) -> None:
        """One subscription, ended by us after a while, or by whatever happens."""
        token = await self._signed_in()
        address = f"ws://127.0.0.1:{self.stack.plan.gateway_port}/graphql"
        async with (
            asyncio.timeout(seconds),
            connect(address, subprotocols=["graphql-transport-ws"], open_timeout=2, close_timeout=1) as socket,
        ):  # type: ignore[list-item]
            await socket.send(orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}).decode())
            await socket.recv()
            payload = {"query": QUERY, "variables": {"after": self.cursor}}
            await socket.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": payload}).decode())
            self.subscriptions += 1
            self._note(subscribed=self.subscriptions, after=self.cursor)
            while True:
                self._take(orjson.loads(await socket.recv()))

    def _take(self, message: dict[str, object]) -> None:
        for code in _codes(message):
            if code == "UNAUTHENTICATED":
                self._tokens.clear()
            elif code not in OPEN | {"OVERLOADED"}:
                self.refused.append(str(message)[:400])
        data = message.get("payload")
        change = (data.get("data") or {}).get("ticketChanged") if isinstance(data, dict) else None
        if not change:
            raise Broken
        self.again += change["eventId"] in self.told
        self.told[change["eventId"]] = None
        self.cursor = change["cursor"]
        self._note(told=change["eventId"], cursor=self.cursor)

    def _note(self, **what: object) -> None:
        self.diary.write(orjson.dumps({"time": time.time(), **what}).decode() + "\n")


def _codes(message: dict[str, object]) -> Iterator[str]:
    payload = message.get("payload")
    errors = payload if isinstance(payload, list) else payload.get("errors") if isinstance(payload, dict) else None
    for error in errors or []:
        yield str((error.get("extensions") or {}).get("code"))
