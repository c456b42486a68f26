"""What the audit and its chain cost of a write: the same creates and updates with both, and with neither, in turn, in the same processes.

`python -m bench.audit_cost FOLDER`. CPU runs until what was written is sealed (a fixed wait, the same for both), less what idling costs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import orjson

from bench.load import BenchError, Connection, request_of
from bench.switched import AUDIT_OFF, ON
from bench.switches import PARTS, Switched, ratios, spread
from cli.words import say

ROUNDS, EACH, SEAL_SECONDS = max(7, int(os.environ.get("BENCH_ROUNDS", "7"))), 12, 2.0
CREATE = """mutation($id: String!) { customerCreate(input: {kind: COMPANY, name: $id}) { customer { id version } errors { message } } }"""
UPDATE = """mutation($id: ID!, $v: Long!, $d: String!) { customerUpdate(input: {customerId: $id, version: $v, industry: $d})
            { customer { id version } errors { message } } }"""
Sample = dict[str, float]


async def _write(bench: Switched, connection: Connection, token: str, times: list[float], text: str, **variables: object) -> dict[str, Any]:
    begun = time.perf_counter()
    answer = orjson.loads(await connection.ask(request_of(bench.url, token, text, variables)))
    times.append((time.perf_counter() - begun) * 1000)
    payload = next(iter((answer.get("data") or {"": {}}).values())) or {}
    if not payload.get("customer"):
        raise BenchError(str(answer)[:400])
    found: dict[str, Any] = payload["customer"]
    return found


async def _writer(bench: Switched, token: str, number: int, times: list[float]) -> None:
    """A customer, changed eleven times."""
    connection = await Connection.open(bench.url)
    row = await _write(bench, connection, token, times, CREATE, id=f"审计 {number} {time.time_ns()}")
    for turn in range(EACH - 1):
        row = await _write(bench, connection, token, times, UPDATE, id=row["id"], v=row["version"], d=f"industry {turn}")
    connection.close()


async def _idle(bench: Switched) -> list[float]:
    """Processor seconds a second of each part while nothing is asked."""
    before = bench.seconds()
    await asyncio.sleep(SEAL_SECONDS)
    return [(after - since) / SEAL_SECONDS for after, since in zip(bench.seconds(), before, strict=True)]


async def sample(bench: Switched) -> Sample:
    """CPU milliseconds of each part for a write, and how long it took."""
    tokens, times = await bench.tokens_of("demo"), list[float]()
    idle, before, begun = await _idle(bench), bench.seconds(), time.perf_counter()
    await asyncio.gather(*(_writer(bench, token, number, times) for number, token in enumerate(tokens)))
    wall = time.perf_counter() - begun
    await asyncio.sleep(SEAL_SECONDS)
    spent = time.perf_counter() - begun
    used = [(a - b - rest * spent) * 1000 / len(times) for a, b, rest in zip(bench.seconds(), before, idle, strict=True)]
    cuts = quantiles(times, n=100)
    return dict(zip(PARTS, used, strict=True)) | {"all": sum(used), "p50": cuts[49], "p99": cuts[98], "wall": wall}


async def main(folder: Path) -> None:
    """Start, measure, say."""
    bench = Switched(folder)
    await bench.start("--customers", "2000")
    try:
        await sample(bench)
        found: dict[int, list[Sample]] = {ON: [], AUDIT_OFF: []}
        for number in range(ROUNDS):
            for signal in (ON, AUDIT_OFF) if number % 2 else (AUDIT_OFF, ON):
                await bench.turn(signal)
                found[signal].append(await sample(bench))
        lines = ["| of a write | on | off | on : off |", "|---" * 4 + "|"]
        for name in ("gateway", "departments", "mongod", "all", "p50", "p99", "wall"):
            values = [median(row[name] for row in rows) for rows in found.values()]
            lines.append(f"| {name} | {values[0]:.2f} | {values[1]:.2f} | {spread(ratios(found[ON], found[AUDIT_OFF], name))} |")
        say("\n".join(lines))
        (folder / "audit_cost.md").write_text("\n".join(lines) + "\n")
    finally:
        await bench.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
