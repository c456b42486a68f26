"""What one operation carries through the graph: the caller's token, the departments, and its loaders."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from functools import partial

from chassis.kernel.ids import new_id
from chassis.observe import purpose
from gateway.departments.batching import Load, Loader
from gateway.departments.clients import Clients
from gateway.departments.live import Live


class Context:
    """One operation of one caller, for the purpose that the client gave, if any. Loaders live as long as the operation, so nothing is shared
    between callers. `key` is the client's idempotency key. With `by_roles` records are looked at without sharing contracts."""

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
    ) -> None:
        self.clients, self.live, self.token, self.address, self.by_roles = clients, live, token, address, by_roles
        self.request_id, self.purpose, self.key = request_id or new_id(), why, key
        self._loaders: dict[Hashable, Loader] = {}

    def nth(self, number: int) -> Context:
        """The context of one operation of a batch: the same request, nothing loaded yet."""
        key = f"{self.key}#{number}" if self.key else ""
        return Context(self.clients, self.live, self.token, self.request_id, self.address, self.purpose, key)

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
