"""People in MongoDB."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from crm.organization.v1 import person_pb2
from pymongo import ASCENDING, DeleteMany, IndexModel, UpdateMany

from chassis.rpc.call import Call
from chassis.storage.ownership import OWNER_FIELDS
from chassis.storage.records import Records
from services.organization.access.administrators import must_remain
from services.organization.access.store import touch
from services.organization.people.model import every_role
from services.organization.preferences import store as preferences


class People(Records):
    """Persons; each change reaches the directory of all departments."""

    def __init__(self) -> None:
        super().__init__(
            person_pb2.Person,
            parents=("home_department_id",),
            indexes=[
                IndexModel([("provided_roles.identity_provider_id", ASCENDING)], name="by_provided_roles"),
                *(
                    IndexModel([(name, ASCENDING)], name=f"by_{name}")
                    for name in ("home_team_id", "roles", "role_definition_ids", "own_work_calendar_id")
                ),
                *(IndexModel([(name, ASCENDING)], name=f"by_{name}") for name in OWNER_FIELDS),
            ],
        )

    def derive(self, call: Call, document: dict[str, Any]) -> None:
        """A person is their own owner, in their own team and department: the scope «own» on people means oneself."""
        document |= {"owner_id": document["_id"], "department_id": document["home_department_id"]}
        document.pop("team_id", None)
        if document.get("home_team_id"):
            document["team_id"] = document["home_team_id"]

    def project(self, call: Call, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """A new revision of the directory; sessions of a person who left end, and what clients remembered for them is forgotten."""
        touch(call)
        if before and before["state"] == "ACTIVE" and (after["state"] == "LEFT" or set(every_role(before)) - set(every_role(after))):
            must_remain(call)
        if before and before["state"] == "ACTIVE" and after["state"] == "LEFT":
            self.end_sessions(call, after["_id"])
            preferences.forget(call, after["_id"])
            # Whoever comes back is linked anew: meanwhile the account may have become somebody else's.
            call.changes.write("identity_links", DeleteMany({"person_id": after["_id"]}))

    def end_sessions(self, call: Call, person_id: str) -> None:
        """End every living session of a person with this commit."""
        query = {"person_id": person_id, "revoke_time": None}
        call.changes.write("sessions", UpdateMany(query, {"$set": {"revoke_time": call.now}}))
        touch(call)

    def forget_failures(self, call: Call, person: dict[str, Any]) -> None:
        """A new password ends the count of failed sign-ins."""
        account = call.vault.blind(f"account:{person['email']}")
        for query in ({"_id": account}, {"account": account}):
            call.changes.write("sign_in_failures", DeleteMany(query))

    async def provided_by(self, call: Call, providers: Collection[str], most: int) -> list[dict[str, Any]]:
        """Some of the people who have roles from these identity providers."""
        query = {"$and": [{"provided_roles.identity_provider_id": {"$in": list(providers)}}, self.reach(call, "update").filter()]}
        cursor = call.database[self.resource].find(query, max_time_ms=call.milliseconds_left).limit(most)
        return await self.opened(call, await cursor.to_list())

    async def by_email(self, call: Call, email: str) -> dict[str, Any] | None:
        """The person who signs in with a mail address."""
        page = await self.page(call, {"condition": {"field": "email", "operator": "EQUALS", "values": [{"text": email}]}}, size=1)
        return page.rows[0] if page.rows else None
