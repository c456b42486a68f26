"""The parts of the directory on the side that sends them: who makes each, and which of them a department does not hold yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from crm.common.v1 import access_pb2
from google.protobuf.message import Message

from chassis.storage.client import Database

LoadPart = Callable[[Database], Awaitable[Message]]
# A quarter of what one answer may weigh (chassis/rpc/server.py): beside that one part more fits in.
ENOUGH_BYTES = 1024 * 1024


class Parts:
    """Makes each part once a revision, however many departments ask for it at the same moment."""

    def __init__(self, loaders: Mapping[str, LoadPart]) -> None:
        self.loaders = loaders
        self._made: dict[str, access_pb2.DirectoryPart] = {}
        self._making = asyncio.Lock()

    async def differing(self, database: Database, revisions: Mapping[str, int], known: Mapping[str, int]) -> list[access_pb2.DirectoryPart]:
        """Of the parts that are asked for, those that have another revision than the one known, as many as one answer holds; at least one.
        `revisions` were read before, so a change in between is fetched next time."""
        found: list[access_pb2.DirectoryPart] = []
        for name, held in sorted(known.items()):
            revision = revisions.get(name, 0)
            if name not in self.loaders or revision == held:
                continue
            found.append(await self._of(database, name, revision))
            if sum(part.ByteSize() for part in found) > ENOUGH_BYTES:
                break
        return found

    async def _of(self, database: Database, name: str, revision: int) -> access_pb2.DirectoryPart:
        async with self._making:
            made = self._made.get(name)
            if made is None or made.revision != revision:
                made = access_pb2.DirectoryPart(name=name, revision=revision)
                made.content.Pack(await self.loaders[name](database))
                self._made[name] = made
            return made
