"""How much open work somebody holds in a department: asked before they leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm.common.v1 import work_service_pb2 as contract

from chassis.rpc.call import Call
from chassis.rpc.service import Service
from chassis.storage.records import Records

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["WorkService"]


def service(stores: Sequence[Records]) -> Service:
    """The handler of CountOpenWork, for those of the stores whose records can be work."""
    works = [store for store in stores if store.work]

    async def count(call: Call, request: Any) -> Any:
        found = []
        for store in works:
            held = store.strays([request.person_id])
            number = await call.database[store.resource].count_documents(held, maxTimeMS=call.milliseconds_left)
            if number:
                found.append(contract.OpenWork(resource=store.resource, count=number))
        return contract.CountOpenWorkResponse(work=found)

    return Service(DESCRIPTOR, {"CountOpenWork": count}, {})
