"""Work that begins or ends, and collaborators who come or go, change who works with a customer."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.access.caller import Caller
from chassis.kernel.errors import NotAllowed
from chassis.messaging.envelope import Event
from chassis.messaging.models import Model
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.rpc.collaboration import COLLECTION
from chassis.storage.aliases import CUSTOMER_ID
from services.customer.accesses.model import begun, sources, work_of
from services.customer.accesses.store import WORK, Accesses, Document

WRITES = (COLLECTION, WORK, "customers")  # of a customer nothing but that it was looked at


def reactions(accesses: Accesses) -> list[Reaction]:
    """The consumers of work and of customers."""

    async def work(call: Call, announced: Sequence[Event]) -> None:
        await accesses.move(call, await _judged(accesses, call, announced))

    async def customers(call: Call, announced: Sequence[Event]) -> None:
        await accesses.renew(call, await accesses.concerned(call, {event.aggregate_id for event in announced}), {})

    # This department's own work is a consumer of its own: «accesses» of its facts follows customers.
    of_work = [
        Reaction("work" if department == "customer" else "accesses", department, tuple(nouns), work, WRITES)
        for department, nouns in sources().items()
    ]
    return [*of_work, Reaction("accesses", "customer", ("Customer",), customers, WRITES)]


def model(accesses: Accesses) -> Model:
    """Open work, as it is folded anew; who works with the customers of what was wrong is reckoned again."""

    async def work(call: Call, announced: Sequence[Event]) -> None:
        moved = await _judged(accesses, call, announced)
        before = await accesses.of_records(call, moved)
        for identity, after in moved.items():
            accesses.keep(call, identity, before.get(identity), after)

    async def renew(call: Call, differing: Sequence[Document]) -> None:
        await accesses.renew(call, {row["customer_id"] for row in differing}, {})

    folded = (Reaction("accesses", department, tuple(nouns), work, (WORK,)) for department, nouns in sources().items())
    return Model("work", WORK, tuple(folded), renew)


async def _judged(accesses: Accesses, call: Call, announced: Sequence[Event]) -> dict[str, Document | None]:
    """By record: the open work that it is after its last fact, with the mark of a guest's; each fact in its turn, for the mark is of the
    moment at which somebody got the work."""
    found: dict[str, Document | None] = dict(await accesses.of_records(call, {event.aggregate_id for event in announced}))
    told = [(event, work_of(sources()[event.department][event.aggregate.rsplit(".", 1)[1]], event.record)) for event in announced]
    for begins in filter(None, (work for _, work in told)):
        call.aliases.place(begins, CUSTOMER_ID)
    customers = await accesses.customers(call, {work["customer_id"] for _, work in told if work})
    for event, work in told:
        before = found.get(event.aggregate_id)
        invited = bool(work) and _invited(call, event.actor_id, customers.get((work or {})["customer_id"]))
        found[event.aggregate_id] = begun(work, before, invited=invited) if work else None
    return found


def _invited(call: Call, actor_id: str, customer: Document | None) -> bool:
    """Whether who did something with a customer reaches it by no role: whoever does reach it, services too, opens it to who gets the work."""
    member = call.directory.members.get(actor_id)
    if member is None or customer is None:
        return False
    caller = Caller(actor_id, member.roles, member.department_id, member.team_id)
    try:
        return not call.directory.reach(caller, "customers", "read").admits(customer)
    except NotAllowed:
        return False
