"""Accesses and open work in MongoDB: projections of this and other departments' facts, written only by their reactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm.customer.v1 import customer_access_events_pb2 as events
from pymongo import ASCENDING, DeleteOne, IndexModel, UpdateOne

from chassis.kernel.ids import new_id
from chassis.messaging.envelope import encode
from chassis.rpc.call import Call
from chassis.rpc.collaboration import COLLECTION
from chassis.storage.aliases import CUSTOMER_ALIAS
from chassis.storage.ownership import OWNER_FIELDS
from services.customer.accesses import model

Document = dict[str, Any]
WORK = "open_work"
_DECIDING = dict.fromkeys(("collaborator_ids", "archive_time", "version", *OWNER_FIELDS), 1)
WORK_INDEX = IndexModel([("customer_id", ASCENDING)], name="by_customer_id")


class Accesses:
    """Who works with which customer."""

    async def of_records(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Stored open work by record."""
        return {row["_id"]: row async for row in call.database[WORK].find({"_id": {"$in": list(ids)}})}

    async def of_customers(self, call: Call, ids: Iterable[str], without: Iterable[str]) -> list[Document]:
        """Who holds stored open work of customers, each person once a customer; the work of certain records aside."""
        pipeline: list[Document] = [
            {"$match": {"customer_id": {"$in": list(ids)}, "_id": {"$nin": list(without)}}},
            {"$group": {"_id": {"customer_id": "$customer_id", "person_id": "$person_id", "by_guest": "$by_guest"}}},
        ]
        return [row["_id"] async for row in await call.database[WORK].aggregate(pipeline)]

    async def customers(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """What of customers decides."""
        rows = call.database["customers"].find({"_id": {"$in": list(ids)}}, _DECIDING)
        return {row["_id"]: row async for row in rows}

    async def parts(self, call: Call, ids: Iterable[str]) -> dict[str, list[Document]]:
        """What of the customers decides that are part of these, at any depth."""
        heads = {identity: identity for identity in ids}
        found: dict[str, list[Document]] = {identity: [] for identity in heads}
        level = list(heads)
        while level:
            rows = await call.database["customers"].find({"merged_into_id": {"$in": level}}, {**_DECIDING, "merged_into_id": 1}).to_list()
            level = [row["_id"] for row in rows]
            for row in rows:
                found[heads[row["merged_into_id"]]].append(row)
            heads = {row["_id"]: heads[row["merged_into_id"]] for row in rows}
        return found

    async def concerned(self, call: Call, ids: Iterable[str]) -> set[str]:
        """Customers, and those that they are part of, or were until a merge was undone: who works with these may be others now."""
        found, level = set(ids), list(ids)
        while level:
            rows = await call.database["customer_merges"].find({"loser_id": {"$in": level}}, {"survivor_id": 1}).to_list()
            level = list({row["survivor_id"] for row in rows} - found)
            found |= set(level)
        return found

    async def stored(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Accesses as they are stored."""
        return {row["_id"]: row async for row in call.database[COLLECTION].find({"_id": {"$in": list(ids)}})}

    def keep(self, call: Call, record_id: str, before: Document | None, after: Document | None) -> None:
        """Store the open work of a record, or that there is none any more."""
        if after and after != before:
            values = {name: value for name, value in after.items() if name != "_id"}
            gone = {} if CUSTOMER_ALIAS in values else {"$unset": {CUSTOMER_ALIAS: ""}}
            call.changes.write(WORK, UpdateOne({"_id": record_id}, {"$set": values, **gone}, upsert=True))
        elif before and not after:
            call.changes.write(WORK, DeleteOne({"_id": record_id}))

    def announce(self, call: Call, customer_id: str, people: list[str], before: Document | None) -> None:
        """Store who works with a customer now, and tell it when that is news.

        The document moves on (`turn`) with each look at a customer, news or not: of two works that begin or end at once, one is
        reckoned again and sees the other.
        """
        if before is None and not people:  # nobody works with it, and who begins to at this moment makes the document
            return
        if before is None:  # version 0 was never told
            before = {"_id": customer_id, "version": 0, "person_ids": [], "turn": 0}
            call.changes.insert(COLLECTION, before)
        values: Document = {"turn": before.get("turn", 0) + 1}
        if people != before.get("person_ids", []):
            values |= {"version": before["version"] + 1, "customer_id": customer_id, "person_ids": people}
            attributes = {"id": new_id(), "time": call.now, "actor_id": call.caller.person_id, "correlation_id": call.request_id}
            call.changes.emit(encode(events.CustomerAccessChanged, {"_id": customer_id, **values}, **attributes))
        turn = before.get("turn", 0) or {"$in": [0, None]}
        call.changes.must_match(COLLECTION, UpdateOne({"_id": customer_id, "turn": turn}, {"$set": values}))

    async def move(self, call: Call, moved: Mapping[str, Document | None]) -> None:
        """Work began, moved or ended: store it, and renew the accesses of the customers whom it concerned and concerns."""
        before = await self.of_records(call, moved)
        for identity, after in moved.items():
            self.keep(call, identity, before.get(identity), after)
        concerned = {row["customer_id"] for row in [*before.values(), *moved.values()] if row}
        await self.renew(call, concerned, moved)

    async def renew(self, call: Call, customer_ids: set[str], moved: Mapping[str, Document | None]) -> None:
        """Who works with these customers, from what is stored and the work that moves in this commit."""
        if not customer_ids:
            return
        stored = await self.stored(call, customer_ids)  # before everything else: what comes in meanwhile moves it on
        present = await self.of_customers(call, customer_ids, moved) + [row for row in moved.values() if row]
        customers, parts = await self.customers(call, customer_ids), await self.parts(call, customer_ids)
        for identity in sorted(customer_ids):
            held = [row for row in present if row["customer_id"] == identity]
            people = model.people_of(customers.get(identity), held, parts[identity])
            if people and identity not in stored:
                # Whoever takes the last of them away at this moment finds neither people nor a document, and writes nothing with which this
                # could meet: so it is reckoned again where what was read of the customer or its parts is no longer so.
                for row in filter(None, (customers.get(identity), *parts[identity])):
                    call.changes.guard("customers", {"_id": row["_id"], "version": row["version"]})
            self.announce(call, identity, people, stored.get(identity))
