"""Messages in MongoDB: one for each campaign and contact."""

from __future__ import annotations

from typing import Any

from crm.marketing.v1 import campaign_message_pb2
from pymongo import ASCENDING, IndexModel

from chassis.kernel.ids import from_source
from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.marketing.campaigns.store import Campaigns
from services.marketing.messages.model import steps

Document = dict[str, Any]


class Messages(Records):
    """What contacts were sent. Each carries the owner of its campaign."""

    def __init__(self, campaigns: Campaigns) -> None:
        self.campaigns = campaigns
        super().__init__(
            campaign_message_pb2.CampaignMessage,
            indexes=[IndexModel([("state", ASCENDING), ("campaign_id", ASCENDING), ("_id", ASCENDING)], name="by_state")],
        )

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """The campaign's counts move with its messages."""
        if after.get("campaign_id"):
            self.campaigns.count(call, after["campaign_id"], steps(before, after))

    @staticmethod
    def id_of(campaign_id: str, contact_id: str) -> str:
        """One message for each campaign and contact: its id says so, and planning twice plans once."""
        return from_source("campaign_messages", f"{campaign_id}:{contact_id}")

    async def existing(self, call: Call, ids: list[str]) -> set[str]:
        """Those of the ids that are stored."""
        return {row["_id"] async for row in call.database[self.resource].find({"_id": {"$in": ids}}, {"_id": 1})}

    async def campaigns_waiting(self, call: Call) -> list[str]:
        """Ids of the campaigns that have planned messages; answered from the index."""
        return list(await call.database[self.resource].distinct("campaign_id", {"state": "PLANNED"}))

    async def waiting(self, call: Call, campaign_id: str, size: int) -> list[Document]:
        """The next planned messages of a campaign."""
        query = {"campaign_id": campaign_id, "state": "PLANNED"}
        return await self.opened(call, await call.database[self.resource].find(query).sort("_id", ASCENDING).limit(size).to_list())
