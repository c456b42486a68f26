"""From a committed write in sales to its effect in the customer department, under load: a moved deal until it stands on the timeline.

Both moments are read from MongoDB's oplog afterwards, by mongod's one clock: nobody who watches costs anything meanwhile, and a slow load
generator hides nothing. `make bench` measures the same through the graph, with the eyes of a person, unloaded.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from bson import Timestamp

from bench.figure import Figure
from bench.load import BenchError
from bench.stand import Stand, stand

RATES = (50, 250)
AT_ONCE = 16
WARM_SECONDS = 3.0
SETTLE_SECONDS = 120
MEDIAN_MS, HIGH_MS, FULL_MS = 15, 100, 1000


async def lags(folder: Path, seconds: float) -> list[Figure]:
    """At 50 a second, at 250, and as fast as 16 connections are answered; so long each."""
    found: list[Figure] = []
    async with stand(folder, ("customer", "sales")) as one:
        deals = await one.deals(1000)
        await _load(one, deals, RATES[0], WARM_SECONDS)
        for rate in (*RATES, 0):
            await settled(one)
            since = await _moment(one)
            sent, wall = await _load(one, deals, rate, seconds)
            await settled(one)
            found.append(_figure(rate, sent / wall, await _times(one, since)))
    return found


async def _load(one: Stand, deals: list[str], rate: int, seconds: float) -> tuple[int, float]:
    """Moves of deals in turn: at a rate whatever the answers take, or each connection after its answer. How many, in how long."""
    free: asyncio.Queue[str] = asyncio.Queue()
    for deal in deals:
        free.put_nowait(deal)
    begun = time.perf_counter()
    done = 0

    async def move(deal: str) -> None:
        nonlocal done
        await one.move(deal)
        free.put_nowait(deal)
        done += 1

    async def again() -> None:
        while time.perf_counter() - begun < seconds:
            await move(free.get_nowait())

    if not rate:
        await asyncio.gather(*(again() for _ in range(AT_ONCE)))
    else:
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                tasks.create_task(move(await free.get()))
    return done, time.perf_counter() - begun


async def settled(one: Stand) -> None:
    """Wait until everything that sales announced stands on the timeline. Raises BenchError when it does not."""
    end = time.monotonic() + SETTLE_SECONDS
    await one.published()
    wanted = {"headers.ce-customer": {"$gt": ""}}
    while True:
        told = await one.database("sales")["outbox"].count_documents(wanted)
        entered = await one.database("customer")["timeline_entries"].count_documents({"department": "sales"})
        if told == entered:
            return
        if time.monotonic() > end:
            raise BenchError(f"{entered:,} of {told:,} facts stand on the timeline after {SETTLE_SECONDS} s")
        await asyncio.sleep(0.1)


async def _moment(one: Stand) -> Timestamp:
    moment: Timestamp = (await one.client.admin.command("ping"))["operationTime"]
    return moment


async def _times(one: Stand, since: Timestamp) -> list[float]:
    """Milliseconds from the transaction that announced each fact to the one that entered it."""
    outbox, timeline = (f"{one.database(name).name}.{table}" for name, table in (("sales", "outbox"), ("customer", "timeline_entries")))
    told: dict[str, datetime] = {}
    entered: dict[str, datetime] = {}
    rows = one.client["local"]["oplog.rs"].find({"ts": {"$gt": since}, "o.applyOps.ns": {"$in": [outbox, timeline]}})
    async for row in rows:
        for operation in row["o"]["applyOps"]:
            if operation["op"] == "i" and operation["ns"] in (outbox, timeline):
                which = told if operation["ns"] == outbox else entered
                which[operation["o"]["_id"]] = row["wall"]
    if lost := told.keys() - entered.keys():
        raise BenchError(f"{len(lost)} facts have no entry in the oplog")
    return [_milliseconds(entered[identity], moment) for identity, moment in told.items()]


def _milliseconds(later: Any, earlier: Any) -> float:
    return float((later - earlier).total_seconds()) * 1000


def _figure(rate: int, reached: float, times: list[float]) -> Figure:
    percent = quantiles(times, n=100)
    p50, p95, p99 = percent[49], percent[94], percent[98]
    words = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms ({len(times):,} writes)"
    if not rate:
        return Figure(f"write → effect, full load ({AT_ONCE} connections, {reached:.0f}/s)", words, f"p95 ≤ {FULL_MS:,} ms", p95 <= FULL_MS)
    what = f"write → effect at {rate}/s" + ("" if reached > rate * 0.97 else f" (only {reached:.0f}/s were reached)")
    return Figure(what, words, f"p50 ≤ {MEDIAN_MS} ms, p99 ≤ {HIGH_MS} ms", p50 <= MEDIAN_MS and p99 <= HIGH_MS)
