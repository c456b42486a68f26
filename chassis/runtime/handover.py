"""No work without somebody who does it: when a person hands over or leaves, each department gives the records that they own to the successor,
with history; what somebody owns stands where they stand; and what is open and still, or again, in the name of somebody who has left finds who comes after them.

The batches commit by themselves and are found anew each time, so a killed process goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.kernel.errors import Conflict
from chassis.messaging.envelope import Event
from chassis.messaging.reactions import Reaction
from chassis.rpc.call import Call
from chassis.storage import stars
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID
from chassis.storage.records import Document, Records

BATCH = 100
LOOK_SECONDS = 5.0
GIVEN, MOVED = ("PersonHandedOver", "PersonLeft"), ("PersonUpdated", "PersonReturned")
MakeCall = Callable[[str], Call]


def reaction(stores: Sequence[Records], own_call: MakeCall) -> Reaction:
    """The consumer of handovers for these stores. Who left keeps no star."""
    owned = [store for store in stores if "owner_id" in store.descriptor.fields_by_name]

    async def take_over(call: Call, events: Sequence[Event]) -> None:
        for event in events:
            if event.record.get("state") == "LEFT":
                stars.forget_person(call, event.aggregate_id, event.time)
            for store in owned:
                if event.name in GIVEN and event.record.get("successor_id"):
                    await _all(own_call, store, event, {"owner_id": event.aggregate_id}, {event.aggregate_id: event.record["successor_id"]})
                elif event.name in MOVED:
                    await _follow(own_call, store, event)

    return Reaction("handover", "organization", ("Person",), take_over, (stars.COLLECTION, *(store.resource for store in owned)))


def along(stores: Sequence[Records], own_call: MakeCall) -> list[Reaction]:
    """The consumer of customers that are given to somebody together with what the owner of before has still to do for them; none where
    nothing of a department is work for a customer."""
    works = [store for store in stores if store.work and store.customer_key == "customer_id"]

    async def move(call: Call, events: Sequence[Event]) -> None:
        for event in events:
            if event.name == "CustomerHandedOver":
                for store in works:
                    former, successor = event.record["former_owner_id"], event.record["owner_id"]
                    held = store.strays([former]) | work_for(call.aliases.below(event.aggregate_id))
                    await _all(own_call, store, event, held, {former: successor})

    return [Reaction("handover", "customer", ("Customer",), move, tuple(store.resource for store in works))] if works else []


def work_for(ids: Sequence[str]) -> Document:
    """The filter of what is for a customer or for its parts (`ids`): also what was not brought to it yet, and what is another one's by now."""
    return {"$or": [{name: {"$in": list(ids)}} for name in (CUSTOMER_ID, CUSTOMER_ALIAS)]}


async def _all(own_call: MakeCall, store: Records, event: Event, query: Document, to: Mapping[str, str]) -> None:
    while True:
        call = _because(own_call, event, "handed over")
        taken = {former: _successor(call, named) for former, named in to.items()}
        if await _give(call, store, query, taken) < BATCH:
            return


def _because(own_call: MakeCall, event: Event, what: str) -> Call:
    """The department's own call, in the line of what caused it; who did that stands as the reason in the audit."""
    call = own_call("handover")
    call.request_id = call.changes.correlation_id = event.correlation_id or event.id
    call.changes.reason = f"{what} by {event.actor_id}"
    return call


async def _follow(own_call: MakeCall, store: Records, event: Event) -> None:
    """What somebody owns comes into their team and department, as the fact tells them: the directory may be of before or after."""
    place = {"team_id": event.record.get("home_team_id") or None, "department_id": event.record.get("home_department_id") or None}
    elsewhere = {"owner_id": event.aggregate_id, "$or": [{name: {"$ne": value}} for name, value in place.items()]}
    while True:
        call = _because(own_call, event, "the owner was moved")
        rows = await store.opened(call, await call.database[store.resource].find(elsewhere).limit(BATCH).to_list())
        for row in rows:
            store.change(call, row, place, announced(store), action="assign")
        await call.changes.commit()
        if len(rows) < BATCH:
            return


def _successor(call: Call, named: str) -> str:
    """The successor, or who came after them where they have left meanwhile. Raises Conflict where the directory knows nobody yet."""
    found = named if not call.directory.has_left(named) else call.directory.substitute(named, call.now)
    if found not in call.directory.members:
        raise Conflict(f"nobody takes over from «{named}» yet; name another successor (personHandOver)", code="BUSY")
    return found


async def _give(call: Call, store: Records, query: Document, to: Mapping[str, str]) -> int:
    """The next records of a query in one commit; how many."""
    rows = await store.opened(call, await call.database[store.resource].find(query).limit(BATCH).to_list())
    for row in rows:
        owner: Document = {}
        store.set_owner(call, owner, to[row["owner_id"]])
        store.change(call, row, owner, announced(store), action="assign")
    await call.changes.commit()
    return len(rows)


def announced(store: Records) -> Any:
    """The fact by which a change of owner is announced."""
    events = store.contract.events
    return getattr(events, f"{store.noun}Assigned", None) or getattr(events, f"{store.noun}Updated")


@dataclass(frozen=True)
class Strays:
    """The worker that looks for open work of people who have left, in one replica at a time: what was given to somebody at the moment when they
    left (another replica may have known them as active for two seconds), and what was left lying before there was a rule."""

    stores: Sequence[Records]
    own_call: MakeCall

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Everything that there is now, a batch a commit. What has nobody to go to stays, and the doctor counts it."""
        directory = self.own_call("strays").directory
        left = (identity for identity, member in directory.members.items() if not member.active)
        takers = {identity: taker for identity in left if (taker := directory.substitute(identity))}
        for store in self.stores if takers else ():
            while store.work and await self._bring_home(store, takers) == BATCH:
                pass

    async def _bring_home(self, store: Records, takers: Mapping[str, str]) -> int:
        call = self.own_call("strays")
        call.changes.reason = "the owner has left"
        return await _give(call, store, store.strays(list(takers)), takers)
