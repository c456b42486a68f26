"""Segments are kept current by facts: a changed customer is judged anew, a new segment is filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chassis.kernel.errors import Conflict
from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from services.customer.customers.store import Customers
from services.customer.segments import model
from services.customer.segments.store import Segments

BATCH = 200
# Facts after which a customer may be somebody else's.
MOVED = ("CustomerAssigned", "CustomerHandedOver", "CustomerUpdated")
Document = dict[str, Any]
OwnCall = Callable[[str], Call]


def reactions(segments: Segments, customers: Customers, own_call: OwnCall) -> list[Reaction]:
    """The consumers of the segments."""

    async def judge(call: Call, announced: Sequence[Event]) -> None:
        """Compare each changed customer, as it is now, with every segment. Costs the same however many customers there are."""
        ids = list({event.aggregate_id for event in announced})
        found = await customers.batch_get(call, ids)
        active = await segments.active(call)
        stored = await segments.memberships(call, found)
        for segment in active:
            belongs = model.belongs(segment)
            for identity, customer in found.items():
                before = stored.get(model.member_id(segment["_id"], identity))
                inside = bool(before) and not (before or {}).get("leave_time")
                if belongs(customer) and not inside:
                    segments.enter(call, segment["_id"], customer, before)
                elif inside and before and not belongs(customer):
                    segments.leave(call, before, customer)
        for identity in {event.aggregate_id for event in announced if event.name in MOVED} & set(found):
            segments.set_owner_of(call, found[identity])

    async def build(call: Call, announced: Sequence[Event]) -> None:
        """Fill segments whose criteria are new. The batches commit by themselves and may be repeated; the last mark is this commit."""
        for identity in {
            event.aggregate_id for event in announced if event.name in ("SegmentCreated", "SegmentUpdated", "SegmentRestored")
        }:
            segment = await call.database[segments.resource].find_one({"_id": identity})
            if segment is None or segment.get("archive_time") or segment.get("built_criteria") == segment["criteria"]:
                continue
            await _fill(segments, own_call, segment)
            fresh = await call.database[segments.resource].find_one({"_id": identity})
            if fresh is not None and fresh["criteria"] == segment["criteria"]:
                # No version of its own: who edits the segment meanwhile has not been overtaken by anybody.
                call.changes.update(segments.resource, fresh, {**fresh, "state": "READY", "built_criteria": fresh["criteria"]})

    writes = (segments.resource, segments.members.resource)
    return [
        Reaction("segments", "customer", ("Customer",), judge, writes),
        Reaction("segment-builds", "customer", ("Segment",), build, writes),
    ]


async def _fill(segments: Segments, own_call: OwnCall, segment: Document) -> None:
    belongs = model.belongs(segment)
    async for batch in segments.matching(own_call("segments:fill"), segment, BATCH):
        await _batch(segments, own_call, segment, batch)
    async for members in segments.no_longer(own_call("segments:fill"), segment["_id"], BATCH):
        call = own_call("segments:fill")
        for member in members:
            customer = member.pop("customer")
            if not belongs(customer):
                segments.leave(call, member, customer)
        await _settle(call)


async def _batch(segments: Segments, own_call: OwnCall, segment: Document, batch: list[Document]) -> None:
    call = own_call("segments:fill")
    stored = await segments.memberships(call, [customer["_id"] for customer in batch], segment["_id"])
    for customer in batch:
        before = stored.get(model.member_id(segment["_id"], customer["_id"]))
        if before is None or before.get("leave_time"):
            segments.enter(call, segment["_id"], customer, before)
    await _settle(call)


async def _settle(call: Call) -> None:
    """Commit; a conflict means that the judging reaction was faster, and the whole build is run again by its redelivery."""
    try:
        await call.changes.commit()
    except Conflict as conflict:
        raise TimeoutError("segment build overtaken; runs again") from conflict
