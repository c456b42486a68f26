"""What a caller with a stale version is told beside the refusal: the present version, and which fields changed since."""

from __future__ import annotations

from pymongo import DESCENDING

from chassis.access.caller import HIDDEN, WRITE
from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from chassis.storage.changes import AUDIT

MOST_CHANGES = 50  # looked at; who is further behind gets the fields of the newest


async def complete(call: Call, refusal: CrmError) -> None:
    """Add `changed_fields` to the details of a refusal by version: those that the caller may see, in the order of the contract's names."""
    of = refusal.stale
    if of is None:
        return
    resource, record_id, seen = of
    query = {"record_id": record_id, "resource": resource, "version": {"$gt": seen}}
    cursor = call.database[AUDIT].find(query, {"changed": 1}, max_time_ms=call.milliseconds_left)
    rows = await cursor.sort([("time", DESCENDING), ("_id", DESCENDING)]).limit(MOST_CHANGES).to_list()
    limits = call.limits(resource)
    names = {name for row in rows for name in row["changed"] if limits.get(name, WRITE) > HIDDEN}
    refusal.details["changed_fields"] = sorted(names)
