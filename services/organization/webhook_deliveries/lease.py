"""One sender at a time, by a lease in the database: another replica takes over within five seconds of a death."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pymongo.errors import DuplicateKeyError

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.storage.client import Database

SECONDS = 5
_PAST = datetime(1970, 1, 1, tzinfo=UTC)


class Lease:
    """A right that one holder has at a time. Not shared between tasks."""

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name
        self.holder = new_id()
        self._renew_at = 0.0

    async def hold(self) -> bool:
        """Whether it is ours, taken or renewed when it is time. Ask more often than every two seconds."""
        moment = now()
        if self._renew_at > moment.timestamp():
            return True
        until = moment + timedelta(seconds=SECONDS)
        mine = {"_id": self.name, "$or": [{"holder": self.holder}, {"until": {"$lt": moment}}]}
        try:
            await self.database["leases"].update_one(mine, {"$set": {"holder": self.holder, "until": until}}, upsert=True)
        except DuplicateKeyError:
            self._renew_at = 0.0
            return False
        self._renew_at = until.timestamp() - SECONDS / 2
        return True

    async def release(self) -> None:
        """Let another replica take over at once."""
        self._renew_at = 0.0
        await self.database["leases"].update_one({"_id": self.name, "holder": self.holder}, {"$set": {"until": _PAST, "holder": ""}})
