"""Pages of a noun's records within the caller's reach: of the collection, and of many keys at once."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from chassis.access.caller import READ
from chassis.access.contracts import Opening
from chassis.kernel.criteria import Criteria
from chassis.kernel.errors import Invalid
from chassis.kernel.pages import filter_after, fingerprint, size_of
from chassis.rpc.call import Call
from chassis.rpc.contract import Contract
from chassis.storage import stars
from chassis.storage.orders import Orders
from chassis.storage.pages import Asked, Page, Reading, cut, rows_by_key, total, totals_by_key

Document = dict[str, Any]


class Paged(Orders):
    """The part of a store that reads pages."""

    contract: Contract

    @abstractmethod
    def opening(self, call: Call) -> Opening:
        """What the caller reads of the records."""

    @abstractmethod
    async def shown(self, call: Call, opening: Opening, rows: list[Document]) -> list[Document]:
        """Stored rows as the caller gets them."""

    async def page(self, call: Call, criteria: Criteria | None = None, **more: Any) -> Page:
        """One page within reach and the token of the next ("" on the last); `more` are what else `Asked` has."""
        asked, opening = Asked(criteria, **more), self.opening(call)
        sort = await self._ordered(call, opening, asked)
        mark, way, left = fingerprint(call.seal, self.resource, *asked.marks(sort)), asked.way(sort), call.milliseconds_left
        plain, starred = stars.parted(criteria) if self.contract.traits.starrable else (criteria, [])
        query = self._query(call, opening, plain, {}, *sort.names, archived=asked.archived)
        if starred:
            query = {"$and": [await stars.clause(call, self.resource, starred), query]}
        after, projection = filter_after(asked.token, way, mark), self._projection(opening, asked.fields, sort)
        found, counted = await asyncio.gather(
            Reading(query, way, size_of(asked.size), projection, after, asked.skip).of(call.database, self.resource, left),
            total(call.database, self.resource, query, asked.count_up_to, left),
        )
        page = cut(found, asked, sort, mark, counted)
        return replace(page, rows=await self.shown(call, opening, page.rows))

    async def batch_page(self, call: Call, key: str, ids: Sequence[str], criteria: Criteria | None = None, **more: Any) -> dict[str, Page]:
        """The first page of each key, in one database command whatever the number of keys, and one more where they are counted; each key
        reads only its rows."""
        asked, opening, keys = Asked(criteria, **more), self.opening(call), list(dict.fromkeys(ids))
        if asked.token and len(ids) > 1:
            raise Invalid("a page token goes with a single key; ask for the keys one by one", field="page_token")
        top = key.partition(".")[0]
        if key in self.contract.backs and call.limits(self.resource).get(top, READ) < READ:
            return dict.fromkeys(keys, Page([], "", []))  # who must not know what a record refers to does not find it there either
        sort = await self._ordered(call, opening, asked, key, keys)

        def mark(named: str) -> str:
            return fingerprint(call.seal, self.resource, key, named, *asked.marks(sort))

        # A page goes on by whichever id of a customer it was asked for, before a merge and after it.
        named = {one: call.meant.get(one, one) for one in keys}
        group = [*named.values(), *(call.aliases.group(keys[0]) if key in self.named_customers else keys)] if asked.token else []
        way, left, where = asked.way(sort), call.milliseconds_left, (call.database, self.resource, key, keys)
        query = self._query(call, opening, criteria, {}, *sort.names, top, archived=asked.archived)
        after, projection = filter_after(asked.token, way, *map(mark, group)), self._projection(opening, asked.fields, sort, key)
        found, counted = await asyncio.gather(
            rows_by_key(*where, Reading(query, way, size_of(asked.size), projection, after, asked.skip), left),
            totals_by_key(*where, query, asked.count_up_to, left),
        )
        pages = {one: cut(found.get(one, []), asked, sort, mark(named[one]), counted.get(one)) for one in keys}
        shown = iter(await self.shown(call, opening, [row for page in pages.values() for row in page.rows]))
        return {one: replace(page, rows=list(islice(shown, len(page.rows)))) for one, page in pages.items()}
