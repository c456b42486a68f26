"""`python -m bench.rolling [requests]`: sales released and rolled back under load again and again, until so many requests were sent."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

from bench.release import ROOT, Release, earlier_tree, facts, settled
from cli.engines import free_port, start_mongo, start_nats
from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets
from cli.words import say


async def main(wanted: int) -> None:
    """Prints the figures; exits 1 when a request failed or a fact was lost or came twice."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (mongo, mongo_uri), (nats, nats_url) = await asyncio.gather(
            start_mongo(folder / "mongo", free_port(), folder / "mongod.log"), start_nats(folder / "nats", free_port(), folder / "nats.log")
        )
        release = Release(_plan(mongo_uri, nats_url), folder)
        try:
            rolled = await _roll(release, folder, wanted)
            wrong = await _report(release, rolled)
        finally:
            await release.stop()
            await asyncio.gather(mongo.stop(), nats.stop())
    if wrong:
        sys.exit(f"rolling: {wrong}")


def _plan(mongo_uri: str, nats_url: str) -> Plan:
    return Plan(
        mongo_uri=mongo_uri, nats_url=nats_url, grpc={name: free_port() for name in DEPARTMENTS},
        ops={name: free_port() for name in (*DEPARTMENTS, "gateway")}, gateway_port=free_port(), faq_port=free_port(), smtp_port=free_port(),
        secrets=new_secrets(), masters=new_masters(), database_prefix=f"r{secrets.token_hex(4)}",
    )  # fmt: skip


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


async def _report(release: Release, rolled: int) -> str:
    """Say the figures; what is wrong with them."""
    seen, rows = release.seen, await facts(release)
    deal = next(iter(seen.moved))
    announced = [row["_id"] for row in rows if row["headers"]["ce-subject"] == deal]
    percent = quantiles(seen.times, n=100)
    say(
        f"{len(seen.failed)} failed of {seen.sent:,} requests while {rolled} replicas were replaced; p50 {percent[49]:.0f} ms, "
        f"p99 {percent[98]:.0f} ms, slowest {max(seen.times):.0f} ms; {len(rows):,} facts, {len(seen.heard):,} heard live, "
        f"{len(seen.leaders)} relays in turn"
    )
    if seen.failed:
        return f"first failure: {seen.failed[0]}"
    if sorted(seen.heard) != announced[announced.index(min(seen.heard)) :]:
        return "the subscriptions missed facts"
    return ""


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 25_000))
