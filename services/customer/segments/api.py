"""SegmentService."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from crm.customer.v1 import segment_service_pb2

from chassis.access.fields import records_in
from chassis.rpc.call import Call
from chassis.rpc.handlers import groups, listing
from chassis.rpc.noun import Noun, handler
from chassis.rpc.service import Handler, Service
from services.customer.customers.store import Customers
from services.customer.segments import actions, model
from services.customer.segments.store import Segments

DESCRIPTOR = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]


def service(segments: Segments, customers: Customers) -> Service:
    """The handlers of segments and their members."""

    def membership(name: str, key: str) -> Any:
        method = DESCRIPTOR.methods_by_name[name]

        @handler
        async def batch_list(call: Call, request: Any) -> Any:
            ids = list(getattr(request, f"{key}s"))
            pages = await segments.members.of(call, key, ids, **listing(request))
            return groups(method, segments.members.descriptor, ids, await segments.readable(call, pages, reached=key == "segment_id"))

        return batch_list

    served = Noun(segments, model.check, partial(actions.permitted, customers)).serve(
        RestoreSegment=partial(actions.restore, segments),
        BatchListSegmentMembers=membership("BatchListSegmentMembers", "segment_id"),
        BatchListCustomerSegments=membership("BatchListCustomerSegments", "customer_id"),
    )
    return replace(served, handlers={name: _counting(segments, one) for name, one in served.handlers.items()})


def _counting(segments: Segments, handle: Handler) -> Handler:
    """A handler whose answer has, of each segment in it, the number of members that the caller may see."""

    async def counted(call: Call, request: Any) -> Any:
        answer = await handle(call, request)
        await segments.count(call, [record for resource, record in records_in(answer) if resource == segments.resource])
        return answer

    return counted
