"""What only one replica of a department may do at a time: whoever holds the lease. Times are the database's, so that no wrong clock keeps it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from chassis.kernel.ids import new_id
from chassis.kernel.tasks import settle
from chassis.storage.client import Database

LEASES = "leases"
LEASE_SECONDS = 5
LOOK_SECONDS = 1.0
_PAST = datetime(1970, 1, 1, tzinfo=UTC)


class Together:
    """The leases of one process: those that it holds are prolonged with one write."""

    def __init__(self) -> None:
        self.holder, self.leases = new_id(), list[Lease]()
        self.turn = asyncio.Lock()


class Lease:
    """A lease by its name; another replica has it five seconds after its holder went silent, or at once when it was released.

    `kept` is what holders leave to each other; it is read anew with each new `term` (1, 2, 3 …), which `begun` tells once.
    """

    def __init__(self, database: Database, name: str, together: Together | None = None) -> None:
        self.together = together or Together()
        self.together.leases.append(self)
        self.database, self.name, self.holder = database, name, self.together.holder
        self.kept: dict[str, Any] = {}
        self.begun, self.term = False, 0
        self._until = 0.0

    async def hold(self) -> bool:
        """Whether it is ours now; taken or prolonged where that is due. Raises what the driver raises."""
        if self._until > time.monotonic():
            return True
        async with self.together.turn:
            return self._until > time.monotonic() or await self._prolonged() or await self._taken()

    async def _prolonged(self) -> bool:
        """Prolong, with one write, all that this process holds; whether all are its own still. What was lost has to be taken anew."""
        ours, moment = [one for one in self.together.leases if one._until], time.monotonic()
        if self not in ours:
            return False
        query = {"_id": {"$in": [one.name for one in ours]}, "holder": self.holder}
        longer = [{"$set": {"until": {"$add": ["$$NOW", LEASE_SECONDS * 1000]}}}]
        if (await self._leases.update_many(query, longer)).matched_count < len(ours):
            return False
        for one in ours:
            one._until = moment + LEASE_SECONDS / 2
        return True

    async def _taken(self) -> bool:
        """Whether it is ours, taken where it was free."""
        moment, self._until = time.monotonic(), 0.0
        free: dict[str, Any] = {"$or": [{"$eq": ["$holder", self.holder]}, {"$lt": ["$until", "$$NOW"]}]}
        other = {"$ne": ["$holder", self.holder]}
        take = [{"$set": {
            "term": {"$cond": [{"$and": [free, other]}, {"$add": [{"$ifNull": ["$term", 0]}, 1]}, "$term"]},
            "until": {"$cond": [free, {"$add": ["$$NOW", LEASE_SECONDS * 1000]}, "$until"]},
            "holder": {"$cond": [free, self.holder, "$holder"]},
        }}]  # fmt: skip
        try:
            row = await self._leases.find_one_and_update({"_id": self.name}, take, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:  # another replica has just made it
            return False
        if row["holder"] != self.holder:
            return False
        if row["term"] != self.term:
            self.term, self.kept, self.begun = row["term"], row, True
        # Half of it is left to the work that was begun under it.
        self._until = moment + LEASE_SECONDS / 2
        return True

    async def keep(self, **values: Any) -> bool:
        """Leave something to the holders after us; whether it is still ours, otherwise nothing is left."""
        self.kept |= values
        found = await self._leases.update_one({"_id": self.name, "holder": self.holder}, {"$set": values})
        return bool(found.matched_count)

    async def release(self) -> None:
        """Let another replica have it at once, one of an earlier build too: those look for an `until` that is over, not for none."""
        self._until = 0.0
        await self._leases.update_one({"_id": self.name, "holder": self.holder}, {"$set": {"until": _PAST, "holder": ""}})

    async def while_held(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a worker whenever the lease is ours, until cancelled or it ends by itself; it is cancelled when the lease is lost, and begun
        anew when it is ours again. Raises what it raises."""
        work: asyncio.Future[None] | None = None
        try:
            while True:
                if not await self._held():
                    await settle([work] if work else [])
                    work = None
                elif work is None:
                    work = asyncio.ensure_future(run())
                if work is None:
                    await asyncio.sleep(LOOK_SECONDS)
                elif (await asyncio.wait([work], timeout=max(0.01, self._until - time.monotonic())))[0]:
                    return work.result()
        finally:
            await settle([work] if work else [])

    async def _held(self) -> bool:
        try:
            return await self.hold()
        except PyMongoError:
            return False

    @property
    def _leases(self) -> Any:
        return self.database[LEASES]
