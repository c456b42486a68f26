"""TimelineEntryService."""

from __future__ import annotations

from typing import Any

from crm.customer.v1 import timeline_entry_service_pb2

from chassis.rpc.call import Call
from chassis.rpc.documents import to_message
from chassis.rpc.handlers import groups, listing
from chassis.rpc.service import Service
from services.customer.timeline.store import Timeline

DESCRIPTOR = timeline_entry_service_pb2.DESCRIPTOR.services_by_name["TimelineEntryService"]


def service(timeline: Timeline) -> Service:
    """The handlers of the timeline."""
    method = DESCRIPTOR.methods_by_name["BatchListTimelineEntries"]

    async def batch_list(call: Call, request: Any) -> Any:
        ids = list(request.customer_ids)
        return groups(method, timeline.descriptor, ids, await timeline.of_customers(call, ids, listing(request)))

    async def batch_get(call: Call, request: Any) -> Any:
        found = await timeline.readable(call, request.ids, request.read_mask.paths)
        messages = [to_message(entry, timeline.descriptor) for entry in found.values()]
        missing = [identity for identity in dict.fromkeys(request.ids) if identity not in found]
        return timeline_entry_service_pb2.BatchGetTimelineEntriesResponse(timeline_entries=messages, missing_ids=missing)

    return Service(DESCRIPTOR, {method.name: batch_list, "BatchGetTimelineEntries": batch_get}, {}, timeline)
