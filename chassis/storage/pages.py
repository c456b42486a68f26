"""A page of rows: what is read for it, where it is cut, and what it is called by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chassis.kernel.criteria import Criteria
from chassis.kernel.pages import Sort, size_of, token_after
from chassis.storage.client import Database

Document = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is asked of a list: which records, in which order, which page of them and what of each.

    `backward` asks for what comes before the token, and for the last rows without one. `count_up_to` asks how many there are, 0 for not.
    """

    criteria: Criteria | None = None
    order: str = ""
    size: int = 0
    token: str = ""
    fields: Sequence[str] = ()
    row_tokens: bool = False
    archived: str = ""
    sort_by: Sequence[Mapping[str, Any]] = ()
    skip: int = 0
    backward: bool = False
    count_up_to: int = 0

    def way(self, sort: Sort) -> Sort:
        """The order in which rows are read."""
        return sort.turned if self.backward else sort

    def marks(self, sort: Sort) -> list[object]:
        """What a token of the list belongs to, beside its name."""
        order: object = [sort.keys, self.sort_by] if self.sort_by else self.order or sort.field
        return [order, self.criteria, *filter(None, [self.archived])]


@dataclass(frozen=True)
class Total:
    """How many records a list has, as far as they were counted, and whether that is all."""

    count: int
    exact: bool

    @staticmethod
    def of(found: int, most: int) -> Total:
        """What was found by who looked for one more than the most."""
        return Total(min(found, most), found <= most)


@dataclass(frozen=True)
class Page:
    """Rows, the token of the next page on the same way ("" on the last), each row's own token and how many there are when asked for."""

    rows: list[Document]
    next_token: str
    row_tokens: list[str]
    total: Total | None = None

    def without(self, secret: Callable[[Document], bool]) -> Page:
        """The page without the rows that its reader must not see; where to go on stays as it is."""
        kept = [index for index, row in enumerate(self.rows) if not secret(row)]
        tokens = [self.row_tokens[index] for index in kept] if self.row_tokens else []
        return replace(self, rows=[self.rows[index] for index in kept], row_tokens=tokens)


def wanted(fields: Sequence[str], sort: Sort | None = None, key: str = "") -> dict[str, int] | None:
    """The projection for a mask: the fields, and those without which the page could not go on. None for everything."""
    if not fields:
        return None
    paths = [*fields, *(part.field for part in sort.parts)] if sort else fields
    names = {name.split(".")[0] for name in paths} | {"version"} | ({key.partition(".")[0]} if key else set())
    return {("_id" if name == "id" else name): 1 for name in sorted(names)}


def cut(rows: list[Document], asked: Asked, sort: Sort, mark: str, total: Total | None) -> Page:
    """The page of the rows as they are stored and were read, one more than its size when there is a next one."""
    size = size_of(asked.size)
    shown = rows[:size]
    following = token_after(shown[-1], sort, mark) if len(rows) > size else ""
    if asked.backward:
        shown.reverse()
    own = [token_after(row, sort, mark) for row in shown] if asked.row_tokens else []
    return Page(shown, following, own, total)


@dataclass(frozen=True)
class Reading:
    """How the rows of a page are read: what `query` finds, from `after` on, in an order, one more than the size, with what a projection shows."""

    query: Document
    sort: Sort
    size: int
    projection: dict[str, int] | None = None
    after: Document | None = None
    skip: int = 0

    async def of(self, database: Database, collection: str, milliseconds: int) -> list[Document]:
        """The rows of a collection."""
        if self.sort.reckonings:
            return await (await database[collection].aggregate(self.steps, maxTimeMS=milliseconds)).to_list()
        cursor = database[collection].find(self._both, self.projection).sort(self.sort.keys).skip(self.skip)
        return await cursor.limit(self.size + 1).max_time_ms(milliseconds).to_list()

    @property
    def steps(self) -> list[Document]:
        """The same as a pipeline."""
        reckoned = self.sort.reckonings
        found: list[Document] = [{"$match": self.query if reckoned else self._both}]
        if reckoned:
            found += [{"$set": reckoned}, *([{"$match": self.after}] if self.after else [])]
        found += [{"$sort": dict(self.sort.keys)}, *([{"$skip": self.skip}] if self.skip else []), {"$limit": self.size + 1}]
        return [*found, {"$project": self.projection}] if self.projection else found

    @property
    def _both(self) -> Document:
        return {"$and": [self.query, self.after]} if self.query and self.after else self.query or self.after or {}


async def rows_by_key(
    database: Database, collection: str, key: str, ids: list[str], reading: Reading, milliseconds: int
) -> dict[str, list[Document]]:
    """The rows of each key, in one command whatever the number of keys."""
    if len(ids) == 1:
        query = {"$and": [{key: ids[0]}, reading.query]}
        return {ids[0]: await replace(reading, query=query).of(database, collection, milliseconds)}
    return await _by_key(database, collection, key, ids, reading.steps, milliseconds)


async def totals_by_key(
    database: Database, collection: str, key: str, ids: list[str], query: Document, most: int, milliseconds: int
) -> dict[str, Total]:
    """How many records each key has, counted up to the most, in one command; nothing for 0."""
    if not most:
        return {}
    if len(ids) == 1:
        found = await total(database, collection, {"$and": [{key: ids[0]}, query]}, most, milliseconds)
        return {ids[0]: found} if found else {}
    inner: list[Document] = [{"$match": query}, {"$limit": most + 1}, {"$count": "count"}]
    counted = await _by_key(database, collection, key, ids, inner, milliseconds)
    return {identity: Total.of(rows[0]["count"] if rows else 0, most) for identity, rows in counted.items()}


async def total(database: Database, collection: str, query: Document, most: int, milliseconds: int) -> Total | None:
    """How many records a query finds, counted up to the most; None for 0."""
    if not most:
        return None
    pipeline: list[Document] = [{"$match": query}, {"$limit": most + 1}, {"$count": "count"}]
    rows = await (await database[collection].aggregate(pipeline, maxTimeMS=milliseconds)).to_list()
    return Total.of(rows[0]["count"] if rows else 0, most)


async def _by_key(
    database: Database, collection: str, key: str, ids: list[str], inner: list[Document], milliseconds: int
) -> dict[str, list[Document]]:
    pipeline: list[Document] = [
        {"$documents": [{"key": {"$literal": identity}} for identity in ids]},
        {"$lookup": {"from": collection, "localField": "key", "foreignField": key, "pipeline": inner, "as": "rows"}},
    ]
    groups = await database.aggregate(pipeline, maxTimeMS=milliseconds)
    return {group["key"]: group["rows"] async for group in groups}
