"""API keys in MongoDB, found by their fingerprint; an ended one reaches the directory of all departments."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import api_key_pb2
from pymongo import ASCENDING, IndexModel

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.organization.access.store import touch


class ApiKeys(Records):
    """Keys of integrations."""

    def __init__(self) -> None:
        super().__init__(
            api_key_pb2.ApiKey,
            indexes=[
                IndexModel([("fingerprint", ASCENDING)], name="by_fingerprint", unique=True),
                IndexModel([("revoke_time", ASCENDING)], name="by_revoke_time", partialFilterExpression={"revoke_time": {"$exists": True}}),
            ],
        )

    def project(self, call: Call, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """An ended key is announced to everybody who verifies tokens."""
        if before:
            touch(call)

    async def by_fingerprint(self, call: Call, fingerprint: str) -> dict[str, Any] | None:
        """The key of a fingerprint."""
        return await call.database[self.resource].find_one({"$and": [{"fingerprint": fingerprint}, self.reach(call, "read").filter()]})
