"""`python -m bench.rolling [requests]`: sales released and rolled back under load again and again, until so many requests were sent."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

from bench.release import ROOT, Release, earlier_tree, facts, settled
from bench.stand import plan_of
from cli.engines import free_port, start_mongo, start_nats
from cli.words import say


async def main(wanted: int) -> None:
    """Prints the figures; exits 1 when a request failed or a fact was lost or came twice."""
    with tempfile.TemporaryDirectory() as text:
        words, wrong = await rolling(Path(text), wanted)
    say(words)
    if wrong:
        sys.exit(f"rolling: {wrong}")


async def rolling(folder: Path, wanted: int) -> tuple[str, str]:
    """The figures in words, and what is wrong with them."""
    (mongo, mongo_uri), (nats, nats_url) = await asyncio.gather(
        start_mongo(folder / "mongo", free_port(), folder / "mongod.log"), start_nats(folder / "nats", free_port(), folder / "nats.log")
    )
    release = Release(plan_of(mongo_uri, nats_url), folder)
    try:
        rolled = await _roll(release, folder, wanted)
        return await _judge(release, rolled)
    finally:
        await release.stop()
        await asyncio.gather(mongo.stop(), nats.stop())


async def _roll(release: Release, folder: Path, wanted: int) -> int:
    """Forward and back until enough was sent; how many replicas were taken away."""
    name, old = await asyncio.to_thread(earlier_tree, folder / "earlier")
    say(f"from {name} to this code and back")
    await release.begin(old)
    rolled = 0
    while release.seen.sent < wanted:
        for fresh, gone, tree in (((2, 3), (0, 1), ROOT), ((0, 1), (2, 3), old)):
            await asyncio.gather(*(release.bring(place, tree) for place in fresh))
            for place in gone:
                if code := await release.take(place):
                    release.seen.failed.append(f"a drained replica exited with {code}")
                rolled += 1
        say(f"  {rolled} replicas replaced, {len(release.seen.failed)} failed of {release.seen.sent:,}")
    await release.end()
    await settled(release, 60)
    return rolled


async def _judge(release: Release, rolled: int) -> tuple[str, str]:
    """The figures in words, and what is wrong with them."""
    seen, rows = release.seen, await facts(release)
    deal = next(iter(seen.moved))
    announced = [row["_id"] for row in rows if row["headers"]["ce-subject"] == deal]
    percent = quantiles(seen.times, n=100)
    words = (
        f"{len(seen.failed)} failed of {seen.sent:,} requests while {rolled} replicas were replaced; p50 {percent[49]:.0f} ms, "
        f"p99 {percent[98]:.0f} ms, slowest {max(seen.times):.0f} ms; {len(rows):,} facts, {len(seen.heard):,} heard live, "
        f"{len(seen.leaders)} relays in turn"
    )
    if seen.failed:
        return words, f"first failure: {seen.failed[0]}"
    if sorted(seen.heard) != announced[announced.index(min(seen.heard)) :]:
        return words, "the subscriptions missed facts"
    return words, ""


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 25_000))
