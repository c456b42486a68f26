"""Tickets, their conversations and each person's load in MongoDB."""

from __future__ import annotations

from typing import Any

from crm.support.v1 import ticket_pb2, ticket_reply_pb2
from pymongo import ASCENDING, IndexModel, UpdateMany, UpdateOne

from chassis.kernel.pages import Sort
from chassis.rpc.call import Call
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import Records
from services.support.tickets.model import carried

Document = dict[str, Any]
LOADS = "agent_loads"
_RANK = {"LOW": 0, "NORMAL": 1, "HIGH": 2, "URGENT": 3}


class Tickets(Records):
    """Requests of customers."""

    def __init__(self) -> None:
        super().__init__(
            ticket_pb2.Ticket,
            sorts={"PRIORITY_DESC": Sort("priority_rank", -1, of="priority")},
            indexes=[IndexModel([("state", ASCENDING), ("create_time", -1), ("_id", -1)], name="by_state")],
        )

    def derive(self, call: Call, document: Document) -> None:
        """Priorities sort by urgency, not by their names."""
        document["priority_rank"] = _RANK[document["priority"]]

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """The conversation follows its ticket's owner; loads move with owner and state."""
        if before and any(before.get(name) != after.get(name) for name in OWNER_FIELDS):
            owner = {name: after.get(name) for name in OWNER_FIELDS}
            call.changes.write("ticket_replies", UpdateMany({"ticket_id": after["_id"]}, {"$set": owner}))
        was, now = carried(before), carried(after)
        if was != now:
            for person, step in ((was, -1), (now, 1)):
                if person:
                    call.changes.write(LOADS, UpdateOne({"_id": person}, {"$inc": {"open": step}}, upsert=True))

    async def loads(self, call: Call, people: list[str]) -> dict[str, Document]:
        """The stored loads of people."""
        return {row["_id"]: row async for row in call.database[LOADS].find({"_id": {"$in": people}})}

    def claim(self, call: Call, person: str, seen: Document | None) -> None:
        """Make the commit fail when the person's load moved since it was read: two tickets at once must not both find them idle."""
        condition = {"_id": person, "open": seen.get("open", 0)} if seen else {"_id": person, "open": {"$exists": False}}
        call.changes.write(LOADS, UpdateOne(condition, {"$set": {"claimed": call.request_id}}, upsert=True))


class Replies(Records):
    """Contributions to the conversations."""

    def __init__(self) -> None:
        owners = [IndexModel([(name, ASCENDING), ("create_time", -1), ("_id", -1)], name=f"by_{name}") for name in OWNER_FIELDS]
        super().__init__(ticket_reply_pb2.TicketReply, parents=("customer_id",), indexes=owners)
