"""Access that follows collaboration: with which customers a person works, kept in every department from one fact of the customer department."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage.client import Database

SOURCE = "customer"
COLLECTION = "customer_accesses"
INDEX = IndexModel([("person_ids", ASCENDING)], name="by_person_ids")
MOST_CUSTOMERS = 2000
KEPT_SECONDS = 1.0
_MOST_PEOPLE = 10_000


class Collaborations:
    """Answers «with which customers does this person work» from the department's own copy; remembers an answer for a second."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def of(self, person_id: str) -> tuple[str, ...]:
        """Ids of the customers, at most 2,000."""
        moment = time.monotonic()
        until, found = self._known.get(person_id, (0.0, ()))
        if moment < until:
            return found
        rows = self.database[COLLECTION].find({"person_ids": person_id}, {"_id": 1}).sort("_id", -1).limit(MOST_CUSTOMERS)
        found = tuple([row["_id"] async for row in rows])
        if len(self._known) >= _MOST_PEOPLE:
            self._known.clear()
        self._known[person_id] = (moment + KEPT_SECONDS, found)
        return found


async def keep(call: Call, events: Sequence[Event]) -> None:
    """The reaction: the newest people of each customer."""
    newest = {event.aggregate_id: event.record for event in events}
    for identity, record in newest.items():
        values = {"person_ids": record.get("person_ids", []), "version": record["version"]}
        call.changes.write(COLLECTION, UpdateOne({"_id": identity}, {"$set": values}, upsert=True))


def reaction() -> Reaction:
    """What every department does but the customer department, which is the source."""
    return Reaction("collaboration", SOURCE, ("CustomerAccess",), keep, (COLLECTION,))
