"""Sales is released while people work: old and new replicas side by side, forward and back again; nobody notices, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest_asyncio

from bench.release import ROOT, Release, earlier_tree, facts, settled
from cli.engines import free_port, start_nats
from cli.words import say
from tests.support.installation import Engines

FIELD, INDEX = "stage_rank", "by_stage_rank"


@pytest_asyncio.fixture(loop_scope="session")
async def release(engines: Engines, tmp_path: Path) -> AsyncIterator[Release]:
    """Sales on its earlier version, under load, with the gateway, the departments and a broker of their own beside it."""
    nats, url = await start_nats(tmp_path / "nats", free_port(), tmp_path / "nats.log")
    found = Release(engines.plan(url), tmp_path)
    yield found
    await found.stop()
    await nats.stop()


async def _migrate(collection: Any) -> None:
    """Fill the new field in, in small steps that can be repeated, without touching versions."""
    while True:
        ids = [row["_id"] async for row in collection.find({FIELD: {"$exists": False}}, {"_id": 1}).limit(100)]
        if not ids:
            return
        await collection.update_many({"_id": {"$in": ids}, FIELD: {"$exists": False}}, {"$set": {FIELD: 1}})


async def test_a_department_is_released_and_rolled_back_under_load_and_nobody_notices(release: Release, tmp_path: Path) -> None:
    name, old = await asyncio.to_thread(earlier_tree, tmp_path / "earlier")
    await release.begin(old)
    database = release.database("sales")
    deals = database["opportunities"]

    await deals.create_index([(FIELD, 1)], name=INDEX)  # expand: both versions can live with it
    await asyncio.gather(release.bring(2, ROOT), release.bring(3, ROOT))  # four side by side
    await _migrate(deals)
    assert [await release.take(0), await release.take(1)] == [0, 0]
    await asyncio.sleep(0.5)
    await asyncio.gather(release.bring(0, old), release.bring(1, old))  # and back again
    assert [await release.take(2), await release.take(3)] == [0, 0]
    await asyncio.sleep(0.5)
    kept = await deals.count_documents({FIELD: 1})
    await deals.drop_index(INDEX)  # contract: nobody reads it any more
    await deals.update_many({}, {"$unset": {FIELD: ""}})
    await asyncio.sleep(0.5)
    await release.end()
    await settled(release)

    seen, rows = release.seen, await facts(release)
    waited = [(row["publish_time"] - datetime.fromisoformat(row["headers"]["ce-time"])).total_seconds() for row in rows]
    say(
        f"\nreleased and rolled back from {name}: {len(seen.failed)} failed of {seen.sent:,} requests (slowest {max(seen.times):.0f} ms), "
        f"{len(rows):,} facts, {len(seen.heard):,} heard live, {len(seen.leaders)} relays in turn, longest wait {max(waited):.2f} s"
    )
    assert seen.failed == []
    assert kept == await deals.count_documents({})  # replicas that do not know a field keep it
    for deal, versions in seen.moved.items():
        stored = await deals.find_one({"_id": deal})
        assert versions == list(range(2, stored["version"] + 1))
        assert [int(row["headers"]["ce-version"]) for row in rows if row["headers"]["ce-subject"] == deal] == [1, *versions]
    await _heard_and_entered_once(release, rows)
    assert len(seen.leaders) >= 3  # an old one, a new one, an old one
    assert max(waited) < 5
    await database.client.close()


async def _heard_and_entered_once(release: Release, rows: list[dict[str, Any]]) -> None:
    """Each fact was heard by the subscription and entered into the timeline, once."""
    first = next(iter(release.seen.moved))
    announced = [row["_id"] for row in rows if row["headers"]["ce-subject"] == first]
    # The minute before is told again by a department of which nothing was heard: how the customer was made.
    heard = [one for one in release.seen.heard if one in announced]
    assert len(heard) >= len(release.seen.heard) - 3
    assert heard == announced[announced.index(heard[0]) :]
    customer = release.database("customer")
    entered = [row["_id"] async for row in customer["timeline_entries"].find({"record_id": {"$in": list(release.seen.moved)}})]
    assert sorted(entered) == [row["_id"] for row in rows]
    assert await customer["parked_events"].count_documents({}) == 0
    await customer.client.close()
