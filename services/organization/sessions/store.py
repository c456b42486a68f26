"""Sessions in MongoDB, found by the fingerprint of their refresh token; and the count of failed sign-ins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from crm.organization.v1 import session_pb2
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from chassis.kernel.errors import NotAllowed
from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.organization.access.store import touch
from services.organization.sessions.model import FAILURE_MINUTES, MOST_FAILURES

FAILURES = "sign_in_failures"
FAILURES_INDEX = IndexModel([("time", ASCENDING)], name="expire", expireAfterSeconds=FAILURE_MINUTES * 60)


class Sessions(Records):
    """Sign-ins; an ended one reaches the directory of all departments."""

    def __init__(self) -> None:
        super().__init__(
            session_pb2.Session,
            parents=("person_id",),
            indexes=[
                IndexModel([("owner_id", ASCENDING), ("create_time", -1), ("_id", -1)], name="by_owner_id"),
                IndexModel([("refresh_hash", ASCENDING)], name="by_refresh_hash", unique=True),
                IndexModel([("used_hashes", ASCENDING)], name="by_used_hashes"),
                IndexModel([("revoke_time", ASCENDING)], name="by_revoke_time", partialFilterExpression={"revoke_time": {"$exists": True}}),
                IndexModel([("expire_time", ASCENDING)], name="expire", expireAfterSeconds=86400),
            ],
        )

    def project(self, call: Call, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """An ended session is announced to everybody who verifies tokens."""
        if before and after.get("revoke_time") and not before.get("revoke_time"):
            touch(call)

    async def by_refresh_hash(self, call: Call, fingerprint: str) -> dict[str, Any] | None:
        """The session whose present or former refresh token this is."""
        query = {"$or": [{"refresh_hash": fingerprint}, {"used_hashes": fingerprint}]}
        return await call.database[self.resource].find_one({"$and": [query, self.reach(call, "read").filter()]})

    async def begin_attempt(self, call: Call, account: str, most: int = MOST_FAILURES) -> None:
        """Count an attempt before it is judged, so that many at once are not all tried; refuse it when there were too many.

        Counted at once, outside of any transaction, for the sign-in itself may be refused.
        """
        key = failures_key(call, account)
        window = call.now - timedelta(minutes=FAILURE_MINUTES)
        again = {"$inc": {"count": 1}}
        row = await call.database[FAILURES].find_one_and_update(
            {"_id": key, "time": {"$gt": window}}, again, return_document=ReturnDocument.AFTER
        )
        if row is None:
            try:
                await call.database[FAILURES].update_one(
                    {"_id": key, "time": {"$lte": window}}, {"$set": {"count": 1, "time": call.now}}, upsert=True
                )
            except DuplicateKeyError:
                row = await call.database[FAILURES].find_one_and_update({"_id": key}, again, return_document=ReturnDocument.AFTER)
        if row is not None and row["count"] > most:
            raise NotAllowed(f"too many failed sign-ins; wait {FAILURE_MINUTES} minutes", code="SIGN_IN_THROTTLED", retryable=True)

    async def forget_attempts(self, call: Call, account: str) -> None:
        """A right password ends the count."""
        await call.database[FAILURES].delete_one({"_id": failures_key(call, account)})

    async def take_back(self, call: Call, account: str) -> None:
        """An attempt that succeeded is none of those that are counted."""
        await call.database[FAILURES].update_one({"_id": failures_key(call, account), "count": {"$gt": 0}}, {"$inc": {"count": -1}})


def failures_key(call: Call, account: str) -> str:
    """Under what failed sign-ins are counted: the account itself is nobody's to read."""
    return call.vault.blind(f"account:{account}")
