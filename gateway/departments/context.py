"""What one operation carries through the graph: the caller's token, the departments, and its loaders."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from functools import partial

from crm.organization.v1 import person_service_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.kernel.ids import new_id
from chassis.observe import purpose
from gateway.departments.batching import Load, Loader
from gateway.departments.clients import Clients
from gateway.departments.language import ENGLISH, spoken
from gateway.departments.live import Live

_PEOPLE = person_service_pb2.DESCRIPTOR.services_by_name["PersonService"]


class Context:
    """One operation of one caller, for the purpose that the client gave, if any. Loaders live as long as the operation, so nothing is shared
    between callers. `key` is the client's idempotency key, `accepts` its Accept-Language. With `by_roles` records are looked at without
    sharing contracts."""

    def __init__(
        self,
        clients: Clients,
        live: Live,
        token: str = "",
        request_id: str = "",
        address: str = "",
        why: str = "",
        key: str = "",
        *,
        by_roles: bool = False,
        accepts: str = "",
    ) -> None:
        self.clients, self.live, self.token, self.address, self.by_roles = clients, live, token, address, by_roles
        self.request_id, self.purpose, self.key, self.accepts = request_id or new_id(), why, key, accepts
        self.person_id = ""  # who asks, once their token was verified
        self._loaders: dict[Hashable, Loader] = {}

    def nth(self, number: int) -> Context:
        """The context of one operation of a batch: the same request, nothing loaded yet."""
        key = f"{self.key}#{number}" if self.key else ""
        return Context(self.clients, self.live, self.token, self.request_id, self.address, self.purpose, key, accepts=self.accepts)

    async def language(self) -> str:
        """The language of refusals: the person's own, else one that the client accepts, else English."""
        own = await self.clients.locales.of(self.person_id, self._locale) if self.person_id else ""
        return own or spoken(self.accepts) or ENGLISH

    async def _locale(self, person_id: str) -> str:
        request = person_service_pb2.BatchGetPeopleRequest(ids=[person_id], read_mask=FieldMask(paths=["id", "locale"]))
        answer = await self.clients.read("organization", _PEOPLE, "BatchGetPeople", request, self.token, self.request_id)
        return next((person.locale for person in answer.people), "")

    def command_id(self, place: str) -> str:
        """The request id of a command that names none. With an idempotency key it follows from the key and the command's `place` in the
        operation, so that a repeated request repeats its commands."""
        return hashlib.sha256(f"{self.key}\n{place}".encode()).hexdigest()[:40] if self.key else new_id()

    def forget(self) -> None:
        """Load everything anew from here on."""
        self._loaders.clear()

    def loader(self, key: Hashable, load: Load) -> Loader:
        """The loader of a question with its arguments."""
        found = self._loaders.get(key)
        if found is None:
            merging = self.clients.merging
            found = self._loaders[key] = Loader(partial(merging.many, (self.token, purpose.purpose(), self.by_roles, key), load=load))
        return found
