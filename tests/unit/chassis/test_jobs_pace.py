"""How a job yields to others, and how who waits is woken."""

from __future__ import annotations

import asyncio
import time

from chassis.jobs import worker


async def test_a_job_takes_moments_and_rests_while_others_ask() -> None:
    asked = 0
    pace = worker.Pace(lambda: asked)
    assert pace.rows() == worker.BATCH
    await asyncio.sleep(0.02)
    pace.did(100)  # 0.2 ms each
    await pace.rest()
    asked += 1
    few = pace.rows()
    assert 1 <= few <= worker.SMALL
    await asyncio.sleep(0.05)
    pace.did(1)  # a row that takes longer than a moment
    began = time.monotonic()
    await pace.rest()
    assert time.monotonic() - began >= 0.09
    asked += 1
    assert pace.rows() == 1
    assert pace.rows() == worker.BATCH  # nobody asks any more


async def test_who_looks_before_it_waits_misses_no_ring() -> None:
    bell = worker.Bell()
    since = bell.rung
    bell.ring()
    async with asyncio.timeout(1):
        await bell.wait(60, since)
    waiting = asyncio.create_task(bell.wait(60, bell.rung))
    await asyncio.sleep(0)
    bell.ring()
    async with asyncio.timeout(1):
        await waiting
