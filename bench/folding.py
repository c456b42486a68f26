"""How fast the timeline is folded anew (`xietong rebuild timeline`), while people go on reading it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import time
from pathlib import Path
from statistics import median
from typing import Any

from crm.customer.v1 import timeline_entry_service_pb2 as contract

from bench.figure import Figure
from bench.lag import settled
from bench.load import BenchError
from bench.stand import Stand, stand
from cli.rebuild import rebuild

WANTED = 2000
VERSIONS = 4
_TIMELINE = contract.DESCRIPTOR.services_by_name["TimelineEntryService"]


async def folding(folder: Path, facts: int) -> list[Figure]:
    """Announce so many facts, then fold them anew. Raises BenchError where the models differ."""
    async with stand(folder, ("customer", "sales", "marketing", "support")) as found:  # whose streams are read
        await found.deals(max(1, facts // VERSIONS))
        for number in range(VERSIONS - 1):
            await found.rename(f"name {number}")
        await settled(found)
        firms = [row["_id"] async for row in found.database("customer")["customers"].find({}, {"_id": 1}).limit(100)]
        times: list[float] = []
        reading = asyncio.create_task(_read(found, firms, times))
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                job = await rebuild(found.plan, "timeline")
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    told = " ".join(job.findings)
    if "equal to" not in told:
        raise BenchError("the model that was folded anew is another one")
    seconds, paused = (float(number) for number in re.findall(r"(?:in|for) ([0-9.]+) s", told))
    rate = job.done / seconds
    words = (
        f"{rate:,.0f}/s ({job.done:,} facts in {seconds:.1f} s), effects held back for {paused:.1f} s; {len(times):,} reads of the "
        f"timeline meanwhile, p50 {median(times):.0f} ms, slowest {max(times):.0f} ms; equal by hash"
    )
    return [Figure("the timeline folded anew", words, f"≥ {WANTED:,}/s while reads go on", rate >= WANTED)]


async def _read(found: Stand, firms: list[str], times: list[float]) -> None:
    """The newest entries of one customer after the other; milliseconds."""
    while True:
        for firm in firms:
            begun = time.perf_counter()
            request: Any = contract.BatchListTimelineEntriesRequest(customer_ids=[firm], page_size=20)
            await found.batches.call("customer", _TIMELINE, "BatchListTimelineEntries", request)
            times.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.005)
