"""How fast a department catches up after it was away: each of its consumers, with all of them at work in its one process.

Sales announces facts about deals with owners and customers while the customer department is down; then it comes back. The timeline writes an
entry for each fact, accesses reckon anew who works with whom; each in one transaction for a batch, together with its inbox.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.js import JetStreamContext

from bench.figure import Figure
from bench.lag import settled
from bench.load import BenchError
from bench.stand import Stand, stand
from chassis.messaging.broker import stream_name

WANTED = 1500
CONSUMERS = ("customer-timeline-sales", "customer-accesses-sales")
VERSIONS = 4
POLL_SECONDS = 0.05
LONGEST_SECONDS = 600


@dataclass
class Drain:
    """What a consumer had before it, and when it took the first and the last of it."""

    waiting: int
    begun: float = 0.0
    ended: float = 0.0

    @property
    def rate(self) -> float:
        """Facts a second."""
        return self.waiting / max(self.ended - self.begun, POLL_SECONDS)


async def backlog(folder: Path, facts: int) -> list[Figure]:
    """Let so many facts wait, and watch them being heard."""
    async with stand(folder, ("customer", "sales")) as found:
        await found.deals(max(1, facts // VERSIONS))
        await found.published()
        connection = await nats.connect(found.plan.nats_url)
        try:
            context = connection.jetstream()
            await _heard(context)
            await found.take("customer")
            for number in range(VERSIONS):
                await found.rename(f"name {number}")
            await found.published()
            drains = {name: Drain((await _counts(context, name))[0]) for name in CONSUMERS}
            watching = asyncio.create_task(_watch(context, drains))
            await found.bring("customer")
            await watching
        finally:
            await connection.close()
        await settled(found)
        await _judge(found)
    return [_figure(name, drain) for name, drain in drains.items()]


async def _heard(context: JetStreamContext) -> None:
    """Wait until the consumers have heard everything."""
    while [name for name in CONSUMERS if any(await _counts(context, name))]:
        await asyncio.sleep(POLL_SECONDS)


async def _watch(context: JetStreamContext, drains: dict[str, Drain]) -> None:
    """Note when each consumer begins, and when nothing waits for it any more. Raises BenchError when that takes too long."""
    end = time.monotonic() + LONGEST_SECONDS
    while unfinished := [name for name, drain in drains.items() if not drain.ended]:
        for name in unfinished:
            pending, unacknowledged = await _counts(context, name)
            moment, drain = time.monotonic(), drains[name]
            if not drain.begun and pending < drain.waiting:
                drain.begun = moment - POLL_SECONDS
            if drain.begun and not pending and not unacknowledged:
                drain.ended = moment
        if time.monotonic() > end:
            raise BenchError(f"{', '.join(unfinished)}: not heard within {LONGEST_SECONDS} s")
        await asyncio.sleep(POLL_SECONDS)


async def _counts(context: JetStreamContext, name: str) -> tuple[int, int]:
    """Facts that were not delivered yet, and those that were delivered and not acknowledged."""
    info = await context.consumer_info(stream_name("sales"), name)
    return int(info.num_pending or 0), int(info.num_ack_pending or 0)


async def _judge(found: Stand) -> None:
    """Each consumer stands at the version of each deal, and nothing was set aside. Raises BenchError."""
    sales, customer = found.database("sales"), found.database("customer")
    stored = {row["_id"]: row["version"] async for row in sales["opportunities"].find({}, {"version": 1})}
    for name in CONSUMERS:
        rows = customer["inbox"].find({"_id": {"$regex": f"^{name}\\|"}})
        heard = {row["_id"].rsplit("|", 1)[1]: row["version"] async for row in rows}
        if {identity: heard.get(identity) for identity in stored} != stored:
            raise BenchError(f"{name} has not heard every version")
    if await customer["parked_events"].count_documents({}):
        raise BenchError("facts were parked")


def _figure(name: str, drain: Drain) -> Figure:
    words = f"{drain.rate:,.0f}/s ({drain.waiting:,} facts in {drain.ended - drain.begun:.1f} s)"
    others = "all of its consumers at work"
    return Figure(f"backlog of {name}, {others}", words, f"≥ {WANTED:,}/s", drain.rate >= WANTED)
