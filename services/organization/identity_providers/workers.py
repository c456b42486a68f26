"""Takes the roles away that came from providers which are out of use. They count no more from the archiving on (the directory leaves them
out); here the records follow, some people a commit, so that a provider of everybody's is archived as fast as one of nobody's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crm.organization.v1 import person_events_pb2

from chassis.rpc.call import Call
from services.organization.identity_providers import model
from services.organization.identity_providers.store import IdentityProviders
from services.organization.people.store import People

PAUSE_SECONDS = 1.0
BATCH = 100


class ProvidedRolesEnd:
    """The worker, in one replica at a time; two beside each other would do no harm: the version of a person lets one of them through."""

    def __init__(self, providers: IdentityProviders, people: People, own_call: Callable[[str], Call]) -> None:
        self.providers, self.people, self.own_call = providers, people, own_call

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if not await self.end_some():
                await asyncio.sleep(PAUSE_SECONDS)

    async def end_some(self) -> int:
        """A batch in one commit; how many people lost roles. It reads anew each time: a provider may be restored meanwhile."""
        call = self.own_call("end_provided_roles")
        call.changes.reason = "the identity provider that gave the roles is out of use"
        gone = await self.providers.out_of_use(call)
        people = await self.people.provided_by(call, gone, BATCH) if gone else []
        for person in people:
            left = model.still_provided(person, gone)
            self.people.change(call, person, {"provided_roles": left or None}, person_events_pb2.PersonRolesProvided)
        await call.changes.commit()
        return len(people)
