"""When somebody's work is handed over, each department gives the records that they own to the successor, with history.

The batches commit by themselves and are found anew each time, so a killed process goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chassis.kernel.errors import Conflict, NotFound
from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage.records import Records

BATCH = 100
FACT = "PersonHandedOver"


def reaction(stores: Sequence[Records], own_call: Callable[[str], Call]) -> Reaction:
    """The consumer of handovers for these stores."""
    owned = [store for store in stores if "owner_id" in store.descriptor.fields_by_name]

    async def take_over(call: Call, events: Sequence[Event]) -> None:
        for event in events:
            if event.name == FACT:
                for store in owned:
                    await _all(own_call, store, _event(store), event)

    return Reaction("handover", "organization", ("Person",), take_over, tuple(store.resource for store in owned))


def _event(store: Records) -> Any:
    """The fact by which a change of owner is announced."""
    events = store.contract.events
    return getattr(events, f"{store.noun}Assigned", None) or getattr(events, f"{store.noun}Updated")


async def _all(own_call: Callable[[str], Call], store: Records, fact: Any, event: Event) -> None:
    while await _batch(own_call("handover"), store, fact, event) == BATCH:
        pass


async def _batch(call: Call, store: Records, fact: Any, event: Event) -> int:
    """The next records of the person; how many. Who hands over stands as the reason in the audit."""
    call.request_id, call.changes.correlation_id = event.correlation_id or event.id, event.correlation_id or event.id
    call.changes.reason = f"handed over by {event.actor_id}"
    rows = await store.opened(call, await call.database[store.resource].find({"owner_id": event.aggregate_id}).limit(BATCH).to_list())
    owner: dict[str, Any] = {}
    try:
        store.set_owner(call, owner, event.record["successor_id"])
    except NotFound as unknown:  # the directory comes in a moment; a successor who left meanwhile is an operator's business
        raise Conflict(unknown.message, code="BUSY") from None
    for row in rows:
        store.change(call, row, owner, fact, action="assign")
    await call.changes.commit()
    return len(rows)
