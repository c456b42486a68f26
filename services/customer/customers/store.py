"""Customers in MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from crm.customer.v1 import customer_pb2
from pymongo import ASCENDING, IndexModel, UpdateMany

from chassis.rpc.call import Call
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import Records
from services.customer.customers.model import meanwhile

Document = dict[str, Any]
LONGEST_LINE = 50


class Customers(Records):
    """Companies and persons."""

    edition = 3

    def __init__(self) -> None:
        super().__init__(
            customer_pb2.Customer,
            indexes=[
                IndexModel([("merged_into_id", ASCENDING)], name="by_merged_into_id", sparse=True),
            ],
        )

    async def get(self, call: Call, record_id: str, action: str = "read") -> Document:
        """One customer within reach; what is part of another one is not changed."""
        found = await self.whole(call, record_id, action)
        if action != "read" and found.get("merged_into_id"):
            raise meanwhile(found, self.contract.key)
        return found

    async def whole(self, call: Call, record_id: str, action: str) -> Document:
        """One customer within reach of an action, whatever it is part of."""
        return await super().get(call, record_id, action)

    def change(self, call: Call, before: Document, *args: Any, action: str = "update", **given: Any) -> Document:
        """The customer with the values set; an import does not change what is part of another one."""
        if action == "import" and before.get("merged_into_id"):
            raise meanwhile(before, "source_key")
        return super().change(call, before, *args, action=action, **given)

    async def with_survivors(
        self, call: Call, ids: Iterable[str], fields: Sequence[str] = ()
    ) -> tuple[dict[str, Document], dict[str, str]]:
        """Those of the ids that exist within reach, by id, and in place of each that is part of another customer that one; and of these ids
        which it is. What was committed is seen: the records say themselves what they are part of."""
        asked = list(dict.fromkeys(ids))
        found = await self.batch_get(call, asked, [*fields, "merged_into_id"] if fields else ())
        leads: dict[str, str] = {}
        for identity in asked:
            into = found[identity].get("merged_into_id") if identity in found else call.aliases.resolve(identity)
            if into and into != identity:
                leads[identity] = into
        for _ in range(LONGEST_LINE):
            if fresh := set(leads.values()) - found.keys():
                found |= await self.batch_get(call, fresh, [*fields, "merged_into_id"] if fields else ())
            moved = {one: into for one, at in leads.items() if (into := found.get(at, {}).get("merged_into_id"))}
            if not moved:
                break
            leads |= moved
        wanted = [leads.get(identity, identity) for identity in asked]
        return {one: found[one] for one in wanted if one in found}, {one: at for one, at in leads.items() if at in found}

    async def parts_of(self, call: Call, customer_id: str) -> list[str]:
        """Ids of the customers that are part of one, at any depth."""
        found: list[str] = []
        level = [customer_id]
        while level:
            rows = call.database[self.resource].find({"merged_into_id": {"$in": level}}, {"_id": 1}, max_time_ms=call.milliseconds_left)
            level = [row["_id"] async for row in rows if row["_id"] not in found]
            found += level
        return found

    async def found_as(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Those of the ids that exist within reach, by the id asked for: of each that is part of another customer that one."""
        asked = list(ids)
        found, leads = await self.with_survivors(call, asked)
        return {identity: found[one] for identity in asked if (one := leads.get(identity, identity)) in found}

    def in_search(self) -> Document:
        """The filter of what a search looks at: what is in use, and what is part of that."""
        return {"$or": [{"archive_time": None}, {"merged_into_id": {"$ne": None}}]}

    def leads_on(self, document: Document) -> bool:
        """Whether it is part of another one."""
        return bool(document.get("merged_into_id"))

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """Contacts and notes follow their customer's owner."""
        if before and any(before.get(name) != after.get(name) for name in OWNER_FIELDS):
            owner = {name: after.get(name) for name in OWNER_FIELDS}
            for collection in ("contacts", "notes", "customer_merges"):
                call.changes.write(collection, UpdateMany({"customer_id": after["_id"]}, {"$set": owner}))

    async def levels_below(self, call: Call, customer_id: str, deepest: int) -> int:
        """How many levels stand below a customer; counts no further than `deepest`."""
        level, found = [customer_id], 0
        while level and found <= deepest:
            rows = call.database[self.resource].find({"parent_id": {"$in": level}}, {"_id": 1}).limit(1000)
            level = [row["_id"] async for row in rows]
            found += bool(level)
        return found

    async def line_above(self, call: Call, customer_id: str, deepest: int) -> list[str]:
        """Ids from a customer upwards, itself first; stops after `deepest`, or where the line comes back.

        The line must still be so when this commits: two moves at once cannot make a circle.
        """
        line: list[str] = []
        following: str | None = customer_id
        while following and len(line) <= deepest and following not in line:
            line.append(following)
            row = await call.database[self.resource].find_one({"_id": following}, {"parent_id": 1})
            call.changes.guard(self.resource, {"_id": following, "parent_id": row.get("parent_id") if row else None})
            following = row.get("parent_id") if row else None
        return line

    async def has_below(self, call: Call, customer_id: str) -> bool:
        """Whether customers in use stand below."""
        return await call.database[self.resource].find_one({"parent_id": customer_id, "archive_time": None}, {"_id": 1}) is not None
