"""Segments are kept current by facts and by time: a changed customer is judged anew, and so is one at the moment at which it comes in or goes
out by time alone; a new segment is filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from chassis.kernel.errors import Conflict
from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.runtime.timers import Fire, Timer
from services.customer.customers.store import Customers
from services.customer.segments import model
from services.customer.segments.store import FLIP, Segments

BATCH, ROUNDS = 200, 10
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
        judges = [model.Judge.of(segment, call.when) for segment in await segments.active(call)]
        stored = await segments.memberships(call, found)
        for customer in found.values():
            _keep(segments, call, judges, stored, customer)
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
            await fill(segments, own_call, segment)
            fresh = await call.database[segments.resource].find_one({"_id": identity})
            if fresh is not None and fresh["criteria"] == segment["criteria"]:
                # No version of its own: who edits the segment meanwhile has not been overtaken by anybody.
                call.changes.update(segments.resource, fresh, {**fresh, "state": "READY", "built_criteria": fresh["criteria"]})

    writes = (segments.resource, segments.members.resource)
    return [
        Reaction("segments", "customer", ("Customer",), judge, (*writes, customers.resource)),
        Reaction("segment-builds", "customer", ("Segment",), build, writes),
    ]


def time_passing(segments: Segments, customers: Customers) -> Timer:
    """Judges customers at the moment at which they come into a segment or go out by time alone."""

    async def prepare(call: Call, due: Sequence[Document]) -> Fire:
        all_of_them = [model.Judge.of(segment, call.when) for segment in await segments.active(call)]
        judges = [judge for judge in all_of_them if judge.flips]
        stored = await segments.memberships(call, [customer["_id"] for customer in due])

        async def fire(one: Call, customer: Document) -> None:
            segments.waited(one, customer, _judge(segments, one, judges, stored, customer))

        return fire

    return Timer("segments", customers, FLIP, {}, prepare=prepare, opened=False)


def _judge(
    segments: Segments, call: Call, judges: Sequence[model.Judge], stored: Mapping[str, Document], customer: Document
) -> datetime | None:
    """Let a customer into segments and out of them, as it is now; when time alone would next do so."""
    turns = []
    for judge in judges:
        before = stored.get(model.member_id(judge.segment_id, customer["_id"]))
        inside, belongs = before is not None and not before.get("leave_time"), judge.belongs(customer)
        if belongs and not inside:
            segments.enter(call, judge.segment_id, customer, before)
        elif before and inside and not belongs:
            segments.leave(call, before, customer)
        turns.append(judge.next(customer))
    return min((turn for turn in turns if turn), default=None)


def _keep(segments: Segments, call: Call, judges: Sequence[model.Judge], stored: Mapping[str, Document], customer: Document) -> None:
    """Judge a customer, and keep when to do so again."""
    if turn := _judge(segments, call, judges, stored, customer):
        segments.wait(call, customer["_id"], turn)


async def fill(segments: Segments, own_call: OwnCall, segment: Document) -> None:
    """Judge all whom the criteria concern, and all who are in it; each batch at its own moment."""
    async for batch in segments.concerned(own_call("segments:fill"), segment, BATCH):
        await _filled(segments, own_call, segment, batch)
    async for batch in segments.no_longer(own_call("segments:fill"), segment["_id"], BATCH):
        await _filled(segments, own_call, segment, batch)


async def _filled(segments: Segments, own_call: OwnCall, segment: Document, customers: Sequence[Document]) -> None:
    """Judge these customers, and again those that changed between their being read and the commit: the reaction to that may have found no
    membership, so it wrote nothing with which this could meet."""
    for again in range(ROUNDS):
        call = own_call("segments:fill")
        stored = await segments.memberships(call, [customer["_id"] for customer in customers], segment["_id"])
        judges = [model.Judge.of(segment, call.when)]
        for customer in customers:
            _keep(segments, call, judges, stored, customer)
            if again:
                segments.set_owner_of(call, customer)
        await _settle(call)
        if not (customers := await segments.changed(call, customers)):
            return
    raise TimeoutError("customers change again and again; the segment build runs again")


async def _settle(call: Call) -> None:
    """Commit; a conflict means that the judging reaction was faster, and the whole build is run again by its redelivery."""
    try:
        await call.changes.commit()
    except Conflict as conflict:
        raise TimeoutError("segment build overtaken; runs again") from conflict
