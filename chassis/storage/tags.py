"""Tags in MongoDB: an index, and which tags there are within the caller's reach."""

from __future__ import annotations

import re
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import ExecutionTimeout

from chassis.rpc.call import Call
from chassis.storage.aggregates import MOST_RECORDS, Aggregated

FIELD = "tags"
INDEX = IndexModel([(FIELD, ASCENDING)], name="by_tags")


class Tagged(Aggregated):
    """The part of a store that tells which tags its records have."""

    async def tags(self, call: Call, contains: str, limit: int) -> list[tuple[str, int]]:
        """(tag, records in use that have it), most first, of what roles and collaboration open: of 20,000 records where more have such tags.
        Raises NotAllowed (FIELD_NOT_READABLE) where the caller does not get tags."""
        self.must_read(call, [FIELD])
        asked: dict[str, Any] = {FIELD: {"$regex": re.escape(contains), "$options": "i"} if contains else {"$gt": ""}}
        pipeline: list[dict[str, Any]] = [
            {"$match": {"$and": [asked, self._query(call, self._by_roles(call), None, {}, FIELD)]}}, {"$limit": MOST_RECORDS},
            {"$project": {FIELD: 1}}, {"$unwind": f"${FIELD}"}, {"$match": asked},
            {"$group": {"_id": f"${FIELD}", "count": {"$sum": 1}}}, {"$sort": {"count": -1, "_id": 1}}, {"$limit": limit},
        ]  # fmt: skip
        try:
            return [(row["_id"], row["count"]) for row in await self._asked(call, pipeline, None)]
        except ExecutionTimeout:
            raise self._too_wide("aggregate.slow") from None
