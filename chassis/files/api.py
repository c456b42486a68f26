"""AttachmentService, which every department serves for the records that it owns."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from crm.common.v1 import attachment_service_pb2 as contract
from pymongo import UpdateOne

from chassis.files import model, pictures
from chassis.files.fetching import DESCRIPTOR, Fetching, told
from chassis.files.kinds import Judge
from chassis.files.pictures import Pictures
from chassis.files.records import PLACE, Holders
from chassis.files.store import ATTACHMENTS, Attachments, preview_of
from chassis.kernel.errors import AlreadyExists, Invalid
from chassis.rpc.call import Call
from chassis.rpc.collaboration import Collaborations
from chassis.rpc.service import Service
from chassis.storage.files import PART_BYTES, count_of, whole, write
from chassis.storage.personal import subject_of
from chassis.storage.records import Document, Records


def service(attachments: Attachments, stores: Sequence[Records], collaborations: Collaborations) -> Service:
    """The handlers, for the records of these stores."""
    files, fetching = Files(attachments, Holders(stores)), Fetching(attachments, Holders(stores), collaborations)
    handlers = {
        "BeginAttachment": files.begin, "ReplaceAttachment": files.replace, "AppendPart": files.append, "CompleteAttachment": files.complete,
        "ArchiveAttachment": files.archive, "RestoreAttachment": files.restore, "GetAttachment": fetching.get,
        "BatchListAttachments": fetching.batch_list, "CreateDownload": fetching.create_download, "ReadPart": fetching.read_part,
    }  # fmt: skip
    return Service(DESCRIPTOR, handlers, attachments.duplicate_codes)


class Files:
    """Files on their way in, and out of use."""

    def __init__(self, attachments: Attachments, holders: Holders) -> None:
        self.attachments, self.holders, self.pictures = attachments, holders, Pictures()

    async def begin(self, call: Call, request: Any) -> Any:
        """BeginAttachment."""
        store, record = await self.holders.to_change(call, request.resource, request.record_id)
        place = self.holders.place(store, record)
        made = await self._announced(call, place, request, request.name, edition=1)
        return contract.BeginAttachmentResponse(attachment=told(made), part_size=PART_BYTES)

    async def replace(self, call: Call, request: Any) -> Any:
        """ReplaceAttachment."""
        _, _, before = await self.holders.with_file(call, self.attachments, request.attachment_id)
        model.may_be_replaced(before)
        place = {name: before[name] for name in PLACE if before.get(name)}
        name = request.name if request.HasField("name") else before["name"]
        made = await self._announced(call, place, request, name, edition=before["edition"] + 1, replaced_id=before["_id"])
        return contract.ReplaceAttachmentResponse(attachment=told(made), part_size=PART_BYTES)

    async def _announced(self, call: Call, place: Document, request: Any, name: str, **more: Any) -> Document:
        name = model.cleaned(name)
        model.must_fit(request.size)
        at_record, uploads = await self.attachments.numbers(call, {"record_id": place["record_id"]})
        model.has_room(0 if "replaced_id" in more else at_record, uploads)
        await self.attachments.usage.take(call.database, request.size, call.milliseconds_left)
        values = {"name": name, "size": request.size, "digest": _digest(call, request.sha256), **more}
        return self.attachments.announce(call, place, values)

    async def append(self, call: Call, request: Any) -> Any:
        """AppendPart. The part and how far the file is are one commit."""
        file = await self.attachments.known(call, request.attachment_id)
        if file is None or file["creator_id"] != call.caller.person_id:
            raise self.attachments.absent(request.attachment_id)
        model.must_be(file, model.UPLOADING)
        received = model.must_be_next(file, request.number, len(request.data))
        subject = subject_of(file)
        keys = await call.changes.keys_of([subject])
        write(call.changes, keys[subject], file["_id"], request.number, request.data)
        same = {"_id": file["_id"], "state": model.UPLOADING}
        call.changes.must_match(ATTACHMENTS, UpdateOne(same, {"$max": {"received": received}}))
        return contract.AppendPartResponse(received=received)

    async def complete(self, call: Call, request: Any) -> Any:
        """CompleteAttachment: what arrived is judged, and so is the caller's right, as if the file came now."""
        store, record, file = await self.holders.with_file(call, self.attachments, request.attachment_id)
        model.must_be(file, model.UPLOADING)
        model.must_be_whole(file)
        before = await self._replaced(call, file)
        at_record, _ = await self.attachments.numbers(call, {"record_id": file["record_id"]})
        model.has_room(at_record - bool(before), 0)
        media_type, held = await self._judged(call, file), f"{file['record_id']}:{file['digest']}"
        await self._no_twin(call, held)
        values = {"state": model.READY, "media_type": media_type, "held": held}
        if media_type in pictures.FORMATS:
            values |= await self._anew(call, file, media_type)
        if before:
            self.attachments.change(call, before, {"state": model.REPLACED, "held": None}, self.attachments.event("Replaced"))
        _still(call, store, record)
        made = self.attachments.change(call, file, values, self.attachments.event("Added"))
        return contract.CompleteAttachmentResponse(attachment=told(made))

    async def _anew(self, call: Call, file: Document, media_type: str) -> Document:
        """Keep a picture as it is encoded anew in place of what arrived, and its preview; what its document says of that."""
        pictures.must_fit(file["name"], file["size"])
        arrived = bytearray()
        for number in range(count_of(file["size"])):
            arrived += await self.attachments.part(call, file, number)
        made = await self.pictures.anew(file["name"], media_type, arrived)
        subject = subject_of(file)
        key = (await call.changes.keys_of([subject]))[subject]
        whole(call.changes, key, file["_id"], made.content)
        whole(call.changes, key, preview_of(file["_id"]), made.preview)
        return {"size": len(made.content), "received": len(made.content), "preview_size": len(made.preview)}

    async def _replaced(self, call: Call, file: Document) -> Document | None:
        """The edition whose place a file takes, if it takes one's."""
        before = await self.attachments.known(call, file["replaced_id"]) if file.get("replaced_id") else None
        if before:
            model.may_be_replaced(before)
        return before

    async def _judged(self, call: Call, file: Document) -> str:
        """The media type of what arrived, read once, a part at a time."""
        judge, digest = Judge(), hashlib.sha256()
        for number in range(count_of(file["size"])):
            data = await self.attachments.part(call, file, number)
            digest.update(data)
            await asyncio.to_thread(judge.feed, data)  # a part of a PDF may unpack to much
        if judge.size != file["size"] or _digest(call, digest.hexdigest()) != file["digest"]:
            model.must_be(
                await self.attachments.known(call, file["_id"]) or file, model.UPLOADING
            )  # a picture that was completed meanwhile
            raise Invalid(
                "what arrived has another SHA-256 than was announced; begin again with the file as it is", code="UPLOAD_BROKEN", field="attachment_id"
            )  # fmt: skip
        return judge.verdict(file["name"])

    async def _no_twin(self, call: Call, held: str) -> None:
        twin = await call.database[ATTACHMENTS].find_one({"held": held}, {"name": 1}, max_time_ms=call.milliseconds_left)
        if twin:
            words = f"these bytes are attached to the record already, as «{twin['name']}»; use that one"
            raise AlreadyExists(words, code="ALREADY_ATTACHED", field="attachment_id", details={"attachmentId": twin["_id"]})

    async def archive(self, call: Call, request: Any) -> Any:
        """ArchiveAttachment."""
        _, _, before = await self.holders.with_file(call, self.attachments, request.attachment_id)
        self._version(request, before)
        model.must_be(before, model.READY)
        self.attachments.in_use(before)
        after = self.attachments.change(call, before, {"archive_time": call.now, "held": None}, self.attachments.event("Archived"))
        return contract.ArchiveAttachmentResponse(attachment=told(after))

    async def restore(self, call: Call, request: Any) -> Any:
        """RestoreAttachment."""
        store, record, before = await self.holders.with_file(call, self.attachments, request.attachment_id)
        self._version(request, before)
        model.must_be(before, model.READY)
        if before.get("archive_time"):
            at_record, _ = await self.attachments.numbers(call, {"record_id": before["record_id"]})
            model.has_room(at_record, 0)
            held = f"{before['record_id']}:{before['digest']}"
            await self._no_twin(call, held)
            _still(call, store, record)
            before = self.attachments.change(call, before, {"archive_time": None, "held": held}, self.attachments.event("Restored"))
        return contract.RestoreAttachmentResponse(attachment=told(before))

    def _version(self, request: Any, before: Document) -> None:
        self.attachments.checked_version(before, request.version if request.HasField("version") else None)


def _still(call: Call, store: Records, record: Document) -> None:
    """The record must still be in use when this commits, and nobody have attached to it since it was read: who counts its files counts again."""
    call.changes.guard(store.resource, {"_id": record["_id"], "archive_time": None, "touch": record.get("touch")})


def _digest(call: Call, sha256: str) -> str:
    """What a file is known by: the department alone can tell whether it is that of some bytes."""
    return call.vault.blind(f"file:{sha256}")
