"""Sessions in MongoDB, found by the fingerprint of their refresh token; and the count of failed sign-ins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from crm.organization.v1 import session_pb2
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.organization.access.store import touch
from services.organization.sessions.model import FAILURE_MINUTES, FREE_GUESSES, LONGEST_WAIT_SECONDS, throttled

FAILURES = "sign_in_failures"
FAILURES_INDEXES = [
    IndexModel([("time", ASCENDING)], name="expire", expireAfterSeconds=FAILURE_MINUTES * 60),
    IndexModel([("account", ASCENDING)], name="by_account"),
]


_ATTEMPTS = 5


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

    async def take_turn(self, call: Call, account: str, place: str) -> None:
        """Count a guess at an account from a place before it is judged, so that many at once are not all tried; refuse it where its time
        has not come: the refused one is not counted. Raises SIGN_IN_THROTTLED.

        Counted at once, outside of any transaction, for the sign-in itself may be refused. `time` is when the next guess is heard.
        """
        key = call.vault.blind(f"guesses:{account}\n{place}")
        for _ in range(_ATTEMPTS):
            try:
                await call.database[FAILURES].update_one(
                    {"_id": key, "time": {"$lte": call.now}}, self._counted(call, account), upsert=True
                )
                return
            except DuplicateKeyError:
                row = await call.database[FAILURES].find_one({"_id": key})
                if row and row["time"] > call.now:
                    raise throttled((row["time"] - call.now).total_seconds()) from None
        raise throttled(1)

    def _counted(self, call: Call, account: str) -> list[dict[str, Any]]:
        """One more guess, and when the next one is heard: the first few at once, also those that come at the same moment."""
        beyond = {"$subtract": ["$count", FREE_GUESSES]}
        seconds = {"$min": [{"$pow": [2, beyond]}, LONGEST_WAIT_SECONDS]}
        wait = {"$cond": [{"$gt": [beyond, 0]}, {"$toLong": {"$multiply": [seconds, 1000]}}, -1000]}
        return [
            {"$set": {"account": failures_key(call, account), "count": {"$add": [{"$ifNull": ["$count", 0]}, 1]}}},
            {"$set": {"time": {"$add": [call.now, wait]}}},
        ]

    async def forget_guesses(self, call: Call, account: str, place: str) -> None:
        """A right password ends the count of the place from which it came."""
        await call.database[FAILURES].delete_one({"_id": call.vault.blind(f"guesses:{account}\n{place}")})

    async def count(self, call: Call, account: str, most: int) -> None:
        """Count one more of the last FAILURE_MINUTES. Raises SIGN_IN_THROTTLED beyond the most."""
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
            raise throttled((row["time"] - window).total_seconds())

    async def take_back(self, call: Call, account: str) -> None:
        """An attempt that succeeded is none of those that are counted."""
        await call.database[FAILURES].update_one({"_id": failures_key(call, account), "count": {"$gt": 0}}, {"$inc": {"count": -1}})


def failures_key(call: Call, account: str) -> str:
    """Under what failed sign-ins are counted: the account itself is nobody's to read."""
    return call.vault.blind(f"account:{account}")
