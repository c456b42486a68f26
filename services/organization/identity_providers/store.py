"""Identity providers in MongoDB."""

from __future__ import annotations

from crm.organization.v1 import identity_provider_pb2

from chassis.rpc.call import Call
from chassis.storage.records import Document, Records
from services.organization.access.administrators import must_remain
from services.organization.access.store import touch


class IdentityProviders(Records):
    """Providers through which people sign in; whether one is in use reaches the directory of all departments."""

    def __init__(self) -> None:
        super().__init__(identity_provider_pb2.IdentityProvider)

    def project(self, call: Call, before: Document | None, after: Document) -> None:
        """A new revision of the directory when a provider goes out of use or comes back: the roles that it gave count no more, or again."""
        if before and before.get("archive_time") != after.get("archive_time"):
            touch(call)
            must_remain(call)

    async def in_use_by_id(self, call: Call, provider_id: str) -> Document | None:
        """A provider in use; None when there is none."""
        found = (await self.batch_get(call, [provider_id])).get(provider_id)
        return None if found is None or found.get("archive_time") else found

    async def out_of_use(self, call: Call) -> frozenset[str]:
        """The providers that are archived."""
        query = {"$and": [{"archive_time": {"$ne": None}}, self.reach(call, "read").filter()]}
        cursor = call.database[self.resource].find(query, {"_id": 1}, max_time_ms=call.milliseconds_left)
        return frozenset([row["_id"] async for row in cursor])
