"""Roles in MongoDB; each change reaches the directory of all departments."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import role_definition_pb2

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.organization.access.administrators import must_remain
from services.organization.access.store import touch


class Roles(Records):
    """Shipped roles and those of the company's own making."""

    def __init__(self) -> None:
        super().__init__(
            role_definition_pb2.RoleDefinition,
        )

    def project(self, call: Call, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """A new revision of the directory."""
        touch(call)
        if before and any(before.get(name) != after.get(name) for name in ("permissions", "archive_time")):
            must_remain(call)

    async def is_held(self, call: Call, role_id: str) -> bool:
        """Whether active people have the role."""
        held = [{name: role_id} for name in ("role_definition_ids", "provided_roles.role_definition_ids")]
        return await call.database["people"].find_one({"$or": held, "state": "ACTIVE"}, {"_id": 1}) is not None
