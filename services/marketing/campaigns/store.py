"""Campaigns in MongoDB. Their counts move with the messages, without a version of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from crm.marketing.v1 import campaign_pb2
from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.marketing.campaigns.model import SENDERS


class Campaigns(Records):
    """What is told to many customers."""

    def __init__(self) -> None:
        super().__init__(
            campaign_pb2.Campaign,
            indexes=[IndexModel([("state", ASCENDING), ("_id", ASCENDING)], name="by_state")],
        )

    def derive(self, call: Call, document: dict[str, Any]) -> None:
        """Only what runs waits for something."""
        if document["state"] != "RUNNING":
            document.pop("waiting_reason", None)

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

    async def say_waiting(self, call: Call, campaign: dict[str, Any], reason: str) -> None:
        """Tell what the campaign's messages wait for, "" when for nothing; like its counts without a version."""
        if campaign.get("waiting_reason", "") != reason:
            change = {"$set": {"waiting_reason": reason[:500]}} if reason else {"$unset": {"waiting_reason": ""}}
            await call.database[self.resource].update_one({"_id": campaign["_id"], "state": "RUNNING"}, change)

    async def running(self, call: Call) -> list[str]:
        """Ids of the campaigns whose messages go out, or went out a moment ago."""
        rows = call.database[self.resource].find({"state": "RUNNING", "channel": {"$in": list(SENDERS)}}, {"_id": 1}).sort("_id", ASCENDING)
        return [row["_id"] async for row in rows]

    async def state_of(self, call: Call, campaign_id: str) -> str:
        """The state now."""
        row = await call.database[self.resource].find_one({"_id": campaign_id}, {"state": 1})
        return str(row["state"]) if row else ""
