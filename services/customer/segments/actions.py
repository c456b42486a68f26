"""What can be done with a segment beside the standard verbs."""

from __future__ import annotations

from typing import Any

from crm.customer.v1 import segment_events_pb2 as events

from chassis.access.caller import lacking
from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from services.customer.customers.store import Customers
from services.customer.segments import model
from services.customer.segments.store import Segments

Document = dict[str, Any]


async def permitted(customers: Customers, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: criteria ask of customers, so they are for who may read customers, and may name only fields that the caller may read: who
    is in a segment tells what a field holds."""
    if not call.directory.allows(call.caller, customers.resource, "read"):
        refusal = lacking(customers.resource, "read")
        refusal.field = "criteria"
        return [refusal] * len(batch)
    known = customers.filterable(call)
    return [model.criteria_refusal(segment, known) for segment in batch]


async def restore(segments: Segments, call: Call, *, segment_id: str, version: int | None = None) -> Document:
    """Take back into use; customers have changed meanwhile, so the members are collected anew."""
    before = await segments.get(call, segment_id, "archive")
    segments.checked_version(before, version)
    if not before.get("archive_time"):
        return before
    values = {"archive_time": None, "built_criteria": None, "state": "BUILDING"}
    return segments.change(call, before, values, events.SegmentRestored)
