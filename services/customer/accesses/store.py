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
from services.customer.accesses import model

Document = dict[str, Any]
WORK = "open_work"
WORK_INDEX = IndexModel([("customer_id", ASCENDING)], name="by_customer_id")
_MOST = 10_000


class Accesses:
    """Who works with which customer."""

    async def of_records(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Stored open work by record."""
        return {row["_id"]: row async for row in call.database[WORK].find({"_id": {"$in": list(ids)}})}

    async def of_customers(self, call: Call, ids: Iterable[str]) -> list[Document]:
        """Stored open work of customers."""
        return await call.database[WORK].find({"customer_id": {"$in": list(ids)}}).limit(_MOST).to_list()

    async def customers(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """What of customers decides."""
        rows = call.database["customers"].find({"_id": {"$in": list(ids)}}, {"collaborator_ids": 1, "archive_time": 1})
        return {row["_id"]: row async for row in rows}

    async def stored(self, call: Call, ids: Iterable[str]) -> dict[str, Document]:
        """Accesses as they are stored."""
        return {row["_id"]: row async for row in call.database[COLLECTION].find({"_id": {"$in": list(ids)}})}

    def keep(self, call: Call, record_id: str, before: Document | None, after: Document | None) -> None:
        """Store the open work of a record, or that there is none any more."""
        if after and after != before:
            values = {name: value for name, value in after.items() if name != "_id"}
            call.changes.write(WORK, UpdateOne({"_id": record_id}, {"$set": values}, upsert=True))
        elif before and not after:
            call.changes.write(WORK, DeleteOne({"_id": record_id}))

    def announce(self, call: Call, customer_id: str, people: list[str], stored: Mapping[str, Document]) -> None:
        """Store and tell who works with a customer now, when that is news."""
        before = stored.get(customer_id)
        if people == (before or {}).get("person_ids", []):
            return
        version = before["version"] + 1 if before else 1
        after = {"_id": customer_id, "version": version, "customer_id": customer_id, "person_ids": people}
        if before:
            call.changes.update(COLLECTION, before, after)
        else:
            call.changes.insert(COLLECTION, after)
        attributes = {"id": new_id(), "time": call.now, "actor_id": call.caller.person_id, "correlation_id": call.request_id}
        call.changes.emit(encode(events.CustomerAccessChanged, after, **attributes))

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
        present = [row for row in await self.of_customers(call, customer_ids) if row["_id"] not in moved]
        present += [row for row in moved.values() if row]
        customers, stored = await self.customers(call, customer_ids), await self.stored(call, customer_ids)
        for identity in sorted(customer_ids):
            held = [row for row in present if row["customer_id"] == identity]
            self.announce(call, identity, model.people_of(customers.get(identity), held), stored)
