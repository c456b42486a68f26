"""Messages in MongoDB: one for each campaign and contact. And the addresses to which nothing more is sent."""

from __future__ import annotations

from typing import Any

from crm.marketing.v1 import campaign_message_pb2
from pymongo import ASCENDING, IndexModel, UpdateOne

from chassis.kernel.ids import from_source
from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.marketing.campaigns.store import Campaigns
from services.marketing.messages.model import address_key, steps, suppresses

Document = dict[str, Any]
# By address: {_id: its blind key, reason, time, message_id}. The key is a keyed hash, which leads nobody back to the address and outlives
# the key of whoever had it, so that who was erased is still left in peace.
SUPPRESSIONS = "suppressions"
_BY_TURN = [("state", ASCENDING), ("campaign_id", ASCENDING), ("due_time", ASCENDING), ("_id", ASCENDING)]
_TOLD = {"mailed_key": {"$exists": True}}


class Messages(Records):
    """What contacts were sent. Each carries the owner of its campaign.

    Two fields are the store's own: `address_key`, the blind key of its address, and `mailed_key`, the same once the mail server answered for
    it; of a campaign and an address there is one of these.
    """

    def __init__(self, campaigns: Campaigns) -> None:
        self.campaigns = campaigns
        told = IndexModel(
            [("campaign_id", ASCENDING), ("mailed_key", ASCENDING)], name="once_an_address", unique=True, partialFilterExpression=_TOLD
        )
        super().__init__(campaign_message_pb2.CampaignMessage, indexes=[IndexModel(_BY_TURN, name="by_turn"), told])

    def derive(self, call: Call, document: Document) -> None:
        """Keep what its address is compared by; it stays when the address was erased."""
        if document.get("address"):
            document["address_key"] = self.key(call, document["address"])

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """The campaign's counts move with its messages; nothing more goes to whom asked for no more, or who does not exist."""
        if after.get("campaign_id"):
            self.campaigns.count(call, after["campaign_id"], steps(before, after))
        reason = suppresses(before, after)
        if reason and after.get("address_key"):
            self.suppress(call, after, reason)

    def suppress(self, call: Call, message: Document, reason: str) -> None:
        """Send nothing more to a message's address, with this commit; the first reason stays."""
        values = {"reason": reason, "time": call.now, "message_id": message["_id"]}
        call.changes.write(SUPPRESSIONS, UpdateOne({"_id": message["address_key"]}, {"$setOnInsert": values}, upsert=True))

    @staticmethod
    def key(call: Call, address: str) -> str:
        """The blind key of an address; the same for every spelling of it."""
        return call.vault.blind(f"address:{address_key(address)}")

    @staticmethod
    async def suppression(call: Call, key: str) -> Document | None:
        """Why nothing is sent to an address."""
        return await call.database[SUPPRESSIONS].find_one({"_id": key})

    async def is_taken(self, call: Call, message: Document, key: str) -> bool:
        """Whether the mail server answered for another message of the campaign to this address."""
        query = {"campaign_id": message["campaign_id"], "mailed_key": key, "_id": {"$ne": message["_id"]}}
        return await call.database[self.resource].find_one(query, {"_id": 1}) is not None

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

    async def any_waiting(self, call: Call, campaign_id: str) -> bool:
        """Whether a campaign has planned messages, due or not."""
        query = {"state": "PLANNED", "campaign_id": campaign_id}
        return await call.database[self.resource].find_one(query, {"_id": 1}) is not None

    async def waiting(self, call: Call, campaign_id: str, size: int, *, all_of_them: bool = False) -> list[Document]:
        """The next planned messages of a campaign whose time has come, those first that were never put off; or whatever their time."""
        query: Document = {"state": "PLANNED", "campaign_id": campaign_id}
        if not all_of_them:
            query["due_time"] = {"$not": {"$gt": call.now}}
        rows = call.database[self.resource].find(query).sort([("due_time", ASCENDING), ("_id", ASCENDING)]).limit(size)
        return await self.opened(call, await rows.to_list())
