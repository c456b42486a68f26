"""Closed-loop load on a graph: 16 connections, each asking again when it was answered. The client is bare, so that it costs little."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from urllib.parse import urlsplit

import orjson

CONNECTIONS = 16
QUERIES = {
    "Q1": """query($id: ID!) { customer(id: $id) { name level lifecycle opportunities(first: 5) { nodes { name stageKey probability amount { amount currencyCode } } }
             tickets(first: 3) { nodes { subject state priority createTime } } messages(first: 4) { nodes { state sentTime subject } } } }""",
    "Q2": """{ customers(first: 50) { nodes { name level opportunities(first: 5) { nodes { name stageKey probability amount { amount currencyCode } } }
             tickets(first: 5) { nodes { subject state priority createTime } } } } }""",
    "Q3": "query($id: ID!) { customer(id: $id) { name } }",
}


class BenchError(Exception):
    """An answer is not what it should be: nothing measured with it would mean anything."""


@dataclass
class Found:
    """What was measured; times in milliseconds, size in bytes."""

    seconds: float
    times: list[float] = field(default_factory=list)
    size: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds

    def percentile(self, percent: int) -> float:
        """Milliseconds within which so many of a hundred were answered."""
        return quantiles(self.times, n=100)[percent - 1]


def request_of(url: str, token: str, query: str, variables: dict[str, object]) -> bytes:
    """One POST, ready to send."""
    parts = urlsplit(url)
    body = orjson.dumps({"query": query, "variables": variables if "$id" in query else {}})
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(url: str, request: bytes) -> dict[str, object]:
    """One answer's data. Raises BenchError when it has errors."""
    connection = await Connection.open(url)
    try:
        body = orjson.loads(await connection.ask(request))
    finally:
        connection.close()
    if body.get("errors") or not body.get("data"):
        raise BenchError(str(body)[:500])
    found: dict[str, object] = body["data"]
    return found


async def measure(url: str, requests: Sequence[bytes], seconds: float) -> Found:
    """The load for so long, one request a connection. Every answer must be as large as the first one."""
    found = Found(seconds)
    first = await Connection.open(url)
    found.size = len(await first.ask(requests[0]))
    first.close()
    end = time.perf_counter() + seconds

    async def worker(request: bytes) -> None:
        connection = await Connection.open(url)
        while (begun := time.perf_counter()) < end:
            size = len(await connection.ask(request))
            found.times.append((time.perf_counter() - begun) * 1000)
            if size != found.size:
                raise BenchError(f"{url}: an answer of {size} bytes among those of {found.size}")
        connection.close()

    await asyncio.gather(*(worker(request) for request in requests))
    return found


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> Connection:
        """To the host of a URL."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=4_000_000))

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises BenchError for a status other than 200."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise BenchError(head[:200].decode())
        if b"content-length:" in head:
            return await self.reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n", 1)[0]))
        parts = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        """End it."""
        self.writer.close()
