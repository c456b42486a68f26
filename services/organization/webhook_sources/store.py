"""Webhook sources in MongoDB."""

from __future__ import annotations

from crm.organization.v1 import webhook_source_pb2

from chassis.rpc.call import Call
from chassis.storage.records import Document, Records


class WebhookSources(Records):
    """Systems whose webhooks are taken in."""

    def __init__(self) -> None:
        super().__init__(webhook_source_pb2.WebhookSource)

    async def named(self, call: Call, source_id: str) -> Document | None:
        """The one that a sender names, in use or not."""
        return await call.database[self.resource].find_one({"_id": source_id}, max_time_ms=call.milliseconds_left)
