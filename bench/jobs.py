"""What jobs cost: an import by jobs beside the same by BatchUpsert alone, and commands of a department beside a job of it.

`PYTHONPATH=.:gen .venv/bin/python -m bench.jobs [rows of a slice] [rounds]`; slices of Online Retail, in turns, into an installation of
its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import io
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from crm.sales.v1 import product_service_pb2

from bench.suite import DATA, ROOT, Bench
from chassis.kernel.ids import new_id
from cli.batches import Batches
from cli.imports import run
from cli.installation import Installation
from cli.plan import Plan
from cli.words import say

FILE = DATA / "uci-online-retail" / "online_retail.csv.gz"
PRODUCTS = product_service_pb2.DESCRIPTOR.services_by_name["ProductService"]
COMMANDS, PAUSE_SECONDS = 400, 0.03
GOAL_RATE, GOAL_P99 = 0.95, 2.0


def slices(folder: Path, rows: int) -> Iterator[Path]:
    """Files of so many lines each, whole invoices, no two with the same."""
    with gzip.open(FILE, "rt", encoding="utf-8-sig", newline="") as source:
        reader = csv.reader(source)
        header = next(reader)
        number, part, last = 0, [header], ""
        for row in reader:
            if len(part) > rows and row[0] != last:
                path = folder / f"slice{number}.csv"
                with path.open("w", newline="", encoding="utf-8") as sink:
                    csv.writer(sink).writerows(part)
                yield path
                number, part = number + 1, [header]
            part.append(row)
            last = row[0]


async def imported(plan: Plan, path: Path, *, by_jobs: bool) -> float:
    """Rows a second."""
    real = run._feed
    if not by_jobs:
        run._feed = lambda plan, *_: Batches(plan)  # type: ignore[assignment,return-value]
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            report = path.with_suffix(".json")
            await run.run_import(plan, "uci-online-retail", [path], dry_run=False, errors=path.with_suffix(".err"), report=report)
    finally:
        run._feed = real
    return float(json.loads(path.with_suffix(".json").read_text())[0]["rows"] / (time.monotonic() - started))


async def commands(batches: Batches, count: int) -> list[float]:
    """Milliseconds of each of so many commands, one after the other."""
    took = []
    for _ in range(count):
        request = product_service_pb2.CreateProductRequest(request_id=new_id(), code=new_id(), name="测")
        started = time.perf_counter()
        await batches.call("sales", PRODUCTS, "CreateProduct", request)
        took.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return took


def told(took: list[float]) -> str:
    """p50 and p99."""
    return f"p50 {statistics.median(took):.1f} ms, p99 {statistics.quantiles(took, n=100)[98]:.1f} ms"


async def main(rows: int, rounds: int) -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "data")
        bench.folder.mkdir()
        await bench.start("--customers", "200")
        try:
            plan = bench._plan()
            parts = slices(Path(folder), rows)
            await imported(plan, next(parts), by_jobs=True)  # what is new at first: products, customers
            rates: dict[bool, list[float]] = {True: [], False: []}
            for number in range(rounds):
                for by_jobs in (number % 2 == 0, number % 2 == 1):
                    rates[by_jobs].append(await imported(plan, next(parts), by_jobs=by_jobs))
            before, after = statistics.median(rates[False]), statistics.median(rates[True])
            shown = {way: ", ".join(f"{rate:,.0f}" for rate in found) for way, found in rates.items()}
            say(
                f"  import, rows/s: alone {before:,.0f} ({shown[False]}), by jobs {after:,.0f} ({shown[True]}): {after / before:.2f} (goal ≥ {GOAL_RATE})"
            )
            rest = Path(folder) / "rest.csv"  # so much that it lasts
            with rest.open("wb") as sink:
                for path in itertools.islice(parts, 6):
                    sink.write(path.read_bytes() if not sink.tell() else path.read_bytes().split(b"\n", 1)[1])
            batches = Batches(plan)
            await commands(batches, 50)
            alone = await commands(batches, COMMANDS)
            say(f"  commands: alone {told(alone)}")
            for words, by_jobs in (("an import by BatchUpsert alone", False), ("a job", True)):
                process = await feeding(bench, rest, by_jobs=by_jobs)
                beside = await commands(batches, COMMANDS)
                over = process.returncode is not None
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                ratio = statistics.quantiles(beside, n=100)[98] / statistics.quantiles(alone, n=100)[98]
                goal = f" (goal ≤ {GOAL_P99})" if by_jobs else ""
                say(f"  commands: beside {words} {told(beside)}: p99 {ratio:.2f} times{goal}{'; IT WAS OVER BEFORE' if over else ''}")
            await batches.close()
        finally:
            await bench.stop()


async def feeding(bench: Bench, path: Path, *, by_jobs: bool) -> asyncio.subprocess.Process:
    """An import in a process of its own, which is under way."""
    words = [sys.executable, "-m", "bench.jobs", "--import", str(path), "job" if by_jobs else "alone"]
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=bench.environment, stdout=asyncio.subprocess.DEVNULL)
    await asyncio.sleep(4)
    return process


if __name__ == "__main__":
    if sys.argv[1:2] == ["--import"]:
        asyncio.run(imported(Installation.open().plan(), Path(sys.argv[2]), by_jobs=sys.argv[3] == "job"))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000, int(sys.argv[2]) if len(sys.argv) > 2 else 3))
