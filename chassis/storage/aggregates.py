"""Records counted and summed in groups, of those in the caller's reach, and pages of the records behind each group."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

from bson import Decimal128
from pymongo import IndexModel
from pymongo.errors import ExecutionTimeout

from chassis.access.caller import READ, Reach
from chassis.access.contracts import Opening
from chassis.access.counts import counts_of
from chassis.access.fields import kept_of
from chassis.kernel.criteria import Criteria, named
from chassis.kernel.errors import CrmError, Invalid, NotAllowed
from chassis.kernel.groups import AVG, COUNT, MONEY, SUM, TIME, WEIGHTED, By, Cut, Group, Measure, Part, Reckoning
from chassis.kernel.money import LARGEST
from chassis.kernel.pages import filter_after, fingerprint, size_of
from chassis.kernel.periods import DAY, begins, next_first_day, starts
from chassis.kernel.rules import sentence
from chassis.rpc.call import Call
from chassis.storage.aliases import CUSTOMER_ID
from chassis.storage.pages import Asked, Page, cut
from chassis.storage.questions import Questions, unreadable

Document = dict[str, Any]
MOST_RECORDS = 20_000
MOST_PERIODS = 5_000
MOST_MILLISECONDS, TO_TELL_MILLISECONDS = 2_000, 100
BEYOND = 10 * LARGEST
# So many groups are put in order beside what the process answers meanwhile.
_MANY = 500


@dataclass(frozen=True)
class Grouping:
    """A field by which records are grouped: its kind, of a day or a time the length of periods, and how many values at most (0 for all)."""

    field: str
    kind: str
    granularity: str = ""
    top: int = 0


@dataclass(frozen=True)
class Question:
    """What is asked of the records that meet criteria."""

    criteria: Criteria | None
    groupings: Sequence[Grouping]
    measures: Sequence[Measure]
    limit: int

    @property
    def names(self) -> set[str]:
        """Every field that it names: what comes out tells of what they hold."""
        found = {*named(self.criteria), *(one.field for one in self.groupings)}
        return found | {name for one in self.measures for name in (one.field, one.weight) if name}


class Aggregated(Questions):
    """The part of a store that counts and sums. Sharing contracts count for nothing in it: what one shows in part is in no sum."""

    @abstractmethod
    def reach(self, call: Call, action: str) -> Reach:
        """How far the caller's right to an action on these records reaches."""

    @abstractmethod
    def indexes(self) -> list[IndexModel]:
        """Every index of the collection."""

    @abstractmethod
    async def shown(self, call: Call, opening: Opening, rows: list[Document]) -> list[Document]:
        """Stored rows as the caller gets them."""

    async def aggregate(self, call: Call, question: Question) -> Cut:
        """The groups, reckoned of the records themselves. Raises Invalid (REPORT_TOO_WIDE) where they are more than MOST_RECORDS or would take
        longer than two seconds, NotAllowed (FIELD_NOT_READABLE) for a field that the caller does not get."""
        self.must_read(call, question.names)
        opening = self._by_roles(call)
        query = self._query(call, opening, question.criteria, {})
        hint = self._hint(opening, question)
        try:
            ends = await self._measured(call, query, question.groupings, hint)
            keys = {f"k{place}": self._key(call, one, ends[place]) for place, one in enumerate(question.groupings)}
            groups = await self._groups(call, query, keys, question.measures, hint)
        except ExecutionTimeout:
            raise self._too_wide("aggregate.slow") from None
        reckoning = Reckoning(question.measures, call.rates, call.today)
        by = [By(bool(one.granularity), one.top) for one in question.groupings]
        if len(groups) > _MANY:
            return await asyncio.to_thread(reckoning.cut, groups, by, question.limit)
        return reckoning.cut(groups, by, question.limit)

    async def drilled(self, call: Call, filters: Sequence[Criteria], **more: Any) -> list[Page]:
        """The first page of what is behind each group, in one command whatever their number: of the same reach as the groups were reckoned in;
        `more` are what else `Asked` has."""
        asked, opening = Asked(**more), self._by_roles(call)
        if asked.token and len(filters) > 1:
            raise Invalid("a page token goes with a single group; ask for the groups one by one", field="page_token")
        sort = self._sort(call, opening, asked.order)
        way, rows = asked.way(sort), size_of(asked.size)
        marks = [fingerprint(call.seal, self.resource, "drill", *asked.marks(sort), one) for one in filters]
        after = filter_after(asked.token, way, *marks)
        projection = self._projection(opening, asked.fields, sort)
        pipelines: list[list[Document]] = [
            [
                {"$match": self._query(call, opening, one, after, *sort.names)}, {"$sort": dict(way.keys)},
                *([{"$skip": asked.skip}] if asked.skip else []), {"$limit": rows + 1},
                *([{"$project": projection}] if projection else []), {"$set": {"_group": {"$literal": place}}},
            ]
            for place, one in enumerate(filters)
        ]  # fmt: skip
        united: list[Document] = [{"$unionWith": {"coll": self.resource, "pipeline": one}} for one in pipelines[1:]]
        cursor = await call.database[self.resource].aggregate([*pipelines[0], *united], maxTimeMS=call.milliseconds_left)
        found: list[list[Document]] = [[] for _ in filters]
        async for row in cursor:
            found[row.pop("_group")].append(row)
        pages = [cut(each, asked, sort, mark, None) for each, mark in zip(found, marks, strict=True)]
        shown = iter(await self.shown(call, opening, [row for page in pages for row in page.rows]))
        return [replace(page, rows=list(islice(shown, len(page.rows)))) for page in pages]

    def must_read(self, call: Call, names: Iterable[str]) -> None:
        """Refuse a question about a field that the caller gets masked or not at all, or that counts records which they do not all read."""
        for name in self.not_read(call, names):
            raise unreadable(name)

    def not_read(self, call: Call, names: Iterable[str]) -> list[str]:
        """Those of the fields by which the caller may reckon nothing, for what comes out would tell what they hold."""
        limits, counting = call.limits(self.resource), counts_of(self.descriptor)
        return [
            name for name in sorted(names)
            if limits.get(name, READ) < READ or (name in counting and not self._reads_all(call, counting[name]))
        ]  # fmt: skip

    def _reads_all(self, call: Call, resource: str) -> bool:
        try:
            return call.reach(resource, "read", CUSTOMER_ID).everything
        except NotAllowed:
            return False

    def _by_roles(self, call: Call) -> Opening:
        """What roles and collaboration open."""
        return Opening(self.reach(call, "read"), (), kept_of(self.descriptor))

    def _hint(self, opening: Opening, question: Question) -> str | None:
        """The index to walk where nothing that is asked for leads to one: the collection itself is never walked."""
        if not (opening.reach and opening.reach.everything):
            return None
        indexes = {str(model.document["name"]): next(iter(model.document["key"])).split(".")[-1] for model in self.indexes()}
        return None if _needed(question.criteria) & set(indexes.values()) else f"by_{next(iter(self.sorts)).lower()}"

    async def _measured(self, call: Call, query: Document, groupings: Sequence[Grouping], hint: str | None) -> list[tuple[Any, Any]]:
        """How many records meet the question, and the first and the last of the days and times by which they are grouped."""
        ends: Document = {}
        for place, one in enumerate(groupings):
            if one.granularity:
                ends |= {f"k{place}_low": {"$min": f"${one.field}"}, f"k{place}_high": {"$max": f"${one.field}"}}
        pipeline: list[Document] = [
            {"$match": query},
            {"$limit": MOST_RECORDS + 1},
            {"$group": {"_id": None, "count": {"$sum": 1}, **ends}},
        ]
        rows = await self._asked(call, pipeline, hint)
        found = rows[0] if rows else {"count": 0}
        if found["count"] > MOST_RECORDS:
            raise self._too_wide("aggregate.wide", most=MOST_RECORDS)
        return [(found.get(f"k{place}_low"), found.get(f"k{place}_high")) for place in range(len(groupings))]

    def _key(self, call: Call, one: Grouping, ends: tuple[Any, Any]) -> Document:
        """What a grouping groups by: the stored value, or the place of its period in a table of periods, which the database never cuts itself."""
        path = f"${one.field}"
        if not one.granularity:
            return {"$ifNull": [path, False if one.kind == "flag" else None]}
        table = self._periods(call, one, ends)
        if not table:
            return {"$literal": None}
        return {"$cond": [{"$gt": [path, None]}, _place(path, table), None]}

    def _periods(self, call: Call, one: Grouping, ends: tuple[Any, Any]) -> list[tuple[Any, str]]:
        """Where each period begins, as it is stored, with its first day."""
        low, high = ends
        if low is None:
            return []
        if one.kind == TIME:  # where clocks are put back over midnight, the day after has begun before the last moment of a day
            first, last = call.day_of(low), next_first_day(call.day_of(high), DAY) or call.day_of(high)
        else:
            first, last = date.fromisoformat(low), date.fromisoformat(high)
        found = starts(first, last, one.granularity, MOST_PERIODS)
        if found is None:
            raise self._too_wide("aggregate.periods", most=MOST_PERIODS)
        table = [(begins(on, call.zone) if one.kind == TIME else on.isoformat(), on.isoformat()) for on in found]
        return [*table[:1], *(row for row in table[1:] if row[0] is not None)]  # before the first there is nothing

    async def _groups(self, call: Call, query: Document, keys: Document, measures: Sequence[Measure], hint: str | None) -> list[Group]:
        """The groups of the records, put together from those of each currency."""
        currencies = {one.field: f"c{place}" for place, one in enumerate(measures) if one.kind == MONEY}
        apart = {name: {"$ifNull": [f"${field}.currency_code", ""]} for field, name in currencies.items()}
        sums: Document = {"count": {"$sum": 1}}
        for place, one in enumerate(measures):
            sums |= {f"{name}{place}": step for name, step in _steps(one).items()}
        pipeline: list[Document] = [{"$match": query}, {"$limit": MOST_RECORDS + 1}, {"$group": {"_id": {**keys, **apart}, **sums}}]
        found: dict[tuple[Any, ...], Group] = {}
        for row in await self._asked(call, pipeline, hint):
            own = tuple(row["_id"].get(name) for name in keys)
            parts = tuple({row["_id"].get(currencies.get(one.field, ""), ""): _part(row, place)} for place, one in enumerate(measures))
            found.setdefault(own, Group(own)).add(Group(own, row["count"], parts))
        if sum(group.count for group in found.values()) > MOST_RECORDS:  # they became more since they were counted
            raise self._too_wide("aggregate.wide", most=MOST_RECORDS)
        return list(found.values())

    async def _asked(self, call: Call, pipeline: list[Document], hint: str | None) -> list[Document]:
        more: dict[str, Any] = {"hint": hint} if hint else {}
        milliseconds = max(1, min(call.milliseconds_left - TO_TELL_MILLISECONDS, MOST_MILLISECONDS))
        return await (await call.database[self.resource].aggregate(pipeline, maxTimeMS=milliseconds, **more)).to_list()

    def _too_wide(self, rule: str, **told: object) -> CrmError:
        """The refusal of a question about too much, with how to narrow it."""
        params = {"rule": rule, "resource": self.resource, **{name: str(value) for name, value in told.items()}}
        return Invalid(sentence(params), code="REPORT_TOO_WIDE", field="filter", params=params)


