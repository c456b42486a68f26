"""Merges in MongoDB. They carry the owner of the customer that stayed, so that scope is one filter."""

from __future__ import annotations

from datetime import datetime

from crm.customer.v1 import customer_merge_pb2
from pymongo import ASCENDING, IndexModel

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.customer.contacts.store import BY_OWNER


class Merges(Records):
    """Customers that became one."""

    def __init__(self) -> None:
        by_loser = IndexModel([("loser_id", ASCENDING)], name="by_loser_id")
        super().__init__(customer_merge_pb2.CustomerMerge, indexes=[*BY_OWNER, by_loser])

    async def latest(self, call: Call) -> datetime | None:
        """The moment of the newest merge, undone or not; None where there is none."""
        rows = call.database[self.resource].find({}, {"create_time": 1}, max_time_ms=call.milliseconds_left)
        found = await rows.sort([("create_time", -1), ("_id", -1)]).limit(1).to_list()
        return found[0]["create_time"] if found else None
