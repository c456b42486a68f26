"""Campaigns in MongoDB. Their counts move with the messages, without a version of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from crm.marketing.v1 import campaign_pb2
from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.rpc.call import Call
from chassis.storage.records import Records


class Campaigns(Records):
    """What is told to many customers."""

    def __init__(self) -> None:
        super().__init__(
            campaign_pb2.Campaign,
            indexes=[IndexModel([("state", ASCENDING), ("_id", ASCENDING)], name="by_state")],
        )

    def count(self, call: Call, campaign_id: str, steps: dict[str, int]) -> None:
        """Move counts with this commit."""
        moved = {name: step for name, step in steps.items() if step}
        if moved:
            call.changes.write(self.resource, UpdateOne({"_id": campaign_id}, {"$inc": moved}))

    async def preparing(self, call: Call) -> AsyncIterator[dict[str, Any]]:
        """Campaigns whose audience is to be collected, the oldest first."""
        reach = self.reach(call, "read").filter()
        async for campaign in call.database[self.resource].find({"$and": [{"state": "PREPARING"}, reach]}).sort("_id", ASCENDING):
            yield campaign

    async def state_of(self, call: Call, campaign_id: str) -> str:
        """The state now."""
        row = await call.database[self.resource].find_one({"_id": campaign_id}, {"state": 1})
        return str(row["state"]) if row else ""