def _needed(criteria: Criteria | None) -> set[str]:
    """The fields by which every record that meets criteria must be found."""
    if not criteria:
        return set()
    if "condition" in criteria:
        return named(criteria)
    return {name for child in criteria["all"].get("items", ()) for name in _needed(child)} if "all" in criteria else set()


def _steps(one: Measure) -> Document:
    """What the database keeps of a measure in each group. Sums of whole numbers of coins are whole, of others decimal: both exact."""
    path = f"${one.field}.amount_micros" if one.kind == MONEY else f"${one.field}"
    if one.function == COUNT:
        return {"n": {"$sum": {"$cond": [{"$gt": [path, None]}, 1, 0]}}} if one.field else {}
    counted = {"n": {"$sum": {"$cond": [{"$gt": [path, None]}, 1, 0]}}}
    if one.function in (SUM, AVG):
        return counted | {"s": {"$sum": path if one.kind == MONEY else {"$toDecimal": path}}}
    if one.function == WEIGHTED:
        share = {"$toDecimal": {"$ifNull": [f"${one.weight}", 0]}}
        return counted | {"s": {"$sum": {"$multiply": [{"$toDecimal": path}, share]}}}
    return counted | {"l": {"$min": path}, "h": {"$max": path}}


def _part(row: Mapping[str, Any], place: int) -> Part:
    total = row.get(f"s{place}", 0)
    if isinstance(total, float):  # of whole numbers: larger than any amount, and not exact any more
        total = BEYOND
    whole = total.to_decimal() if isinstance(total, Decimal128) else Decimal(total)
    return Part(row.get(f"n{place}", 0), whole, row.get(f"l{place}"), row.get(f"h{place}"))


def _place(path: str, table: Sequence[tuple[Any, str]]) -> Any:
    """An expression that finds the period of a value by halves."""
    if len(table) == 1:
        return {"$literal": table[0][1]}
    middle = len(table) // 2
    return {"$cond": [{"$lt": [path, table[middle][0]]}, _place(path, table[:middle]), _place(path, table[middle:])]}
