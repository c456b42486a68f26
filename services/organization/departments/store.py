"""Departments in MongoDB."""

from __future__ import annotations

from typing import Any

from crm.organization.v1 import department_pb2
from pymongo import ASCENDING, IndexModel, UpdateMany

from chassis.rpc.call import Call
from chassis.storage.records import Records
from services.organization.access.store import touch
from services.organization.departments.model import DEEPEST


class Departments(Records):
    """Units; each change reaches the directory of all departments."""

    def __init__(self) -> None:
        super().__init__(
            department_pb2.Department,
            parents=("parent_id",),
            indexes=[IndexModel([(name, ASCENDING)], name=f"by_{name}") for name in ("ancestor_ids", "own_work_calendar_id")],
        )

    def project(self, call: Call, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """A new revision of the directory; what stands below a unit that was moved stands below its new place."""
        touch(call)
        if before and before.get("ancestor_ids", []) != after.get("ancestor_ids", []):
            own = {"$slice": ["$ancestor_ids", {"$indexOfArray": ["$ancestor_ids", after["_id"]]}, DEEPEST]}
            moved = [{"$set": {"ancestor_ids": {"$concatArrays": [after.get("ancestor_ids", []), own]}}}]
            call.changes.write(self.resource, UpdateMany({"ancestor_ids": after["_id"]}, moved))

    async def below(self, call: Call, department_id: str) -> list[dict[str, Any]]:
        """The units below a unit, with their ancestors."""
        return await call.database[self.resource].find({"ancestor_ids": department_id}, {"ancestor_ids": 1}).to_list()

    async def is_person(self, call: Call, person_id: str) -> bool:
        """Whether there is such a person, active or not."""
        return await call.database["people"].find_one({"_id": person_id}, {"_id": 1}) is not None

    async def has_below(self, call: Call, department_id: str) -> bool:
        """Whether active people or units in use stand below."""
        if await call.database["people"].find_one({"home_department_id": department_id, "state": "ACTIVE"}, {"_id": 1}):
            return True
        if await call.database["people"].find_one({"home_team_id": department_id, "state": "ACTIVE"}, {"_id": 1}):
            return True
        return await call.database[self.resource].find_one({"parent_id": department_id, "archive_time": None}, {"_id": 1}) is not None
