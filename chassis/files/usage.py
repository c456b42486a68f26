"""How much room the files of a department take, and how much they may."""

from __future__ import annotations

import time
from typing import Any

from pymongo import ASCENDING, IndexModel

from chassis.files import model
from chassis.storage.client import Database

# The sum is read from the index alone.
INDEX = IndexModel([("kept", ASCENDING), ("size", ASCENDING)], name="by_kept_size", partialFilterExpression={"kept": True})
LOOK_SECONDS = 10.0


class Usage:
    """Bytes of all files that are kept, replaced, archived and coming ones too; `most` is the bound.

    They are summed once in ten seconds at most, and what this process announces meanwhile is added: so replicas may together go beyond the bound
    by what is announced in that time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._known, self._looked = 0, float("-inf")

    async def bytes(self, database: Database, milliseconds: int) -> int:
        """What is kept, not older than ten seconds. Previews are not counted."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            summed: list[dict[str, Any]] = [{"$match": {"kept": True}}, {"$group": {"_id": None, "size": {"$sum": "$size"}}}]
            found = await (await database["attachments"].aggregate(summed, hint="by_kept_size", maxTimeMS=milliseconds)).to_list()
            self._known, self._looked = int(found[0]["size"]) if found else 0, time.monotonic()
        return self._known

    async def take(self, database: Database, size: int, milliseconds: int) -> None:
        """Room for one more file. Raises WrongState ATTACHMENTS_FULL."""
        model.has_space(await self.bytes(database, milliseconds), size, self.most)
        self._known += size
