"""How long a search over a million customers takes: every kind of question, drawn from their own texts, for callers of every scope.

`python -m bench.finding FOLDER` keeps its database in the folder. BENCH_MILLION sets how many customers, BENCH_ROUNDS how many of each kind.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.figure import Figure, table
from bench.million import SCOPES, load
from bench.scopes import COUNT, Questions, Recorder
from chassis.kernel.readings import readings
from chassis.kernel.terms import IS_HAN
from chassis.storage.client import connect
from cli.engines import free_port, start_mongo
from cli.words import say

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "40"))
GOAL = 80.0
Row = dict[str, Any]


def _part(row: Row) -> str:
    """Two to four successive letters of the name."""
    name = row["name"].split()[0]
    begin = len(name) // 3
    return str(name[begin : begin + 4])


KINDS: dict[str, Callable[[Row], str]] = {
    "a whole name": lambda row: row["name"],
    "a part of a name": _part,
    "two characters": lambda row: row["name"][:2],
    "one character": lambda row: row["name"][:1],
    "initials": lambda row: "".join(one[0] for one in readings(row["name"])[0])[:6] if IS_HAN.match(row["name"]) else row["name"][:3],
    "a full reading": lambda row: "".join(readings(row["name"])[0])[:40] if IS_HAN.match(row["name"]) else row["name"],
    "two words": lambda row: " ".join(row["name"].split()[:2]) if " " in row["name"] else f"{row['name'][:2]} {row['name'][-2:]}",
    "a telephone number": lambda row: row.get("phone") or "13800138000",
    "its last four digits": lambda row: (row.get("phone") or "0000")[-4:],
    "a mail address": lambda row: row.get("email") or "nobody@mail.example",
    "a source key": lambda row: row["source_key"],
    "what is nowhere": lambda row: f"{row['name'][:2]}䶮䶮",
}


async def measure(questions: Questions, rows: list[Row]) -> tuple[list[str], list[float]]:
    """A line for each kind of question, and every time, in milliseconds."""
    lines, every = ["| question | p50 ms | p95 ms | worst ms | hits |", "|---|---|---|---|---|"], []
    for words, ask in KINDS.items():
        times, hits = [], 0
        for row in rows:
            for scope in SCOPES:
                call, begun = questions.call(scope, ()), time.perf_counter()
                hits += len(await questions.finder.find(call, ask(row)))
                times.append((time.perf_counter() - begun) * 1000)
        cut = quantiles(times, n=20)
        lines.append(f"| {words} | {cut[9]:.1f} | {cut[18]:.1f} | {max(times):.1f} | {hits / len(times):.1f} |")
        say(lines[-1])
        every += times
    return lines, every


async def main(folder: Path) -> None:
    """Load, then ask."""
    child, uri = await start_mongo(folder / "mongo", free_port(), folder / "mongod.log")
    database = connect(uri, "bench_scopes", [Recorder()])
    try:
        begun = time.monotonic()
        await load(database, COUNT)
        say(f"{COUNT:,} customers ready in {time.monotonic() - begun:.0f} s")
        found = await database.customers.aggregate([{"$sample": {"size": ROUNDS}}])
        rows = await found.to_list()
        random.Random(3).shuffle(rows)
        lines, every = await measure(Questions(database, Recorder()), rows)
        p95 = quantiles(every, n=20)[18]
        figure = Figure(f"search among {COUNT:,} customers, p95", f"{p95:.0f} ms", f"≤ {GOAL:.0f} ms", p95 <= GOAL)
        told = [*lines, "", *table([figure])]
        say("\n".join(told[-3:]))
        (folder / "finding.md").write_text("\n".join(told) + "\n")
    finally:
        await database.client.close()
        await child.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
