"""Where attachments lie, what they are found by, and what is left of those of a customer who was erased."""

from __future__ import annotations

import importlib
from typing import Any

from crm.common.v1 import attachment_pb2
from pymongo import ASCENDING, IndexModel, UpdateMany

from chassis.files import model, usage
from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.storage.changes import Changes
from chassis.storage.encryption import erased
from chassis.storage.files import count_of, drop, read
from chassis.storage.personal import ERASED_NAME, SUBJECT_ERASED, subject_of
from chassis.storage.records import Document, Records

ATTACHMENTS = "attachments"
_IN_USE = {"state": model.READY, "archive_time": None}


class Attachments(Records):
    """The attachments of a department. Who may see one is decided by its record: never ask this store for a caller before that was asked.

    Beside the contract's fields stand `digest` (what the SHA-256 is known by), `held` while it is in use (no two of a record have the same),
    and `kept` as long as there are bytes.
    """

    def __init__(self, department: str, most_bytes: int) -> None:
        uploading = {"state": model.UPLOADING}
        super().__init__(
            attachment_pb2.Attachment,
            parents=("customer_id",),
            indexes=[
                IndexModel([("held", ASCENDING)], name="unique_held", unique=True, partialFilterExpression={"held": {"$exists": True}}),
                IndexModel([("create_time", ASCENDING)], name="by_uploading", partialFilterExpression=uploading),
                IndexModel([("creator_id", ASCENDING)], name="by_uploader", partialFilterExpression=uploading),
                IndexModel([("kept", ASCENDING)], name="by_erased", partialFilterExpression={SUBJECT_ERASED: True, "kept": True}),
                usage.INDEX,
            ],
        )
        self.department, self.usage = department, usage.Usage(most_bytes)

    def event(self, participle: str) -> Any:
        """The event class of a participle, e.g. "Added": every department announces its own."""
        return getattr(importlib.import_module(f"crm.{self.department}.v1.attachment_events_pb2"), f"Attachment{participle}")

    @property
    def duplicate_codes(self) -> dict[str, tuple[str, str]]:
        """Name of each unique index → (code, field) of the refusal."""
        return {"unique_held": ("ALREADY_ATTACHED", "sha256")}

    async def known(self, call: Call, attachment_id: str) -> Document | None:
        """An attachment as it is stored, whoever asks; None for none."""
        return await call.database[ATTACHMENTS].find_one({"_id": attachment_id}, max_time_ms=call.milliseconds_left)

    async def numbers(self, call: Call, place: Document) -> tuple[int, int]:
        """How many attachments are in use at a place, and how many uploads of the caller have not ended; both as far as it matters."""
        table, left = call.database[ATTACHMENTS], call.milliseconds_left
        at_record = await table.count_documents({**place, **_IN_USE}, limit=model.MOST_AT_RECORD, maxTimeMS=left)
        uploads = {"creator_id": call.caller.person_id, "state": model.UPLOADING}
        return at_record, await table.count_documents(uploads, limit=model.MOST_UPLOADS + 1, hint="by_uploader", maxTimeMS=left)

    def announce(self, call: Call, place: Document, values: Document) -> Document:
        """A new attachment whose bytes are on their way, with the commit."""
        document = {
            "_id": f"{self.department}-{new_id()}", "version": 0, "create_time": call.now, "update_time": call.now,
            "creator_id": call.caller.person_id, "updater_id": call.caller.person_id, "received": 0, "state": model.UPLOADING, "kept": True,
            **place, **values,
        }  # fmt: skip
        call.changes.insert(self.resource, document)
        told = {name: [None, document[name]] for name in ("resource", "record_id", "name", "size")}
        subject = subject_of(document) if document.get("customer_id") else ""
        deputy = call.deputy_for.get(document["record_id"], "")
        call.changes.audit(ATTACHMENTS, document["_id"], 0, "AttachmentBegun", told, call.now, deputy, subject=subject, naming=("name",))
        return document

    async def part(self, call: Call, file: Document, number: int, *, preview: bool = False) -> bytes:
        """A part of a file, or its preview. Raises Conflict ERASED where the key is gone, Invalid UPLOAD_BROKEN where the part is not there."""
        subject = subject_of(file)
        keys = await call.vault.keys([subject])
        if subject not in keys:
            raise erased(subject)
        kept_as = preview_of(file["_id"]) if preview else file["_id"]
        found = await read(call.database, keys[subject], kept_as, number, call.milliseconds_left)
        if found is None:
            raise model.broken(f"the file has {count_of(file['size'])} parts and no part {number}", "number")
        return found


def preview_of(attachment_id: str) -> str:
    """As what the preview of a file lies among the parts."""
    return f"{attachment_id}.preview"


def forget_bytes(changes: Changes, attachment_id: str) -> None:
    """Delete a file's bytes with the commit, those of its preview too."""
    for kept_as in (attachment_id, preview_of(attachment_id)):
        drop(changes, kept_as)


def forget_customer(changes: Changes, query: Document) -> None:
    """Empty and archive, with the commit, the attachments that were written for a customer who is erased; their bytes are noise without the key,
    and the sweep deletes them."""
    gone = {"$set": {"name": ERASED_NAME, SUBJECT_ERASED: True, "archive_time": now()}, "$unset": {"held": "", "digest": ""}}
    changes.write(ATTACHMENTS, UpdateMany(query, gone))
