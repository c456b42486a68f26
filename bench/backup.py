"""`python -m bench.backup [CUSTOMERS]`: the first backup, the next ones, verify, restore and drill; prints what each took and stored."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import UpdateOne

from chassis.kernel.ids import new_id
from chassis.storage.client import connect
from cli.backup.drill import drill
from cli.backup.repository import chunks_of
from cli.backup.restore import restore, verify
from cli.backup.take import take
from cli.engines import free_port, start_mongo
from cli.plan import Plan, new_master, new_masters
from cli.words import say

SECRET = new_master()


async def main(customers: int) -> None:
    """Load, then measure on an engine of its own."""
    with tempfile.TemporaryDirectory() as text:
        base = Path(text)
        child, uri = await start_mongo(base / "mongo", free_port(), base / "mongod.log")
        plan = Plan(mongo_uri=uri, nats_url="", grpc={}, ops={}, gateway_port=0, faq_port=0, smtp_port=0, masters=new_masters())
        database = connect(uri, "crm_customer")
        try:
            await _load(database["customers"], customers)
            say("| what | s | of the first | stored MB | chunks |\n|---|---|---|---|---|")
            await _measure(plan, database["customers"], base / "backups", customers)
        finally:
            await database.client.close()
            await child.stop()


async def _load(table: Any, count: int) -> None:
    """Documents like customers: in the order of their ids, a third of each sealed, which compresses to nothing less."""
    rng, now = random.Random(7), datetime.now(UTC)
    for first in range(0, count, 5000):
        await table.insert_many([
            {
                "_id": new_id(), "version": rng.randint(1, 9), "create_time": now, "update_time": now, "owner_id": f"person-{rng.randrange(2000):04d}",
                "name": f"客户 {rng.randrange(10**6)} {rng.choice(('有限公司', '股份公司', '商行'))}", "phone": rng.randbytes(56), "email": rng.randbytes(72),
                "address": rng.randbytes(90), "industry": rng.choice(("制造", "零售", "教育", "医疗")), "level": rng.choice("ABC"),
                "tags": [rng.choice(("展会", "老客户", "重点", "待回访")) for _ in range(3)], "source": "import", "source_key": f"bench:{number}",
            }
            for number in range(first, min(first + 5000, count))
        ], ordered=False)  # fmt: skip


async def _measure(plan: Plan, table: Any, folder: Path, customers: int) -> None:
    first, manifest = await _timed(take(plan, folder, SECRET))
    size = sum(row["bytes"] for row in manifest["departments"]["customer"].values())
    _row(f"first: {customers:,} documents, {size / 1e6:,.0f} MB", first, first, manifest)
    _row("again, nothing changed", *await _after(plan, folder, first))
    ids, rng = [row["_id"] async for row in table.find({}, {"_id": 1}).sort("_id")], random.Random(7)
    for words, chosen in (
        ("0.1 % changed, scattered", rng.sample(ids, customers // 1000)), ("1 % changed, scattered", rng.sample(ids, customers // 100)),
        ("1 % changed, the newest", ids[-customers // 100 :]),
    ):  # fmt: skip
        await table.bulk_write([UpdateOne({"_id": identity}, {"$inc": {"version": 1}}) for identity in chosen], ordered=False)
        _row(words, *await _after(plan, folder, first))
    seconds, _ = await _timed(asyncio.to_thread(verify, folder, SECRET))
    _row("verify", seconds, first)
    seconds, _ = await _timed(restore(replace(plan, database_prefix="back"), folder, SECRET))
    _row("restore, verified before and compared after", seconds, first)
    seconds, _ = await _timed(drill(plan, folder, SECRET))
    _row("drill", seconds, first)


async def _after(plan: Plan, folder: Path, first: float) -> tuple[float, float, dict[str, Any]]:
    seconds, manifest = await _timed(take(plan, folder, SECRET))
    return seconds, first, manifest


async def _timed(work: Awaitable[Any]) -> tuple[float, Any]:
    started = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        found = await work
    return time.monotonic() - started, found


def _row(what: str, seconds: float, first: float, manifest: dict[str, Any] | None = None) -> None:
    stored = (
        f"{manifest['added']['bytes'] / 1e6:,.1f} | {manifest['added']['chunks']:,} of {len(chunks_of(manifest)):,}" if manifest else "|"
    )
    say(f"| {what} | {seconds:.1f} | {seconds / first:.2f} | {stored} |")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
