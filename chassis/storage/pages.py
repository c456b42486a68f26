"""A page of rows: what is read for it, where it is cut, and what it is called by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chassis.kernel.pages import Sort, token_after
from chassis.storage.client import Database

Document = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Rows, the token of the next page ("" on the last), and each row's own token when asked for."""

    rows: list[Document]
    next_token: str
    row_tokens: list[str]

    def without(self, secret: Callable[[Document], bool]) -> Page:
        """The page without the rows that its reader must not see; where to go on stays as it is."""
        kept = [index for index, row in enumerate(self.rows) if not secret(row)]
        tokens = [self.row_tokens[index] for index in kept] if self.row_tokens else []
        return replace(self, rows=[self.rows[index] for index in kept], row_tokens=tokens)


def wanted(fields: Sequence[str], sort: Sort | None = None, key: str = "") -> dict[str, int] | None:
    """The projection for a mask: the fields, and those without which the page could not go on. None for everything."""
    if not fields:
        return None
    names = (
        {name.split(".")[0] for name in fields}
        | {"version"}
        | ({sort.field.split(".")[0]} if sort else set())
        | ({key.partition(".")[0]} if key else set())
    )
    return {("_id" if name == "id" else name): 1 for name in sorted(names)}


def cut(rows: list[Document], size: int, sort: Sort, mark: str, row_tokens: bool) -> Page:
    """The page of the rows as they are stored, one more than its size when there is a next one."""
    shown = rows[:size]
    own = [token_after(row, sort, mark) for row in shown] if row_tokens else []
    return Page(shown, token_after(shown[-1], sort, mark) if len(rows) > size else "", own)


async def rows_by_key(
    database: Database, collection: str, key: str, ids: list[str], query: Document, sort: Sort, size: int,
    projection: dict[str, int] | None, milliseconds: int,
) -> dict[str, list[Document]]:  # fmt: skip
    """The first rows of each key, one more than the size, in one command whatever the number of keys."""
    if len(ids) == 1:
        cursor = database[collection].find({"$and": [{key: ids[0]}, query]}, projection)
        return {ids[0]: [row async for row in cursor.sort(sort.keys).limit(size + 1).max_time_ms(milliseconds)]}
    inner: list[Document] = [{"$match": query}, {"$sort": dict(sort.keys)}, {"$limit": size + 1}]
    if projection:
        inner.append({"$project": projection})
    pipeline: list[Document] = [
        {"$documents": [{"key": {"$literal": identity}} for identity in ids]},
        {"$lookup": {"from": collection, "localField": "key", "foreignField": key, "pipeline": inner, "as": "rows"}},
    ]
    groups = await database.aggregate(pipeline, maxTimeMS=milliseconds)
    return {group["key"]: group["rows"] async for group in groups}
