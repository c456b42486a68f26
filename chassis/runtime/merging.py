"""What every department does when customers become one, or two again: it learns the alias, and brings what names the customers to the one
that counts now. Nothing else of a record changes: it gets no version, and nothing is announced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pymongo import UpdateMany
from pymongo.errors import PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict, CrmError
from chassis.messaging.envelope import Event
from chassis.messaging.models import is_aside
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage import aliases
from chassis.storage.aliases import CUSTOMER_ID, Aliases, Move
from chassis.storage.changes import REQUESTS, Duplicate
from chassis.storage.records import Records

log = logging.getLogger("crm.merging")
SOURCE, MERGE = "customer", "CustomerMerge"
BATCH = 500
LOOK_SECONDS = 0.5
LONGEST_SECONDS = 10.0
# When what names a merged customer is swept, seconds after the department knew of it: at once; once every replica has surely looked; and when
# every write is over that was begun by a replica which had not (chassis/storage/aliases.py: 10 s of not looking, 30 s of a call, 10 s of a commit).
SWEEPS = (0, 5, 60)
Document = dict[str, Any]
Moved = Callable[[Call, str, Sequence[Document], str], Awaitable[None]]
# So often is a batch tried anew at once that somebody else writes into; then the alias waits for its next turn.
TRIES = 20


@dataclass(frozen=True)
class Place:
    """A collection whose rows name customers in a field. `moved` adds to the commit what else becomes of rows, as they were, of a collection
    (this one, or where it is folded anew) that belong to the customer named."""

    collection: str
    field: str = CUSTOMER_ID
    moved: Moved | None = None


def places(stores: Iterable[Records]) -> list[Place]:
    """Those of the records of stores."""
    return [Place(store.resource, name) for store in stores for name in store.named_customers]


def reaction() -> Reaction:
    """What every department does but the customer department, which knows with the merge itself."""

    async def learn(call: Call, events: Sequence[Event]) -> None:
        for event in events:
            call.changes.write(aliases.COLLECTION, told_by(event.record))

    return Reaction("aliases", SOURCE, (MERGE,), learn, (aliases.COLLECTION,))


def told_by(merge: Document) -> Any:
    """The write of what a merge says as it is now."""
    undone = merge["state"] == "UNDONE"
    return aliases.told(merge["loser_id"], merge["survivor_id"], merge["_id"], merge["create_time"], undone=undone)


@dataclass(frozen=True)
class Sweep:
    """The worker that brings rows to the customer that counts, in one replica at a time and in batches. Killed in between, it begins again."""

    aliases: Aliases
    own_call: Callable[[str], Call]
    places: Sequence[Place]

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        while True:
            try:
                self.aliases.news.clear()
                while await self.turn():
                    continue
                rest = await self._rest()
            except (PyMongoError, CrmError, TimeoutError) as error:
                log.info("sweep waits", extra={"reason": str(error)[:200]})
                rest = LOOK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self.aliases.news.wait()

    async def _rest(self) -> float:
        """Seconds until the next alias that is known is due, at most ten; of a new one `aliases` tells."""
        known = self.own_call("sweep").database[aliases.COLLECTION]
        row = await known.find_one({"due_time": {"$exists": True}}, {"due_time": 1}, sort=[("due_time", 1)])
        return min(LONGEST_SECONDS, max(LOOK_SECONDS, (row["due_time"] - now()).total_seconds())) if row else LONGEST_SECONDS

    async def turn(self) -> bool:
        """The next alias that is due; whether there was one."""
        call = self.own_call("sweep")
        known = call.database[aliases.COLLECTION]
        row = await known.find_one({"due_time": {"$lte": now()}}, sort=[("due_time", 1)])
        if row is None:
            return False
        await self.aliases.look()
        if row["undone"] and not row["sweeps"]:
            await self._remember(call, row)
        names = [name for name in await call.database.list_collection_names() if is_aside(name)]
        for place in self.places:
            folded = [replace(place, collection=name) for name in names if name.startswith(f"{place.collection}__")]
            for one in [place, *folded]:
                await self._bring(one, row["_id"])
        count = row["sweeps"] + 1
        done = {"$set": {"sweeps": count, "swept_time": now()}, "$unset": {"due_time": ""}}
        again = {"$set": {"sweeps": count, "due_time": row["time"] + timedelta(seconds=(*SWEEPS, 0)[count])}}
        await known.update_one({"_id": row["_id"], "time": row["time"]}, again if count < len(SWEEPS) else done)
        return True

    async def _remember(self, call: Call, row: Document) -> None:
        """An answer that was kept while two were one may tell of either: it is forgotten with each of them."""
        both = {"customer_ids": {"$in": self.aliases.group(row["into"])}}
        call.changes.write(REQUESTS, UpdateMany(both, {"$addToSet": {"customer_ids": row["_id"]}}))
        await call.changes.commit()

    async def _bring(self, place: Place, identity: str) -> None:
        """Everything in a place that was written for a customer, and for those that became part of it, to where that leads now."""
        for move in self.aliases.moves(identity, place.field):
            tries = 0
            while (count := await self._batch(place, move)) in (BATCH, None):
                tries = tries + 1 if count is None else 0
                if tries >= TRIES:
                    raise Conflict(f"the rows of {place.collection} are busy", code="BUSY")

    async def _batch(self, place: Place, move: Move) -> int | None:
        """The next rows in one commit; how many, None where somebody changed what this looked at: to be read again. Nothing is named below
        itself."""
        call = self.own_call("sweep")
        rows = await call.database[place.collection].find({**move.query, "_id": {"$ne": move.counts}}).limit(BATCH).to_list()
        if not rows:
            return 0
        call.changes.write(place.collection, UpdateMany({**move.query, "_id": {"$in": [row["_id"] for row in rows]}}, move.change))
        if place.moved:
            await place.moved(call, place.collection, rows, move.counts)
        try:
            await call.changes.commit()
        except (Conflict, Duplicate):
            return None
        return len(rows)
