"""Backup and restore of a million documents: taken, verified and brought into another mongod, hash by hash.

The documents are customers as the department stores them, without their facts. That consumers neither miss nor repeat after a restore is
tests/component/chassis/test_backup.py's to show.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

from bench.figure import Figure
from bench.load import BenchError
from bench.million import load
from bench.stand import plan_of
from chassis.storage.client import connect
from cli.backup.restore import restore, verify
from cli.backup.take import take
from cli.engines import free_port, start_mongo
from cli.plan import Plan, new_master

MINUTES = 10
# What a document takes on the disk: in the first database, in the backup, in the second one, and in their journals.
BYTES_EACH = 6_000


async def copies(folder: Path, count: int) -> list[Figure]:
    """Make so many documents, and go the whole way. Raises EngineError where a hash differs."""
    folder.mkdir()
    free = shutil.disk_usage(folder).free
    if free < count * BYTES_EACH:
        raise BenchError(
            f"{count:,} documents and their copies want {count * BYTES_EACH / 1e9:.0f} GB, the disk has {free / 1e9:.0f}; name fewer"
        )
    secret, taken = new_master(), folder / "backup"
    child, uri = await start_mongo(folder / "first", free_port(), folder / "first.log")
    try:
        plan = plan_of(uri, "")
        database = connect(uri, f"{plan.database_prefix}_customer")
        await load(database, count)
        await database.client.close()
        begun = time.perf_counter()
        await take(plan, taken, secret)
        took = time.perf_counter() - begun
    finally:
        await child.stop()
    shutil.rmtree(folder / "first")
    brought = await _bring(plan, folder, secret)
    size = sum(path.stat().st_size for path in taken.rglob("*") if path.is_file()) / 1e6
    begun = time.perf_counter()
    await asyncio.to_thread(verify, taken, secret)
    verified = time.perf_counter() - begun
    words = f"{took + brought:.0f} s: taken in {took:.0f} s ({size:,.0f} MB), restored and compared in {brought:.0f} s, hashes equal"
    figure = Figure(
        f"backup → restore of {count:,} documents", words, f"1,000,000 in ≤ {MINUTES} min, hashes equal",
        took + brought <= MINUTES * 60 if count >= 1_000_000 else None,
    )  # fmt: skip
    return [figure, Figure("verifying that backup without a database", f"{verified:.0f} s")]


async def _bring(plan: Plan, folder: Path, secret: str) -> float:
    """Restore into a mongod that is empty; the seconds. `restore` reckons each hash from what the database holds then."""
    child, uri = await start_mongo(folder / "second", free_port(), folder / "second.log")
    try:
        begun = time.perf_counter()
        await restore(replace(plan, mongo_uri=uri), folder / "backup", secret)
        return time.perf_counter() - begun
    finally:
        await child.stop()
