"""StarService, which every department serves for the records that it owns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.common.v1 import star_service_pb2 as contract

from chassis.kernel.errors import NotFound
from chassis.rpc.call import Call
from chassis.rpc.service import Service
from chassis.storage import stars
from chassis.storage.records import Records

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["StarService"]


def service(stores: Sequence[Records]) -> Service:
    """The handlers, for the records of these stores."""
    starrable = {store.resource: store for store in stores if store.contract.traits.starrable}

    def store_of(resource: str) -> Records:
        if resource not in starrable:
            known = ", ".join(sorted(starrable)) or "none"
            raise NotFound(f"{resource} cannot be starred here; this department has {known}", field="resource")
        return starrable[resource]

    async def star(call: Call, request: Any) -> Any:
        store = store_of(request.resource)
        found = await store.read(call, stars.group(call.aliases, store.resource, request.record_id)[0], ("id",))
        if not await stars.among(call, store.resource, [found["_id"]]):
            await stars.has_room(call)
            stars.put(call, store.resource, found["_id"])
        return contract.StarRecordResponse(starred=True)

    async def unstar(call: Call, request: Any) -> Any:
        stars.remove(call, store_of(request.resource).resource, request.record_id)
        return contract.UnstarRecordResponse(starred=False)

    async def batch_get(call: Call, request: Any) -> Any:
        found = await stars.among(call, store_of(request.resource).resource, list(request.record_ids))
        return contract.BatchGetStarsResponse(starred_ids=found)

    return Service(DESCRIPTOR, {"StarRecord": star, "UnstarRecord": unstar, "BatchGetStars": batch_get}, {})
