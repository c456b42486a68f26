"""`make bench`: starts an installation of its own and prints start-up, Q1–Q3, event latency, import rates and memory.

Absolute times are of a noisy machine; compare only within one run.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.latency import event_latency
from bench.load import QUERIES, measure
from bench.suite import DATA, Bench
from cli.words import say

SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "2000"))


async def main() -> None:
    """Everything, in order."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "data")
        started = time.monotonic()
        await bench.start("--customers", str(CUSTOMERS))
        say(f"first start with {CUSTOMERS:,} customers: {time.monotonic() - started:.1f} s")
        try:
            await _measure(bench)
        finally:
            await bench.stop()
        started = time.monotonic()
        await bench.start()
        say(f"second start: {time.monotonic() - started:.1f} s")
        await bench.stop()
        started = time.monotonic()
        await bench.start("--compact")
        say(f"second start, compact: {time.monotonic() - started:.1f} s")
        say("memory, compact (MB): " + bench.memory())
        await bench.stop()


async def _measure(bench: Bench) -> None:
    say("memory after start (MB): " + bench.memory())
    token = await bench.sign_in()
    customer = await bench.busiest_customer(token)
    say(f"\n{'':4}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'kB':>8}   16 connections, {SECONDS:.0f} s each, whole system")
    for name, query in QUERIES.items():
        found = await measure(bench.url, token, query, {"id": customer}, SECONDS)
        say(f"{name:4}{found.rate:8.0f}{found.p50:9.1f}{found.p99:9.1f}{found.size / 1000:8.1f}")
        if found.errors:
            say(f"     {found.errors} answers had errors")
    median, high = await event_latency(bench.url, token, 300)
    say(f"\ncommitted write → timeline entry: p50 {median:.0f} ms, p99 {high:.0f} ms (300 writes, unloaded)")
    say("memory after load (MB): " + bench.memory())
    if DATA.exists():
        await bench.imports()
    else:
        say("imports: the public data sets (../shared/data) are not on this machine")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run(main())
