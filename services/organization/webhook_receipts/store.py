"""Webhook receipts in MongoDB: a log that announces no facts and ends by itself; and how much came in within a minute, over all replicas."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from crm.organization.v1 import webhook_receipt_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from chassis.rpc.call import Call
from chassis.storage.records import Document, Records
from services.organization.webhook_receipts import model

COUNTS = "webhook_receipt_counts"
COUNTS_INDEX = IndexModel([("time", ASCENDING)], name="expire", expireAfterSeconds=int(timedelta(minutes=2).total_seconds()))


class WebhookReceipts(Records):
    """What came in."""

    def __init__(self) -> None:
        by_source = ("webhook_source_id", ASCENDING)
        super().__init__(
            webhook_receipt_pb2.WebhookReceipt,
            indexes=[
                IndexModel([by_source, ("create_time", DESCENDING), ("_id", DESCENDING)], name="by_source"),
                IndexModel([by_source, ("state", ASCENDING), ("create_time", DESCENDING), ("_id", DESCENDING)], name="by_source_state"),
                IndexModel([("create_time", ASCENDING)], name="expire", expireAfterSeconds=model.KEEP_DAYS * 86_400),
            ],
        )

    async def known(self, call: Call, receipt_id: str) -> Document | None:
        """What became of a message so far."""
        return await call.database[self.resource].find_one({"_id": receipt_id}, max_time_ms=call.milliseconds_left)

    def settle(self, call: Call, receipt_id: str, values: Document) -> None:
        """What became of a message, with this commit."""
        call.changes.write(self.resource, UpdateOne({"_id": receipt_id}, _operation(call, values), upsert=True))

    async def refuse(self, call: Call, receipt_id: str, values: Document, *, known: bool = True) -> None:
        """Note a refusal at once, for the call itself is refused. What had its effect stays as it is. With `known` false nothing is
        noted, in the same time: nobody learns by it which sources there are."""
        query = {"_id": receipt_id, "state": {"$ne": model.ACCEPTED}}
        with suppress(DuplicateKeyError):  # its twin was accepted meanwhile
            await call.database[self.resource].update_one(query, _operation(call, values | {"state": model.REFUSED}), upsert=known)

    async def spend(self, call: Call, what: str, most: int) -> None:
        """Count one more of the last sixty seconds. Raises WEBHOOK_THROTTLED beyond the most; what is refused is not counted.

        Counted by whole minutes: the last one counts by the share of it that is still within sixty seconds.
        """
        minute, second = divmod(call.now.timestamp(), 60)
        before, key = (call.vault.blind(f"webhook:{what}:{int(minute) + one}") for one in (-1, 0))
        more = {"$inc": {"count": 1}, "$setOnInsert": {"time": call.now}}
        rows = call.database[COUNTS]
        try:
            row = await rows.find_one_and_update({"_id": key}, more, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:  # two at once were the first
            row = await rows.find_one_and_update({"_id": key}, more, return_document=ReturnDocument.AFTER)
        earlier = await rows.find_one({"_id": before}) or {"count": 0}
        if row and row["count"] + earlier["count"] * (1 - second / 60) > most:
            await rows.update_one({"_id": key}, {"$inc": {"count": -1}})
            raise model.throttled()


def _operation(call: Call, values: Document) -> Document:
    """The update that sets values and counts one more; a reason of before goes."""
    gone = {"$unset": {"reason": ""}} if "reason" not in values else {}
    return gone | {
        "$set": values | {"last_receive_time": call.now}, "$setOnInsert": {"create_time": call.now}, "$inc": {"receive_count": 1},
    }  # fmt: skip
