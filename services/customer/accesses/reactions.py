"""Work that begins or ends, and collaborators who come or go, change who works with a customer."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.messaging.envelope import Event
from chassis.messaging.models import Model
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.rpc.collaboration import COLLECTION
from services.customer.accesses.model import sources, work_of
from services.customer.accesses.store import WORK, Accesses, Document

WRITES = (COLLECTION, WORK)


def reactions(accesses: Accesses) -> list[Reaction]:
    """The consumers of work and of customers."""

    async def work(call: Call, announced: Sequence[Event]) -> None:
        await accesses.move(call, _moved(announced))

    async def customers(call: Call, announced: Sequence[Event]) -> None:
        await accesses.renew(call, {event.aggregate_id for event in announced}, {})

    # This department's own work is a consumer of its own: «accesses» of its facts follows customers.
    of_work = [
        Reaction("work" if department == "customer" else "accesses", department, tuple(nouns), work, WRITES)
        for department, nouns in sources().items()
    ]
    return [*of_work, Reaction("accesses", "customer", ("Customer",), customers, WRITES)]


def model(accesses: Accesses) -> Model:
    """Open work, as it is folded anew; who works with the customers of what was wrong is reckoned again."""

    async def work(call: Call, announced: Sequence[Event]) -> None:
        moved = _moved(announced)
        before = await accesses.of_records(call, moved)
        for identity, after in moved.items():
            accesses.keep(call, identity, before.get(identity), after)

    async def renew(call: Call, differing: Sequence[Document]) -> None:
        await accesses.renew(call, {row["customer_id"] for row in differing}, {})

    folded = (Reaction("accesses", department, tuple(nouns), work, (WORK,)) for department, nouns in sources().items())
    return Model("work", WORK, tuple(folded), renew)


def _moved(announced: Sequence[Event]) -> dict[str, Document | None]:
    """By record: the open work that it is after its last fact."""
    newest = {event.aggregate_id: event for event in announced}
    return {
        identity: work_of(sources()[event.department][event.aggregate.rsplit(".", 1)[1]], event.record)
        for identity, event in newest.items()
    }
