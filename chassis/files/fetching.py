"""How files are read: told of, listed, and fetched by an address, each time by the right to their record."""

from __future__ import annotations

from typing import Any

from crm.common.v1 import attachment_pb2
from crm.common.v1 import attachment_service_pb2 as contract

from chassis.access.caller import Caller
from chassis.files import addresses, model, pictures
from chassis.files.addresses import Address
from chassis.files.records import Holders
from chassis.files.store import Attachments
from chassis.kernel.errors import Invalid, NotAllowed
from chassis.rpc.call import Call
from chassis.rpc.collaboration import Collaborations
from chassis.rpc.documents import to_message
from chassis.rpc.errors import Unavailable
from chassis.rpc.handlers import groups
from chassis.storage.pages import Page
from chassis.storage.records import Document

DESCRIPTOR = contract.DESCRIPTOR.services_by_name["AttachmentService"]


def told(attachment: Document) -> Any:
    """The message of an attachment."""
    return to_message(attachment, attachment_pb2.Attachment.DESCRIPTOR)


class Fetching:
    """Files as they are read."""

    def __init__(self, attachments: Attachments, holders: Holders, collaborations: Collaborations) -> None:
        self.attachments, self.holders, self.collaborations = attachments, holders, collaborations

    async def get(self, call: Call, request: Any) -> Any:
        """GetAttachment."""
        return contract.GetAttachmentResponse(attachment=told(await self.holders.seen(call, self.attachments, request.attachment_id)))

    async def batch_list(self, call: Call, request: Any) -> Any:
        """BatchListAttachments: one question for the records, one for their files."""
        asked = list(dict.fromkeys(request.record_ids))
        if request.page_token and len(asked) > 1:
            raise Invalid("a page token goes with a single key; ask for the keys one by one", field="page_token")
        seen = await self.holders.readable(call, request.resource, asked)
        store = self.holders.store(request.resource)
        found: dict[str, Page] = {}
        if seen:
            criteria = _current(request.resource, archived=request.archived)
            found = await self.attachments.batch_page(
                call, self.holders.key(store), list(dict.fromkeys(seen.values())), criteria, size=request.page_size,
                token=request.page_token, row_tokens=request.row_tokens,
            )  # fmt: skip
        pages = {one: found[seen[one]] if one in seen else Page([], "", []) for one in asked}
        return groups(DESCRIPTOR.methods_by_name["BatchListAttachments"], attachment_pb2.Attachment.DESCRIPTOR, asked, pages)

    async def create_download(self, call: Call, request: Any) -> Any:
        """CreateDownload."""
        found = await self.holders.seen(call, self.attachments, request.attachment_id)
        model.must_be(found, model.READY, model.REPLACED)
        caller = call.caller
        if not caller.is_service and caller.person_id not in call.directory.members:
            raise NotAllowed(
                "addresses of downloads are given to people, whose rights are judged again when they fetch; an API key has none then"
            )
        if request.preview:
            model.has_preview(found)
        expires = (call.now + model.DOWNLOAD).replace(microsecond=0)
        address = Address(found["_id"], caller.person_id, expires, request.preview)
        call.seen.append((found["resource"], found["record_id"], ("attachments",)))
        told_there = contract.FileAddress(path=f"{addresses.PATH}{address.token(call.vault.blind)}")
        told_there.expire_time.FromDatetime(expires)
        return contract.CreateDownloadResponse(address=told_there)

    async def read_part(self, call: Call, request: Any) -> Any:
        """ReadPart: for whoever has an address, with the rights that its person has now."""
        if not call.directory.revision:
            raise Unavailable(self.attachments.department, timeout=False)
        address = addresses.verified(request.token, call.vault.blind, call.now)
        reader = await self._reader(call, address.person_id)
        found = await self.holders.seen(reader, self.attachments, address.attachment_id)
        data = await self.attachments.part(call, found, request.number, preview=address.preview)
        shown = {**found, **_small(found)} if address.preview else found
        return contract.ReadPartResponse(data=data, attachment=told(shown) if request.number == 0 else None)

    async def _reader(self, call: Call, person_id: str) -> Call:
        """A call of the person to whom an address was given. Raises NotAllowed for who has left."""
        member = call.directory.members.get(person_id)
        if person_id.startswith("service-"):
            caller = Caller(person_id, frozenset((person_id,)))
        elif member and member.active:
            caller = Caller(person_id, member.roles, member.department_id, member.team_id)
        else:
            raise addresses.not_valid()
        reader = Call(caller, call.directory, call.database, call.changes, call.method, call.request_id, call.deadline, zone=call.zone)
        if not caller.is_service:
            reader.customers, reader.owned = await self.collaborations.known(call.directory, caller)
        return reader


def _small(file: Document) -> Document:
    """What the preview of a file is called, and what it is."""
    name = f"{file['name'].rpartition('.')[0] or file['name']}{pictures.PREVIEW_ENDING}"
    return {"name": name, "size": file["preview_size"], "media_type": pictures.PREVIEW_MEDIA}


def _current(resource: str, *, archived: bool) -> Document:
    """Criteria of the last editions at records of a resource; in use, or archived too."""

    def condition(field: str, operator: str, value: Document) -> Document:
        return {"condition": {"field": field, "operator": operator, "values": [value]}}

    found = [condition("resource", "EQUALS", {"text": resource}), condition("state", "EQUALS", {"text": model.READY})]
    either = [condition("archive_time", "IS_SET", {"flag": flag}) for flag in (True, False)]
    return {"all": {"items": [*found, *([{"any": {"items": either}}] if archived else [])]}}
