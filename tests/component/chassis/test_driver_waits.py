"""The driver after many were cancelled while they waited for a database that was away: what comes later must not wait for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

from chassis.storage.client import Database, connect
from cli.engines import free_port, start_mongo

AT_ONCE, ROUNDS = 80, 6


async def _cancelled_again_and_again(database: Database, dice: random.Random) -> None:
    """One read with a deadline, cancelled about when the deadline ends, and twice more."""

    async def read() -> None:
        async with asyncio.timeout(0.3):
            await database["rows"].find_one({"_id": 1})

    task = asyncio.ensure_future(read())
    await asyncio.sleep(0.3 + dice.uniform(-0.02, 0.02))
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(task, return_exceptions=True)


async def test_reads_that_were_cancelled_twice_leave_no_lock_behind(tmp_path: Path) -> None:
    port, dice = free_port(), random.Random(1)
    child, _ = await start_mongo(tmp_path / "mongo", port, tmp_path / "mongod.log")
    database = connect(f"mongodb://127.0.0.1:{port}/?directConnection=true", "waits")
    await database["rows"].insert_one({"_id": 1})
    child.process.kill()
    await child.process.wait()
    for _ in range(ROUNDS):
        await asyncio.gather(*(_cancelled_again_and_again(database, dice) for _ in range(AT_ONCE)))
    child, _ = await start_mongo(tmp_path / "mongo", port, tmp_path / "mongod.log")

    async def found() -> bool:
        with contextlib.suppress(Exception):  # the first ones may meet connections that died
            return await database["rows"].find_one({"_id": 1}) is not None
        return False

    async with asyncio.timeout(15):
        while not await found():
            await asyncio.sleep(0.1)
    await database.client.close()
    await child.stop()
