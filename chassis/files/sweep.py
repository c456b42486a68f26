"""The worker that deletes bytes which nobody will read: of uploads that did not end within a day, and of customers who were erased."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from chassis.files import model
from chassis.files.store import ATTACHMENTS, forget_bytes
from chassis.kernel.errors import CrmError
from chassis.rpc.call import Call
from chassis.storage.personal import SUBJECT_ERASED

log = logging.getLogger("crm.files")
BATCH = 100
LOOK_SECONDS = 60.0
Document = dict[str, Any]


class FileSweep:
    """Looks once a minute, in one replica at a time. Killed in between, it finds the same again."""

    def __init__(self, own_call: Callable[[str], Call]) -> None:
        self.own_call = own_call

    async def run(self) -> None:
        """Until cancelled; failures of the database are waited out."""
        while True:
            try:
                while await self.turn() == BATCH:
                    continue
            except (PyMongoError, CrmError, TimeoutError) as error:
                log.info("sweep of files waits", extra={"reason": str(error)[:200]})
            await asyncio.sleep(LOOK_SECONDS)

    async def turn(self) -> int:
        """The next ones; how many."""
        call = self.own_call("sweep files")
        table = call.database[ATTACHMENTS]
        late = {"state": model.UPLOADING, "create_time": {"$lt": call.now - model.UPLOAD}}
        for row in (unended := await table.find(late).hint("by_uploading").limit(BATCH).to_list()):
            await self._delete(row)
        gone = {SUBJECT_ERASED: True, "kept": True}
        for row in (erased := await table.find(gone, {"_id": 1}).hint("by_erased").limit(BATCH - len(unended)).to_list()):
            await self._empty(row["_id"])
        return len(unended) + len(erased)

    async def _delete(self, row: Document) -> None:
        """Delete an upload with its parts; one that was completed at this moment stays."""
        call = self.own_call("sweep files")
        forget_bytes(call.changes, row["_id"])
        call.changes.must_match(ATTACHMENTS, UpdateOne({"_id": row["_id"], "state": model.UPLOADING}, {"$set": {"touch": call.request_id}}))
        call.changes.audit(ATTACHMENTS, row["_id"], row["version"], "AttachmentSwept", {"received": [row["received"], None]}, call.now)

        async def delete(session: AsyncClientSession) -> None:
            await call.database[ATTACHMENTS].delete_one({"_id": row["_id"]}, session=session)

        call.changes.ensure("delete", delete)
        await call.changes.commit()

    async def _empty(self, attachment_id: str) -> None:
        call = self.own_call("sweep files")
        forget_bytes(call.changes, attachment_id)
        call.changes.write(ATTACHMENTS, UpdateOne({"_id": attachment_id}, {"$unset": {"kept": ""}}))
        await call.changes.commit()
