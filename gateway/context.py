"""What one operation carries through the graph: the caller's token, the departments, and its loaders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any

from strawberry.dataloader import DataLoader

from chassis.kernel.ids import new_id
from gateway.clients import Clients

if TYPE_CHECKING:
    from gateway.live import Live

BATCH = 100


class Context:
    """One operation of one caller. Loaders live as long as the operation, so nothing is shared between callers."""

    def __init__(self, clients: Clients, live: Live, token: str = "", request_id: str = "") -> None:
        self.clients, self.live, self.token = clients, live, token
        self.request_id = request_id or new_id()
        self._loaders: dict[Hashable, DataLoader[str, Any]] = {}

    def forget(self) -> None:
        """Load everything anew from here on."""
        self._loaders.clear()

    def loader(self, key: Hashable, load: Callable[[list[str]], Awaitable[list[Any]]]) -> DataLoader[str, Any]:
        """The loader of an edge with its arguments: keys asked for in one turn of the loop go out in one call."""
        found = self._loaders.get(key)
        if found is None:
            found = DataLoader(load_fn=load, max_batch_size=BATCH)
            self._loaders[key] = found
        return found
