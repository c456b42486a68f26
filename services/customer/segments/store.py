"""Segments and their members in MongoDB. Members are kept with their history; a count rides in the segment's document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from crm.customer.v1 import segment_events_pb2 as events
from crm.customer.v1 import segment_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateMany, UpdateOne

from chassis.access.caller import Reach
from chassis.access.contracts import Opening
from chassis.access.fields import KEPT
from chassis.kernel.criteria import to_pending, to_query
from chassis.kernel.errors import NotAllowed
from chassis.kernel.ids import new_id
from chassis.kernel.pages import Sort
from chassis.messaging.envelope import encode
from chassis.rpc.call import Call
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.pages import Page
from chassis.storage.records import Records
from services.customer.customers.store import Customers
from services.customer.segments import model

Document = dict[str, Any]
MEMBERS = "segment_members"
# Of a customer: when it next comes into a segment or goes out by time alone, or before. Neither field of the record nor change of it.
FLIP, FLIP_MARK = "flip_time", "flip_mark"
MOST_COUNTED = 100_000


class Members(Records):
    """Customers in segments; the present ones have no leave_time."""

    def __init__(self, telling: Callable[[Call, Iterable[str]], Awaitable[frozenset[str]]]) -> None:
        present = {"leave_time": None}
        super().__init__(
            segment_pb2.SegmentMember,
            MEMBERS,
            sorts={"ENTER_TIME_DESC": Sort("enter_time", -1)},
            indexes=[
                IndexModel([(key, ASCENDING), ("leave_time", ASCENDING), ("enter_time", DESCENDING), ("_id", DESCENDING)], name=f"by_{key}")
                for key in ("segment_id", "customer_id")
            ]
            # What a reader with less than all counts.
            + [
                IndexModel([(key, ASCENDING), ("segment_id", ASCENDING), ("leave_time", ASCENDING)], name=f"by_{key}")
                for key in OWNER_FIELDS
            ],
        )
        self.present = present
        self.telling: Callable[[Call, Iterable[str]], Awaitable[frozenset[str]]] = telling

    def indexes(self) -> list[IndexModel]:
        """Only those of the questions that are asked."""
        return self.extra_indexes

    async def batch_get(self, call: Call, ids: Iterable[str], fields: Sequence[str] = ()) -> dict[str, Document]:
        """Those that exist within reach, of segments that tell the caller of no field which they do not get."""
        found = await super().batch_get(call, ids, [*fields, "segment_id"] if fields else ())
        telling = await self.telling(call, {row["segment_id"] for row in found.values()}) if found else frozenset()
        return {identity: row for identity, row in found.items() if row["segment_id"] not in telling}

    async def of(self, call: Call, key: str, ids: Sequence[str], **asked: Any) -> dict[str, Page]:
        """The present members by segment, or the present segments by customer."""
        return await self.batch_page(call, key, ids, **asked)

    def opening(self, call: Call) -> Opening:
        """Who may see the customer may see that it is in a segment; to whom a contract shows a part of it, may not."""
        return Opening(call.reach("customers", "read", "customer_id"), (), KEPT)

    def _query(self, call: Call, opening: Opening, criteria: Any, after: Document, *asked: str, archived: str = "") -> Document:
        parts = [part for part in (opening.filter(), after) if part]
        return {**self.present, **({"$and": parts} if parts else {})}

    async def counts(self, call: Call, segment_ids: Sequence[str], reach: Reach) -> dict[str, int] | None:
        """How many present members of each segment lie within reach; None where there are too many to be counted while somebody waits."""
        pipeline: list[Document] = [
            {"$match": {"$and": [{"segment_id": {"$in": list(segment_ids)}, **self.present}, reach.filter()]}},
            {"$limit": MOST_COUNTED},
            {"$group": {"_id": "$segment_id", "count": {"$sum": 1}}},
        ]
        rows = await (await call.database[MEMBERS].aggregate(pipeline, maxTimeMS=call.milliseconds_left)).to_list()
        found = {row["_id"]: int(row["count"]) for row in rows}
        return None if sum(found.values()) == MOST_COUNTED else found


class Segments(Records):
    """Groups of customers by criteria."""

    def __init__(self, customers: Customers) -> None:
        super().__init__(segment_pb2.Segment)
        self.members, self.customers = Members(self.telling), customers

    async def readable(self, call: Call, pages: dict[str, Page], *, reached: bool) -> dict[str, Page]:
        """The pages without memberships that tell of fields which the caller does not get; with `reached`, only of segments within reach.

        That their own customer is in some segment everybody may know: it tells what marketing will send.
        """
        ids = {row["segment_id"] for page in pages.values() for row in page.rows}
        known = await (super().batch_get(call, ids, ["name", "criteria"]) if reached else self._criteria(call, ids)) if ids else {}
        known = {identity: segment for identity, segment in known.items() if not self.tells(call, segment)}
        return {key: page.without(lambda row: row["segment_id"] not in known) for key, page in pages.items()}

    async def batch_get(self, call: Call, ids: Iterable[str], fields: Sequence[str] = ()) -> dict[str, Document]:
        """Those that exist within reach, without criteria that tell what the caller does not get."""
        found = await super().batch_get(call, ids, fields)
        self._quiet(call, found.values())
        return found

    async def page(self, call: Call, *args: Any, **asked: Any) -> Page:
        """A page of segments, without criteria that tell what the caller does not get."""
        found = await super().page(call, *args, **asked)
        self._quiet(call, found.rows)
        return found

    async def _criteria(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Criteria of segments, within reach or not: to judge by, not to show."""
        rows = call.database[self.resource].find({"_id": {"$in": list(ids)}}, {"criteria": 1}, max_time_ms=call.milliseconds_left)
        return {row["_id"]: row async for row in rows}

    def _quiet(self, call: Call, segments: Iterable[Document]) -> None:
        if call.limits(self.customers.resource):
            for segment in segments:
                if "criteria" in segment and self.tells(call, segment):
                    del segment["criteria"]

    def hides(self, call: Call, name: str, value: Any) -> bool:
        """Criteria that ask for a field which the caller does not get are told by no history either."""
        return name == "criteria" and value is not None and bool(call.limits(self.customers.resource)) and self.tells(call, {name: value})

    def tells(self, call: Call, segment: Document) -> bool:
        """Whether who is in the segment tells the caller of a field that they do not get."""
        if "criteria" not in segment:  # a contract shows the segment, and not who is in it
            return True
        return model.criteria_refusal(segment, self.customers.filterable(call)) is not None

    async def telling(self, call: Call, ids: Iterable[str]) -> frozenset[str]:
        """Those of the segments who is in which tells the caller of a field that they do not get."""
        if not call.limits(self.customers.resource):
            return frozenset()
        known = await self._criteria(call, ids)
        return frozenset(identity for identity in ids if identity not in known or self.tells(call, known[identity]))

    async def count(self, call: Call, segments: Sequence[Any]) -> None:
        """Put into messages of segments, in place, how many of their members the caller may see; nothing where that cannot be said.

        What a contract shows is the number that it names; who sees all customers gets the kept number.
        """
        asked = [one for one in segments if one.HasField("member_count") and one.id not in call.shown_by]
        if not asked:
            return
        telling = await self.telling(call, {one.id for one in asked})
        try:
            reach = call.reach(self.customers.resource, "read", "customer_id")
        except NotAllowed:
            reach = Reach(())
        if reach.everything:
            found: dict[str, int] | None = {one.id: one.member_count for one in asked}
        else:
            found = await self.members.counts(call, [one.id for one in asked], reach) if reach.grounds else None
        for one in asked:
            if found is None or one.id in telling:
                one.ClearField("member_count")
            else:
                one.member_count = found.get(one.id, 0)

    async def active(self, call: Call) -> list[Document]:
        """Every segment in use: what a changed customer is judged by. At most 2 000."""
        return await call.database[self.resource].find({"archive_time": None}).sort("_id", ASCENDING).limit(2000).to_list()

    async def memberships(self, call: Call, customer_ids: Iterable[str], segment_id: str = "") -> dict[str, Document]:
        """Stored memberships of customers, present and past, by id; in all segments or one."""
        query: Document = {"customer_id": {"$in": list(customer_ids)}}
        if segment_id:
            query["segment_id"] = segment_id
        return {row["_id"]: row async for row in call.database[MEMBERS].find(query)}

    def enter(self, call: Call, segment_id: str, customer: Document, before: Document | None) -> None:
        """Take a customer in: membership, count and fact in one commit."""
        self._store(call, before, model.entered(segment_id, customer["_id"], before, call.now), customer, events.SegmentMemberEntered, +1)

    def leave(self, call: Call, before: Document, customer: Document) -> None:
        """Let a customer go: membership, count and fact in one commit."""
        self._store(call, before, model.left(before, call.now), customer, events.SegmentMemberLeft, -1)

    def _store(self, call: Call, before: Document | None, after: Document, customer: Document, event: Any, step: int) -> None:
        after |= {name: customer[name] for name in OWNER_FIELDS if customer.get(name)}
        if before:
            call.changes.update(MEMBERS, before, after)
        else:
            call.changes.insert(MEMBERS, after)
        call.changes.write(self.resource, UpdateOne({"_id": after["segment_id"]}, {"$inc": {"member_count": step}}))
        self.announce(call, after, event)

    def announce(self, call: Call, after: Document, event: Any) -> None:
        """A fact of a projection: no audit, for no person changed anything."""
        attributes = {"id": new_id(), "time": call.now, "actor_id": call.caller.person_id, "correlation_id": call.request_id}
        call.changes.emit(encode(event, after, **attributes))

    def set_owner_of(self, call: Call, customer: Document) -> None:
        """Memberships of a customer follow its owner."""
        values = {name: customer.get(name) for name in OWNER_FIELDS}
        call.changes.write(MEMBERS, UpdateMany({"customer_id": customer["_id"]}, {"$set": values}))

    def wait(self, call: Call, customer_id: str, until: datetime) -> None:
        """Judge a customer anew at a moment, or before: one moment is kept for all segments, the first. The mark tells whoever judges them
        now by the time that they are judged here too, maybe by a segment that is new: both cannot be right. Where an earlier moment is kept
        that has not come yet, nothing is written: whoever judges them then reads the segments later than we did."""
        kept = {"$min": {FLIP: until}, "$set": {FLIP_MARK: new_id()}}
        sooner = {"$not": {"$lte": until}}  # none is kept, or a later one
        due = {"$expr": {"$lte": [f"${FLIP}", "$$NOW"]}}
        call.changes.write(self.customers.resource, UpdateOne({"_id": customer_id, "$or": [{FLIP: sooner}, due]}, kept))

    def waited(self, call: Call, customer: Document, until: datetime | None) -> None:
        """The moment of a customer has come: keep the next one. A conflict where the customer, or what is waited for, changed meanwhile."""
        seen = {"_id": customer["_id"], "version": customer["version"], FLIP: customer[FLIP], FLIP_MARK: customer.get(FLIP_MARK)}
        then: Document = {"$set": {FLIP: until}} if until else {"$unset": {FLIP: "", FLIP_MARK: ""}}
        call.changes.must_match(self.customers.resource, UpdateOne(seen, then))

    async def concerned(self, call: Call, segment: Document, size: int) -> AsyncIterator[list[Document]]:
        """All customers within the criteria, and all who may come in or go out by time alone, in bounded batches by id."""
        inside, pending = (to(segment["criteria"], model.SCHEMA, call.when) for to in (to_query, to_pending))
        query: Document = {"$and": [{"$or": [inside, pending]} if pending else inside, {"archive_time": None}]}
        last = ""
        while True:
            page = {"$and": [query, {"_id": {"$gt": last}}]} if last else query
            rows = await call.database["customers"].find(page, {"search_terms": 0}).sort("_id", ASCENDING).limit(size).to_list()
            if not rows:
                return
            last = rows[-1]["_id"]
            yield rows

    async def changed(self, call: Call, judged: Sequence[Document]) -> list[Document]:
        """As they are now those of these customers that changed since they were read."""
        versions = {customer["_id"]: customer.get("version") for customer in judged}
        rows = await call.database["customers"].find({"_id": {"$in": list(versions)}}, {"search_terms": 0}).to_list()
        return [row for row in rows if row["version"] != versions[row["_id"]]]

    async def no_longer(self, call: Call, segment_id: str, size: int) -> AsyncIterator[list[Document]]:
        """The customers' documents of all present members of a segment, in bounded batches by id."""
        last = ""
        while True:
            query = {"segment_id": segment_id, "leave_time": None, "_id": {"$gt": last}}
            rows = await call.database[MEMBERS].find(query).sort("_id", ASCENDING).limit(size).to_list()
            if not rows:
                return
            last = rows[-1]["_id"]
            ids = [row["customer_id"] for row in rows]
            found = {row["_id"]: row async for row in call.database["customers"].find({"_id": {"$in": ids}})}
            yield [found.get(one, {"_id": one, "archive_time": True}) for one in ids]
