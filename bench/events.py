"""`make bench-events`: what the design says of writes, facts, releases and backups, measured and printed beside it.

`python -m bench.events write latency backlog rebuild timers restart backup` runs what is named, all of it by default; `--help` tells the sizes. Absolute times
are of a noisy machine; where there is a ratio, both sides were measured in turn in one run. With all parts at their full size the table is
kept in docs/reference/events.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.backlog import backlog
from bench.compare import write
from bench.copies import copies
from bench.figure import Figure, table
from bench.folding import folding
from bench.gateways import ROOT
from bench.lag import lags
from bench.rolling import rolling
from bench.timers import timers
from bench.write_cost import write_cost
from cli.words import say

PARTS = ("write", "latency", "backlog", "rebuild", "timers", "restart", "backup")
REPORT = ROOT / "docs" / "reference" / "events.md"
WANTED_REQUESTS = 25_000


async def main(options: argparse.Namespace, *, keep: bool) -> None:
    """Each part on engines of its own, one after the other; exits 1 where a goal was missed."""
    found: list[Figure] = []
    for part in options.parts or PARTS:
        with tempfile.TemporaryDirectory() as text:
            for figure in await _measure(part, options, Path(text) / part):
                found.append(figure)
                say(figure.row)
    say("\n" + "\n".join(table(found)))
    if keep:
        write(REPORT, [*_head(), *table(found)])
    if missed := [figure.what for figure in found if figure.met is False]:
        sys.exit(f"bench-events: missed {len(missed)}: {'; '.join(missed)}")


async def _measure(part: str, options: argparse.Namespace, folder: Path) -> list[Figure]:
    if part == "write":
        return await write_cost(folder, options.rounds, options.writes)
    if part == "latency":
        return await lags(folder, options.seconds)
    if part == "backlog":
        return await backlog(folder, options.facts)
    if part == "rebuild":
        return await folding(folder, options.facts)
    if part == "timers":
        return await timers(folder, options.waiting, options.due)
    if part == "restart":
        return [await _restart(folder, options.requests)]
    return await copies(folder, options.documents)


async def _restart(folder: Path, requests: int) -> Figure:
    folder.mkdir()
    words, wrong = await rolling(folder, requests)
    what = "graceful restart of sales under load, forward and back"
    if wrong:
        return Figure(what, f"{words}; {wrong}", f"0 failed of ≥ {WANTED_REQUESTS:,}", met=False)
    return Figure(what, words, f"0 failed of ≥ {WANTED_REQUESTS:,}", True if requests >= WANTED_REQUESTS else None)


def _head() -> list[str]:
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    return [
        "# Events and writes", "", "Written by `make bench-events`. How each figure is measured stands at the head of its module in bench/.", "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({processor}), Python {platform.python_version()}, load generator on the same machine.", "",
    ]  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.events", description="Figures of the design, measured.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--writes", type=int, default=1000, help="pairs, and writes of a round (1000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of writes at 16 connections, two or more (7)")
    parser.add_argument("--seconds", type=float, default=30, help="of each load of the latency (30)")
    parser.add_argument("--facts", type=int, default=40_000, help="in the backlog, and folded anew (40000)")
    parser.add_argument("--waiting", type=int, default=100_000, help="timers that wait (100000)")
    parser.add_argument("--due", type=int, default=20_000, help="timers due at once, twice; at most half of those that wait (20000)")
    parser.add_argument("--requests", type=int, default=WANTED_REQUESTS, help="while sales is restarted (25000)")
    parser.add_argument("--documents", type=int, default=1_000_000, help="in the backup (1000000)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.waiting < 2 * options.due:
        parser.error(f"--due: at most {options.waiting // 2}, half of those that wait")
    if options.rounds < 2:
        parser.error("--rounds: two or more, a spread of one says nothing")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run(main(_options(), keep=len(sys.argv) == 1))
