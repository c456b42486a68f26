"""A department with a wrong clock, or with its machinery broken on purpose: `python -m tests.chaos.process sales --clock=-90 --broken=…`.

The clock is set wrong before anything of the department is imported; what is broken stands here, not in the product.
"""

from __future__ import annotations

import argparse
import asyncio
import runpy
import sys
import time
from datetime import timedelta
from typing import Any

# Between the two halves of what is done in the wrong order: long enough for a kill to come in between.
HASTE_SECONDS = 0.6


def _set_clock(seconds: float) -> None:
    from chassis.kernel import clock

    real, real_now = time.time, clock.now
    time.time = lambda: real() + seconds
    clock.now = lambda: real_now() + timedelta(seconds=seconds)


def _acknowledge_before_effect() -> None:
    """A consumer tells the broker that it is done before it is."""
    from chassis.messaging.reactions import Consumer

    handle = Consumer._handle

    async def hasty(self: Consumer, messages: list[Any]) -> None:
        for message in messages:
            await message.ack()
        await asyncio.sleep(HASTE_SECONDS)
        await handle(self, messages)

    Consumer._handle = hasty  # type: ignore[method-assign]


def _no_version_check() -> None:
    """A change overwrites whatever is there, as if nobody else had changed it."""
    from pymongo import UpdateOne

    from chassis.storage.changes import Changes

    guard = Changes._guard

    def careless(self: Changes, collection: str, operation: UpdateOne) -> None:
        query = {key: value for key, value in operation._filter.items() if key != "version"}
        guard(self, collection, UpdateOne(query, operation._doc))

    Changes._guard = careless  # type: ignore[method-assign]


def _mark_before_publish() -> None:
    """The relay marks facts as published, and publishes them then."""
    from chassis.messaging.relay import Relay
    from chassis.storage.changes import OUTBOX

    publish = Relay.publish_batch

    async def hasty(self: Relay) -> int:
        rows = await self.database[OUTBOX].find({"pending": True}, {"_id": 1}).limit(500).to_list()
        if not rows:
            return 0
        ids = [row["_id"] for row in rows]
        await self.database[OUTBOX].update_many({"_id": {"$in": ids}}, {"$unset": {"pending": ""}})
        await asyncio.sleep(HASTE_SECONDS)
        await self.database[OUTBOX].update_many({"_id": {"$in": ids}, "publish_time": None}, {"$set": {"pending": True}})
        return await publish(self)

    Relay.publish_batch = hasty  # type: ignore[method-assign]


def _without_reconciler() -> None:
    """The net below: it would mend within a minute what the first two break."""
    from chassis.messaging.reconciler import Reconciler

    async def idle(self: Reconciler) -> None:
        await asyncio.Event().wait()

    Reconciler.run = idle  # type: ignore[method-assign]


BROKEN = {
    "acknowledge-before-effect": _acknowledge_before_effect, "no-version-check": _no_version_check, "mark-before-publish": _mark_before_publish,
}  # fmt: skip


def main() -> None:
    """Run the department."""
    parser = argparse.ArgumentParser()
    parser.add_argument("department")
    parser.add_argument("--clock", type=float, default=0.0)
    parser.add_argument("--broken", choices=BROKEN)
    asked = parser.parse_args()
    if asked.clock:
        _set_clock(asked.clock)
    if asked.broken:
        BROKEN[asked.broken]()
        _without_reconciler()
    sys.argv = sys.argv[:1]  # the rest was for us
    runpy.run_module("gateway" if asked.department == "gateway" else f"services.{asked.department}", run_name="__main__")


if __name__ == "__main__":
    main()
