"""Reads of personal data, in the audit: who got which personal fields of which records unmasked, and what for.

One entry for each call, written a moment after the answer, many at once, so that no read waits for it. A killed process loses what
it noted in its last quarter of a second; whoever cannot write the entries soon cannot read personal data either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import BulkWriteError

from chassis.access.caller import READ, WRITE
from chassis.access.fields import records_in, resource_of
from chassis.kernel.ids import new_id
from chassis.observe.purpose import purpose
from chassis.rpc.call import Call
from chassis.rpc.documents import personal_fields
from chassis.storage.changes import AUDIT
from chassis.storage.client import Database

ACTION = "PersonalDataRead"
INDEX = IndexModel(
    [("read_ids", ASCENDING), ("time", DESCENDING), ("_id", DESCENDING)], name="by_read_id", partialFilterExpression={"action": ACTION}
)
FLUSH_SECONDS = 0.25
MOST_WAITING = 2000
_DUPLICATE = 11000


class Reads:
    """The reads of one department that wait to be written. `run` until cancelled, then `flush`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiting: list[dict[str, Any]] = []
        self._noted, self.written = asyncio.Event(), asyncio.Event()

    async def note(self, call: Call, answer: Message) -> None:
        """Note what of an answer, as its reader gets it, is personal. Waits only where too much is noted already."""
        seen = [*call.seen, *personal_in(call, answer)] if holds_personal(answer.DESCRIPTOR) else call.seen
        self._waiting += _entries(call, seen)
        if self._waiting:
            self._noted.set()
        if len(self._waiting) >= MOST_WAITING:
            await self.flush()

    async def run(self) -> None:
        """Write what waits, at most four times a second."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._noted.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits. What cannot be written goes on waiting; what was written already is not written twice."""
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        try:
            await self.database[AUDIT].insert_many(entries, ordered=False)
            self.written.set()
        except BaseException as error:
            if not isinstance(error, BulkWriteError) or any(line["code"] != _DUPLICATE for line in error.details["writeErrors"]):
                self._waiting = entries + self._waiting
                self._noted.set()
                raise


Seen = tuple[str, str, tuple[str, ...]]


def personal_in(call: Call, answer: Message) -> Iterable[Seen]:
    """(resource, record id, fields) of every record in an answer whose personal fields are there and not masked. One's own are no matter."""
    for resource, record in records_in(answer):
        names = personal_fields(record.DESCRIPTOR)
        if not names or record.id == call.caller.person_id:
            continue
        limits = call.limits(resource)
        if fields := tuple(name for name in names if getattr(record, name) and limits.get(name, WRITE) >= READ):
            yield resource, record.id, fields


def _entries(call: Call, seen: Iterable[Seen]) -> list[dict[str, Any]]:
    """One entry for each kind of record."""
    kinds: dict[str, tuple[dict[str, None], set[str]]] = {}
    for resource, record_id, fields in seen:
        ids, names = kinds.setdefault(resource, ({}, set()))
        ids[record_id] = None
        names.update(fields)
    by_contract = {kind: {one.contract_id for key in ids for one in call.shown_by.get(key, ())} for kind, (ids, _) in kinds.items()}
    return [
        {
            "_id": new_id(), "time": call.now, "actor_id": call.caller.person_id, "request_id": call.request_id, "method": call.method,
            "reason": purpose(), "resource": resource, "action": ACTION, "read_ids": list(ids), "fields": sorted(names), "pending": True,
            "contract_ids": sorted(by_contract[resource]),
        }
        for resource, (ids, names) in kinds.items()
    ]  # fmt: skip


@cache
def holds_personal(descriptor: Descriptor, above: frozenset[str] = frozenset()) -> bool:
    """Whether a message may hold a record with a personal field."""
    if resource_of(descriptor) and personal_fields(descriptor):
        return True
    deeper = above | {descriptor.full_name}
    below = (field.message_type for field in descriptor.fields if field.message_type)
    return any(message.full_name not in deeper and holds_personal(message, deeper) for message in below)
