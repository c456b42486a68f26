"""The instants at which customers come in or go out by time alone, reckoned once for each time zone of the company: safe to repeat."""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo import ASCENDING

from chassis.runtime.migrations import COLLECTION, Migration, OwnCall
from services.customer.segments import model
from services.customer.segments.reactions import fill
from services.customer.segments.store import Segments

PREFIX = "customers.flips-"
AGAIN_SECONDS = 0.5
Document = dict[str, Any]


def first_flips(segments: Segments, zone: str) -> Migration:
    """Judges, for all segments that count from now, whom they concern. A day ends elsewhere in another zone, and what was kept is later
    than that, or earlier."""

    async def run(own_call: OwnCall) -> int:
        call, done = own_call("migrate"), 0
        async for segment in call.database[segments.resource].find({"archive_time": None}).sort("_id", ASCENDING):
            if model.flips(segment, call.when):
                await _filled(segments, own_call, segment)
                done += 1
        # Whoever comes back to an earlier zone reckons anew.
        await call.database[COLLECTION].delete_many({"_id": {"$regex": f"^{PREFIX}", "$ne": PREFIX + zone}})
        return done

    return Migration(PREFIX + zone, run)


async def _filled(segments: Segments, own_call: OwnCall, segment: Document) -> None:
    while True:
        try:
            return await fill(segments, own_call, segment)
        except TimeoutError:  # somebody judged one of them at the same moment
            await asyncio.sleep(AGAIN_SECONDS)
