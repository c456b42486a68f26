"""Files at records, as people attach and fetch them: the graph's commands, and the door for the bytes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import httpx
from crm.common.v1 import attachment_service_pb2 as contract

from chassis.kernel.ids import new_id
from chassis.rpc.service import request_class
from tests.support.installation import PATIENCE, Installation

SERVICE = contract.DESCRIPTOR.services_by_name["AttachmentService"]
PART = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
DRAWING = b"AC1032\0\0\0" + bytes(range(256)) * 8  # of a kind that is kept as it is
PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n%%EOF\n"
_BEGIN = """mutation($input: AttachmentBeginInput!) { attachmentBegin(input: $input) {
    attachment { id version state recordId size received } partSize errors { code message path } } }"""
_COMPLETE = """mutation($input: AttachmentCompleteInput!) { attachmentComplete(input: $input) {
    attachment { id version state name size mediaType edition recordId replacedId } errors { code message path } } }"""
_DOWNLOAD = "mutation($input: AttachmentDownloadInput!) { attachmentDownload(input: $input) { address { path expireTime } errors { code message } } }"
LIST = "query($id: ID!) { node(id: $id) { ... on %s { attachments(first: 50) { nodes { id name size mediaType state edition creator { name } } } } } }"


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def sha256(content: bytes) -> str:
    """As a client gives it."""
    return hashlib.sha256(content).hexdigest()


class Client:
    """Somebody who attaches and fetches files."""

    def __init__(self, crm: Installation, role: str = "COORDINATOR") -> None:
        self.crm, self.role = crm, role

    async def begin(self, record: str, name: str, content: bytes, **more: Any) -> dict[str, Any]:
        """What attachmentBegin answers."""
        given = {"recordId": record, "name": name, "size": len(content), "sha256": sha256(content), **more}
        found: dict[str, Any] = (await self.crm.data(_BEGIN, self.role, input=given))["attachmentBegin"]
        return found

    async def send(self, attachment: str, content: bytes, part: int = 0, **headers: str) -> httpx.Response:
        """The bytes, through the door."""
        path = f"/files/{attachment}?part={part}"
        return await self.crm.http.post(path, content=content, headers={**self.crm.bearer(self.role), **headers})

    async def complete(self, attachment: str) -> dict[str, Any]:
        """What attachmentComplete answers."""
        found: dict[str, Any] = (await self.crm.data(_COMPLETE, self.role, input={"attachmentId": attachment}))["attachmentComplete"]
        return found

    async def attach(self, record: str, name: str, content: bytes) -> dict[str, Any]:
        """What attachmentComplete answers to a file that was sent whole."""
        begun = await self.begin(record, name, content)
        assert begun["errors"] == [], begun
        sent = await self.send(begun["attachment"]["id"], content)
        assert (sent.status_code, sent.json()) == (200, {"received": len(content)}), sent.text
        return await self.complete(begun["attachment"]["id"])

    async def attached(self, record: str, name: str, content: bytes) -> dict[str, Any]:
        """The attachment of a file that must be taken."""
        made = await self.attach(record, name, content)
        assert made["errors"] == [], made
        found: dict[str, Any] = made["attachment"]
        return found

    async def address(self, attachment: str) -> str:
        """Where a file can be fetched."""
        found = (await self.crm.data(_DOWNLOAD, self.role, input={"attachmentId": attachment}))["attachmentDownload"]
        assert found["errors"] == [], found
        return str(found["address"]["path"])

    async def listed(self, kind: str, record: str) -> list[dict[str, Any]]:
        """The attachments of a record, as the graph lists them."""
        body = await self.crm.graph(LIST % kind, self.role, id=record)
        node = (body.get("data") or {}).get("node")
        return list(node["attachments"]["nodes"]) if node else []

    async def command(self, name: str, **given: Any) -> dict[str, Any]:
        """What another mutation on attachments answers."""
        kind = f"{name[0].upper()}{name[1:]}Input"
        query = f"mutation($input: {kind}!) {{ {name}(input: $input) {{ attachment {{ id version state edition archiveTime }} errors {{ code message }} }} }}"
        found: dict[str, Any] = (await self.crm.data(query, self.role, input=given))[name]
        return found


async def rpc(crm: Installation, department: str, method: str, role: str = "cli", **fields: Any) -> Any:
    """An RPC of AttachmentService."""
    found = SERVICE.methods_by_name[method]
    if "request_id" in found.input_type.fields_by_name:
        fields.setdefault("request_id", new_id())
    token = await crm.link.token() if role == "cli" else crm.tokens.get(role, role)
    return await crm.channels[department].call(SERVICE, method, request_class(found)(**fields), token=token, seconds=PATIENCE)


async def attach(crm: Installation, department: str, resource: str, record_id: str, name: str, content: bytes, role: str = "cli") -> str:
    """The department's id of a file of one part, attached without the gateway."""
    given = {"resource": resource, "record_id": record_id, "name": name, "size": len(content), "sha256": sha256(content)}
    begun = await rpc(crm, department, "BeginAttachment", role, **given)
    await rpc(crm, department, "AppendPart", role, attachment_id=begun.attachment.id, data=content)
    made = await rpc(crm, department, "CompleteAttachment", role, attachment_id=begun.attachment.id)
    return str(made.attachment.id)
