"""`make bench`: the executor, the gateways beside each other, start-up, event latency, import rates, memory.

Absolute times are of a noisy machine; compare only within one run. BENCH_SECONDS (a sample), BENCH_ROUNDS and BENCH_CUSTOMERS may
be set, and BENCH_ONLY=graph leaves out what has nothing to do with the graph.
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.access import decisions
from bench.alone import gateways_alone
from bench.compare import goals, write
from bench.executor import executor_alone, planning
from bench.gateways import ROOT, install_peers
from bench.latency import event_latency
from bench.suite import DATA, Bench
from bench.whole import whole_system
from bench.working_time import working_time
from cli.words import say

CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "2000"))
REPORT = ROOT / "docs" / "reference" / "benchmarks.md"


async def main() -> None:
    """Everything, in order."""
    node = install_peers()
    measured = decisions()
    say("\n".join(measured))
    reckoned = working_time()
    say("\n".join(reckoned))
    lines = [*_head(), "## Decisions", "", *measured, "", "## Working time", "", *reckoned, "", *await _executor()]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        alone, words = await gateways_alone(folder, node=node)
        lines += words
        bench = Bench(folder / "data")
        started = time.monotonic()
        await bench.start("--customers", str(CUSTOMERS))
        say(f"first start with {CUSTOMERS:,} customers: {time.monotonic() - started:.1f} s")
        try:
            whole, words = await whole_system(bench, folder, node=node)
            lines += words
            if os.environ.get("BENCH_ONLY") != "graph":
                await _departments(bench)
        finally:
            await bench.stop()
        table = goals(alone, whole)
        say("\n".join(table))
        write(REPORT, [*lines, "## Goals of the design", "", *table])
        if os.environ.get("BENCH_ONLY") != "graph":
            await _starts(bench)


def _head() -> list[str]:
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return [
        "# Benchmarks", "", "Written by `make bench`; compare only inside one run. How it is measured and what the peers are: "
        "[bench/peers](../../bench/peers/README.md).", "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({processor}), Python {platform.python_version()}, load generator on the same machine.", "",
    ]  # fmt: skip


async def _executor() -> list[str]:
    lines = ["## The executor alone", "", "| | graphql-core ms | plan ms | ratio |", "|---|---|---|---|"]
    for words, times in zip(("data in memory", "with the gateway's way to a department in memory"), await executor_alone(), strict=True):
        for name, (core, plan) in times.items():
            lines.append(f"| {name}, {words} | {core:.3f} | {plan:.3f} | {core / plan:.1f} |")
    lines += ["", *planning(), ""]
    say("\n".join(lines) + "\n")
    return lines


async def _departments(bench: Bench) -> None:
    token = await bench.sign_in()
    median, high = await event_latency(bench.url, token, 300)
    say(f"\ncommitted write → timeline entry: p50 {median:.0f} ms, p99 {high:.0f} ms (300 writes, unloaded)")
    say("memory after load (MB): " + bench.memory())
    if DATA.exists():
        await bench.imports()
    else:
        say("imports: the public data sets (../shared/data) are not on this machine")


async def _starts(bench: Bench) -> None:
    for options in ((), ("--compact",)):
        started = time.monotonic()
        await bench.start(*options)
        say(f"second start {' '.join(options)}: {time.monotonic() - started:.1f} s")
        if options:
            say("memory, compact (MB): " + bench.memory())
        await bench.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run(main())
