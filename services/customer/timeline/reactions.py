"""Every department's facts become entries on their customer: one consumer for each department, on a queue of its own."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.messaging.envelope import Event
from chassis.messaging.models import Model
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage.aliases import CUSTOMER_ID
from services.customer.timeline.model import entry_of, sources
from services.customer.timeline.store import Timeline

# Facts about customers after which their entries are written anew.
FOLLOWED = ("CustomerAssigned", "CustomerHandedOver", "CustomerUpdated", "CustomerErased")


def reactions(timeline: Timeline) -> list[Reaction]:
    """The consumers of the timeline."""

    async def enter(call: Call, events: Sequence[Event]) -> None:
        entries = [entry for event in events if (entry := entry_of(event))]
        for entry in entries:
            call.aliases.place(entry, CUSTOMER_ID)
        customers = await timeline.customers(call, {entry["customer_id"] for entry in entries})
        for entry in entries:
            timeline.add(call, entry, customers.get(entry["customer_id"], {}))
        for identity, event in {
            event.aggregate_id: event for event in events if event.version > 1 and event.record.get("owner_id")
        }.items():
            timeline.move(call, identity, dict(event.record))
        for identity in {event.aggregate_id for event in events if event.name == "CustomerCreated"}:
            timeline.claim(call, identity, customers.get(identity, {}))
        for identity in {event.aggregate_id for event in events if event.name in FOLLOWED}:
            timeline.follow(call, identity, customers.get(identity, {}))

    async def look_again(call: Call, events: Sequence[Event]) -> None:
        await timeline.settle(call, [entry["_id"] for event in events if (entry := entry_of(event))])

    writes = (timeline.resource,)
    return [Reaction("timeline", department, tuple(told), enter, writes, after=look_again) for department, told in sources().items()]


def model(timeline: Timeline) -> Model:
    """The timeline, as it is folded anew."""
    return Model("timeline", timeline.resource, tuple(reactions(timeline)))
