"""Webhook endpoints in MongoDB, and since when nothing gets through to one, which moves without its version."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from crm.organization.v1 import webhook_endpoint_pb2
from pymongo import ASCENDING, IndexModel

from chassis.rpc.call import Call
from chassis.storage.records import Document, Records

IN_USE = {"enabled": True, "archive_time": None}


class WebhookEndpoints(Records):
    """Where facts are sent to."""

    def __init__(self) -> None:
        super().__init__(
            webhook_endpoint_pb2.WebhookEndpoint,
            indexes=[IndexModel([("archive_time", ASCENDING), ("enabled", ASCENDING)], name="by_use")],
        )

    async def count_in_use(self, call: Call) -> int:
        """How many are not archived."""
        return int(await call.database[self.resource].count_documents({"archive_time": None}))

    async def wanting(self, call: Call, event_types: Collection[str]) -> list[Document]:
        """Those in use that want some of these facts."""
        query = {**IN_USE, "event_types": {"$in": list(event_types)}}
        return await call.database[self.resource].find(query, {"event_types": 1, "create_time": 1}).to_list()

    async def sendable(self, call: Call) -> dict[str, Document]:
        """All that may be sent to, by id."""
        return {row["_id"]: row async for row in call.database[self.resource].find(IN_USE, {"url": 1})}

    async def fails(self, call: Call, endpoint_id: str, moment: datetime) -> datetime:
        """Note that something did not get through; since when nothing does."""
        rows = call.database[self.resource]
        await rows.update_one({"_id": endpoint_id, "failing_since_time": None}, {"$set": {"failing_since_time": moment}})
        found = await rows.find_one({"_id": endpoint_id}, {"failing_since_time": 1}) or {}
        since: datetime = found.get("failing_since_time", moment)
        return since

    async def is_well(self, call: Call, endpoint_id: str) -> None:
        """Note that something got through."""
        failing = {"_id": endpoint_id, "failing_since_time": {"$ne": None}}
        await call.database[self.resource].update_one(failing, {"$unset": {"failing_since_time": ""}})
