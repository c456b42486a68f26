"""Pipelines in MongoDB. At most one of them is the default: an index says so."""

from __future__ import annotations

from typing import Any

from crm.sales.v1 import pipeline_pb2
from pymongo import ASCENDING, IndexModel

from chassis.rpc.call import Call
from chassis.storage.records import Records

ONE_DEFAULT = IndexModel([("is_default", ASCENDING)], name="one_default", unique=True, partialFilterExpression={"is_default": True})


class Pipelines(Records):
    """The ways that opportunities go."""

    def __init__(self) -> None:
        super().__init__(pipeline_pb2.Pipeline, indexes=[ONE_DEFAULT])

    @property
    def duplicate_codes(self) -> dict[str, tuple[str, str]]:
        """Also the index that allows one default only."""
        return super().duplicate_codes | {"one_default": ("ALREADY_EXISTS", "is_default")}

    async def default(self, call: Call) -> dict[str, Any] | None:
        """The default pipeline."""
        return await call.database[self.resource].find_one({"is_default": True, "archive_time": None})

    async def has_open(self, call: Call, pipeline_id: str) -> bool:
        """Whether open opportunities stand in it."""
        return await call.database["opportunities"].find_one({"pipeline_id": pipeline_id, "state": "OPEN"}, {"_id": 1}) is not None

    async def stage_in_use(self, call: Call, pipeline_id: str, keys: set[str]) -> str | None:
        """One of the stages in which open opportunities stand."""
        query = {"pipeline_id": pipeline_id, "state": "OPEN", "stage_key": {"$in": sorted(keys)}}
        row = await call.database["opportunities"].find_one(query, {"stage_key": 1})
        return str(row["stage_key"]) if row else None
