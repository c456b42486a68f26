"""Work that begins or ends, and collaborators who come or go, change who works with a customer."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.rpc.collaboration import COLLECTION
from services.customer.accesses.model import work_of
from services.customer.accesses.store import WORK, Accesses

_RESOURCES = {"Opportunity": "opportunities", "Order": "orders", "Ticket": "tickets"}
WRITES = (COLLECTION, WORK)


def reactions(accesses: Accesses) -> list[Reaction]:
    """The consumers of work and of customers."""

    async def work(call: Call, announced: Sequence[Event]) -> None:
        newest = {event.aggregate_id: event for event in announced}
        await accesses.move(
            call, {identity: work_of(_RESOURCES[event.aggregate.rsplit(".", 1)[1]], event.record) for identity, event in newest.items()}
        )

    async def customers(call: Call, announced: Sequence[Event]) -> None:
        await accesses.renew(call, {event.aggregate_id for event in announced}, {})

    return [
        Reaction("accesses", "sales", ("Opportunity", "Order"), work, WRITES),
        Reaction("accesses", "support", ("Ticket",), work, WRITES),
        Reaction("accesses", "customer", ("Customer",), customers, WRITES),
    ]
