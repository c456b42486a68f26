"""Aliases: the id of a customer that was merged into another one leads to that one, in every department, and nothing is moved.

A record names its customer by the id that counts now (`customer_id`), as everything that is asked, indexed and decided uses it. Where the record was
written for a customer that is part of another one since, that id stands beside it (`customer_alias`): personal data stays sealed under it, facts
carry it, and it says to whom the record goes back when the merge is undone.

Every replica knows all aliases by heart and looks for news once a second: to resolve an id costs no question.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.errors import PyMongoError

from chassis.storage.client import Database

log = logging.getLogger("crm.aliases")
COLLECTION = "customer_aliases"
CUSTOMER_ID, CUSTOMER_ALIAS = "customer_id", "customer_alias"
NAMING = (CUSTOMER_ID, "parent_id")  # the fields by which edges ask
INDEXES = [
    IndexModel([("time", ASCENDING)], name="by_time"),
    IndexModel([("due_time", ASCENDING)], name="by_due_time", partialFilterExpression={"due_time": {"$exists": True}}),
]
NOTHING: Mapping[str, str] = {}
LOOK_SECONDS = 1.0
# Who has not looked for so long looks before it answers or writes.
STALE_SECONDS = 10.0
# A commit lasts ten seconds at most: what is stamped later than what was read already is no older than this.
OVERLAP = timedelta(seconds=30)
Document = dict[str, Any]


def alias_of(field: str) -> str:
    """Where the id of writing stands beside a field that names a customer: customer_id → customer_alias."""
    return f"{field.removesuffix('_id')}_alias"


def origin_of(document: Mapping[str, Any], field: str = CUSTOMER_ID) -> str:
    """The customer for whom a record was written; "" where it has none."""
    return str(document.get(alias_of(field)) or document.get(field) or "")


def index_of_alias(field: str) -> IndexModel:
    """By which a sweep finds what was written for a customer that was merged."""
    alias = alias_of(field)
    return IndexModel([(alias, ASCENDING)], name=f"by_{alias}", partialFilterExpression={alias: {"$exists": True}})


def told(loser_id: str, survivor_id: str, merge_id: str, since: datetime, *, undone: bool) -> UpdateOne:
    """The write of what a merge, or its undoing, says; the same whenever, in which order and however often it comes. Of two merges of one
    customer the later one counts, for the earlier one was undone by then; of one merge its end. It is due to be swept."""
    values = {
        "into": {"$literal": survivor_id}, "merge_id": {"$literal": merge_id}, "since": since, "undone": undone, "sweeps": 0,
        "time": "$$NOW", "due_time": "$$NOW",
    }  # fmt: skip
    newer = {"$gt": [["$since", "$undone"], [since, undone]]}
    return UpdateOne(
        {"_id": loser_id}, [{"$replaceWith": {"$cond": [newer, "$$ROOT", {"$mergeObjects": ["$$ROOT", values]}]}}], upsert=True
    )


@dataclass(frozen=True)
class Move:
    """Rows that a sweep brings to the customer that counts: which they are, and what becomes of them."""

    counts: str
    query: Document
    change: Document


class Aliases:
    """Which customer an id leads to. Without a database it knows none."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database
        self._edges: dict[str, tuple[str, datetime]] = {}
        self._below: dict[str, set[str]] = {}
        self._latest: datetime | None = None
        self._looked = 0.0
        self._looking = asyncio.Lock()
        self._seen: set[tuple[str, datetime]] = set()
        self.news = asyncio.Event()  # somebody waits for it who sweeps after it

    # ---- what is known

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Learn stored rows; newer ones of the same id take the place of older ones."""
        for row in rows:
            before = self._edges.pop(row["_id"], None)
            if before:
                self._below[before[0]].discard(row["_id"])
            if not row["undone"]:
                self._edges[row["_id"]] = (row["into"], row["since"])
                self._below.setdefault(row["into"], set()).add(row["_id"])

    def resolve(self, identity: str) -> str:
        """The customer that an id leads to; itself where it is no alias. A→B, then B→C leads to C.

        Facts of different merges may come in any order. Where that makes a circle (B→A is heard before the end of A→B), its oldest merge is
        the one that was undone.
        """
        line: dict[str, None] = {}
        while (edge := self._edges.get(identity)) is not None:
            if identity in line:
                circle = list(line)[list(line).index(identity) :]
                return min(circle, key=lambda one: (self._edges[one][1], one))
            line[identity] = None
            identity = edge[0]
        return identity

    def below(self, identity: str) -> list[str]:
        """An id and all that lead to it, itself first."""
        found, level = {identity: None}, [identity]
        while level:
            level = [one for above in level for one in sorted(self._below.get(above, ())) if one not in found]
            found |= dict.fromkeys(level)
        return list(found)

    def moves(self, identity: str, field: str) -> list[Move]:
        """What brings everything that was written for a customer, and for those that became part of it, to where that leads now."""
        found, alias = list[Move](), alias_of(field)
        for origin in self.below(identity):
            counts = self.resolve(origin)
            named = {"$set": {field: counts, alias: origin}}
            as_written = {"$set": {field: counts}, "$unset": {alias: ""}}
            found.append(Move(counts, {alias: origin, field: {"$ne": counts}}, named if counts != origin else as_written))
            if counts != origin:
                found.append(Move(counts, {field: origin, alias: None}, named))
        return found

    def group(self, identity: str) -> list[str]:
        """All ids of the customer that an id leads to, the one that counts first."""
        return self.below(self.resolve(identity)) if self._edges else [identity]

    def __len__(self) -> int:
        return len(self._edges)

    def place(self, document: Document, *fields: str, meant: Mapping[str, str] = NOTHING) -> None:
        """Let a document that is written anew name, in place, the customers that count, each with the id of writing beside it where that is
        another one. `meant` says of customers under which id the command named them: what that leads to may be known better by now."""
        for field in fields if self._edges or meant else ():
            if given := document.get(field):
                known = document.pop(alias_of(field), None)
                origin = known or meant.get(given, given)
                document[field] = self.resolve(given if known else origin)
                if document[field] != origin:
                    document[alias_of(field)] = origin

    def rename(self, before: Mapping[str, Any], after: Document, *fields: str, meant: Mapping[str, str] = NOTHING) -> None:
        """A record that is given to another customer names, in place, the one that counts; one that is given to the customer it has, by
        whichever of its ids, stays as it was written. An alias that is given with it was looked up: it stands."""
        for field in fields:
            old, new = before.get(field), after.get(field)
            if old and new and old != new and self.resolve(old) == self.resolve(new):
                after[field] = old
            elif old != new:
                if after.get(alias_of(field)) == before.get(alias_of(field)):
                    after.pop(alias_of(field), None)
                self.place(after, field, meant=meant)

    # ---- how it is known

    async def look(self) -> None:
        """Read what is new."""
        if self.database is None:
            return
        async with self._looking:  # what was read earlier must not come later
            news = {} if self._latest is None else {"time": {"$gte": self._latest - OVERLAP}}
            rows = await self.database[COLLECTION].find(news, dict.fromkeys(("into", "since", "undone", "time"), 1)).to_list()
            self.take(rows)
            seen = {(row["_id"], row["time"]) for row in rows}
            if not seen <= self._seen:
                self.news.set()
            self._seen = seen
            self._latest = max((row["time"] for row in rows), default=self._latest)
            self._looked = time.monotonic()

    async def fresh(self) -> None:
        """Look first, where nobody has for too long: what is written then is found by the last sweep at the latest."""
        if self.database is not None and time.monotonic() - self._looked > STALE_SECONDS:
            await self.look()

    async def run(self) -> None:
        """Look once a second until cancelled; failures of the database are waited out."""
        while True:
            try:
                await self.look()
            except (PyMongoError, TimeoutError) as error:
                log.info("aliases wait", extra={"reason": str(error)[:200]})
            await asyncio.sleep(LOOK_SECONDS)
