"""Access that follows collaboration: with which customers a person works, and who answers for them, kept in every department from the facts
of the customer department."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.access.caller import DEPARTMENT, DEPARTMENT_AND_BELOW, OWN, TEAM, Caller
from chassis.access.directory import Customers, Directory, Owned
from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage.client import Database

SOURCE = "customer"
COLLECTION = "customer_accesses"
OWNERS = ("owner_id", "team_id", "department_id")
INDEXES = [
    IndexModel([("person_ids", ASCENDING)], name="by_person_ids"),
    *(IndexModel([(name, ASCENDING), ("_id", ASCENDING)], name=f"by_{name}") for name in OWNERS),
]
MOST_CUSTOMERS = 2000
KEPT_SECONDS = 1.0
_MOST_PEOPLE = 10_000
Ids = tuple[str, ...]


class Collaborations:
    """Answers «with which customers does this person work», and «for which do they answer», from the department's own copy; remembers an
    answer for a second. `owners` is the collection that knows who a customer's owner is, `resources` those whose records are a customer's."""

    def __init__(self, database: Database, owners: str = COLLECTION, resources: Sequence[str] = ()) -> None:
        self.database, self.owners, self.resources = database, owners, tuple(resources)
        self._known: dict[tuple[str, int], tuple[float, Ids]] = {}

    async def of(self, person_id: str) -> Ids:
        """Ids of the customers with whom a person works, at most 2,000."""
        return await self._remembered((person_id, 0), lambda: self._ids(COLLECTION, {"person_ids": person_id}))

    async def owned(self, directory: Directory, caller: Caller, scope: int) -> Ids:
        """Ids of the customers whose owner a scope reaches from a person's place, at most 2,000."""
        clauses: list[dict[str, Any]] = [{"owner_id": caller.person_id}]
        if scope == TEAM and caller.team_id:
            clauses.append({"team_id": caller.team_id})
        if scope in (DEPARTMENT, DEPARTMENT_AND_BELOW) and caller.department_id:
            below = directory.below.get(caller.department_id, ()) if scope == DEPARTMENT_AND_BELOW else ()
            clauses.append({"department_id": {"$in": [caller.department_id, *below]}})

        async def ask() -> Ids:
            found = [identity for clause in clauses for identity in await self._ids(self.owners, clause)]
            return tuple(dict.fromkeys(found))[:MOST_CUSTOMERS]

        return await self._remembered((caller.person_id, scope), ask)

    async def known(self, directory: Directory, caller: Caller) -> tuple[Customers, Owned]:
        """Both for a caller and for those for whom they stand in: by person, and by person and scope."""
        people = [caller]
        for member in directory.represented(caller.person_id):
            people.append(Caller(member.person_id, member.roles, member.department_id, member.team_id))
        customers = {one.person_id: found for one in people if (found := await self.of(one.person_id))}
        owned: dict[tuple[str, int], Ids] = {}
        for one in people if directory.owner_sees_all else ():
            for scope in directory.scopes(one.roles, self.resources):
                if OWN <= scope <= DEPARTMENT_AND_BELOW and (found := await self.owned(directory, one, scope)):
                    owned[one.person_id, scope] = found
        return customers, owned

    async def _ids(self, collection: str, query: dict[str, Any]) -> Ids:
        rows = self.database[collection].find(query, {"_id": 1}).sort("_id", -1).limit(MOST_CUSTOMERS)
        return tuple([row["_id"] async for row in rows])

    async def _remembered(self, key: tuple[str, int], ask: Callable[[], Awaitable[Ids]]) -> Ids:
        moment = time.monotonic()
        until, found = self._known.get(key, (0.0, ()))
        if moment < until:
            return found
        found = await ask()
        if len(self._known) >= _MOST_PEOPLE:
            self._known.clear()
        self._known[key] = (moment + KEPT_SECONDS, found)
        return found


async def keep(call: Call, events: Sequence[Event]) -> None:
    """The reaction: the newest people of each customer."""
    newest = {event.aggregate_id: event.record for event in events}
    for identity, record in newest.items():
        values = {"person_ids": record.get("person_ids", []), "version": record["version"]}
        call.changes.write(COLLECTION, UpdateOne({"_id": identity}, {"$set": values}, upsert=True))


async def follow(call: Call, events: Sequence[Event]) -> None:
    """The reaction: the newest owner of each customer."""
    newest = {event.aggregate_id: event.record for event in events}
    for identity, record in newest.items():
        values = {name: record.get(name) for name in OWNERS}
        call.changes.write(COLLECTION, UpdateOne({"_id": identity}, {"$set": values}, upsert=True))


def reactions() -> list[Reaction]:
    """What every department does but the customer department, which is the source."""
    return [
        Reaction("collaboration", SOURCE, ("CustomerAccess",), keep, (COLLECTION,)),
        Reaction("owners", SOURCE, ("Customer",), follow, (COLLECTION,)),
    ]
