"""Closed-loop load on the graph: 16 connections, each asking again when it was answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from statistics import quantiles

import httpx
import orjson

CONNECTIONS = 16
QUERIES = {
    "Q1": """query($id: ID!) { customer(id: $id) { name level lifecycle opportunities(first: 5) { nodes { name stageKey probability amount { amount currencyCode } } }
             tickets(first: 3) { nodes { subject state priority createTime } } messages(first: 4) { nodes { state sentTime subject } } } }""",
    "Q2": """{ customers(first: 50) { nodes { name level opportunities(first: 5) { nodes { name stageKey probability amount { amount currencyCode } } }
             tickets(first: 5) { nodes { subject state priority createTime } } } } }""",
    "Q3": "query($id: ID!) { customer(id: $id) { name } }",
}


@dataclass
class Found:
    """What was measured; times in milliseconds, size in bytes."""

    rate: float
    p50: float
    p99: float
    size: int
    errors: int


async def measure(url: str, token: str, query: str, variables: dict[str, object], seconds: float) -> Found:
    """A warm-up of a quarter of the time, then the measured part."""
    body = orjson.dumps({"query": query, "variables": variables if "$id" in query else {}})
    await _run(url, token, body, seconds / 4)
    return await _run(url, token, body, seconds)


async def _run(url: str, token: str, body: bytes, seconds: float) -> Found:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    times: list[float] = []
    sizes: list[int] = [0]
    errors = 0
    end = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=CONNECTIONS)

    async def worker(http: httpx.AsyncClient) -> None:
        nonlocal errors
        while time.perf_counter() < end:
            begun = time.perf_counter()
            answer = await http.post(url, content=body)
            times.append((time.perf_counter() - begun) * 1000)
            sizes[0] = len(answer.content)
            errors += b'"errors"' in answer.content[:12]

    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=30) as http:
        await asyncio.gather(*(worker(http) for _ in range(CONNECTIONS)))
    cuts = quantiles(times, n=100)
    return Found(len(times) / seconds, cuts[49], cuts[98], sizes[0], errors)
