"""Webhook deliveries in MongoDB: a log without facts of its own, else it would tell of itself for ever. Each row ends by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crm.organization.v1 import webhook_delivery_pb2
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from chassis.kernel.pages import Sort
from chassis.rpc.call import Call
from chassis.storage.pages import Reading, rows_by_key
from chassis.storage.records import Document, Records
from services.organization.webhook_deliveries import model

MOST_AT_ONCE = 1000


class WebhookDeliveries(Records):
    """What was sent, is to be sent, or could not be."""

    def __init__(self) -> None:
        by_endpoint = ("webhook_endpoint_id", ASCENDING)
        super().__init__(
            webhook_delivery_pb2.WebhookDelivery,
            indexes=[
                IndexModel([by_endpoint, ("create_time", DESCENDING), ("_id", DESCENDING)], name="by_endpoint"),
                IndexModel([by_endpoint, ("state", ASCENDING), ("next_attempt_time", ASCENDING), ("_id", ASCENDING)], name="due"),
                IndexModel([("create_time", ASCENDING)], name="expire", expireAfterSeconds=model.KEEP_DAYS * 86_400),
            ],
        )

    def take(self, call: Call, row: Document) -> None:
        """One more delivery with this commit; taking the same fact again changes nothing."""
        call.changes.write(self.resource, UpdateOne({"_id": row["_id"]}, {"$setOnInsert": row}, upsert=True))

    def again(self, call: Call, row: Document) -> Document:
        """Have a delivery sent again, with this commit; a conflict when an attempt was written down meanwhile."""
        values = model.again(call.now)
        seen = {"_id": row["_id"], "attempt_count": row["attempt_count"]}
        call.changes.must_match(self.resource, UpdateOne(seen, _operation(values)))
        call.changes.audit(self.resource, row["_id"], 0, "WebhookDeliveryReplayed", {"state": [row["state"], values["state"]]}, call.now)
        return {name: value for name, value in {**row, **values}.items() if value is not None}

    async def failed(self, call: Call, endpoint_id: str, since: datetime | None) -> list[Document]:
        """What failed of what happened since a time, oldest first; a thousand at most."""
        query: Document = {"webhook_endpoint_id": endpoint_id, "state": model.FAILED}
        if since:
            query["event_time"] = {"$gte": since}
        rows = call.database[self.resource].find(query, max_time_ms=call.milliseconds_left)
        return await rows.sort("_id", ASCENDING).limit(MOST_AT_ONCE).to_list()

    async def due(self, call: Call, endpoint_ids: Sequence[str], size: int) -> dict[str, list[Document]]:
        """For each endpoint what is due, the longest due first."""
        due = {"state": model.PENDING, "next_attempt_time": {"$lte": call.now}}
        reading = Reading(due, Sort("next_attempt_time", 1), size)
        return await rows_by_key(call.database, self.resource, "webhook_endpoint_id", list(endpoint_ids), reading, call.milliseconds_left)

    async def note(self, call: Call, row: Document, values: Document) -> bool:
        """Write down what an attempt changed; False when somebody else wrote one down since."""
        seen = {"_id": row["_id"], "attempt_count": row["attempt_count"]}
        return bool((await call.database[self.resource].update_one(seen, _operation(values))).matched_count)


def _operation(values: Document) -> Document:
    """The update that sets values, and clears those that are None."""
    gone = {name: "" for name, value in values.items() if value is None}
    return {"$set": {name: value for name, value in values.items() if value is not None}} | ({"$unset": gone} if gone else {})
