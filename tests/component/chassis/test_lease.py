"""One replica at a time: a lease is held by one, passes on when its holder is silent or lets go, and is measured by the database's clock."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis.storage import lease as leases
from chassis.storage.client import Database, connect
from chassis.storage.lease import LEASES, Lease
from tests.support.installation import Engines, Installation


@pytest_asyncio.fixture(loop_scope="session")
async def database(engines: Engines) -> AsyncIterator[Database]:
    """A database of the test's own."""
    found = connect(engines.mongo_uri, f"t{secrets.token_hex(4)}_lease")
    yield found
    await found.client.close()


async def test_of_two_that_ask_at_once_one_holds_it(database: Database) -> None:
    several = [Lease(database, "work") for _ in range(8)]
    held = await asyncio.gather(*(one.hold() for one in several))
    assert sum(held) == 1
    assert await several[held.index(True)].hold()
    assert not await several[held.index(False)].hold()


async def test_it_passes_on_at_once_when_released_with_what_was_kept(database: Database) -> None:
    first, second = Lease(database, "work"), Lease(database, "work")
    assert await first.hold()
    await first.keep(sequence=7)
    assert not await second.hold()
    await first.release()
    assert await second.hold()
    assert (second.begun, second.kept["sequence"], second.kept["term"]) == (True, 7, 2)
    await first.keep(sequence=9)  # no longer its own
    row = await database[LEASES].find_one({"_id": "work"})
    assert row and row["sequence"] == 7


async def test_it_passes_on_after_the_holder_was_silent(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.4)
    first, second = Lease(database, "work"), Lease(database, "work")
    assert await first.hold()
    begin = time.monotonic()
    await Installation.until(second.hold, 5)
    assert 0.2 <= time.monotonic() - begin < 2
    assert not await first.hold()


async def test_a_wrong_clock_neither_takes_nor_keeps_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Lease(database, "work"), Lease(database, "work")
    assert await first.hold()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert not await second.hold()
    await first.release()
    assert await second.hold()
    row = await database[LEASES].find_one({"_id": "work"})
    assert row and row["until"].timestamp() < real() + leases.LEASE_SECONDS + 1


async def test_a_worker_ends_when_its_lease_is_lost_and_begins_where_it_went(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    running: list[str] = []

    async def work(name: str) -> None:
        running.append(name)
        try:
            await asyncio.sleep(60)
        finally:
            running.remove(name)

    first, second = Lease(database, "work"), Lease(database, "work")
    one = asyncio.create_task(first.while_held(lambda: work("first")))
    await Installation.until(lambda: running == ["first"])
    two = asyncio.create_task(second.while_held(lambda: work("second")))
    await asyncio.sleep(0.5)
    assert running == ["first"]
    # Somebody takes it away, as after a long pause of the process.
    await database[LEASES].update_one({"_id": "work"}, {"$set": {"holder": second.holder}})
    await Installation.until(lambda: running == ["second"])
    two.cancel()
    await asyncio.gather(two, return_exceptions=True)
    await second.release()
    await Installation.until(lambda: running == ["first"])
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    assert running == []
