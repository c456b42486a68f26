"""Files at records in the graph: `attachments` on every noun whose contract says `attachable`, and the commands. Their bytes go through /files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import strawberry
from crm.common.v1 import attachment_pb2
from crm.common.v1 import attachment_service_pb2 as contract
from google.protobuf.descriptor import MethodDescriptor
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.contract import Contract, nouns
from gateway.departments.clients import DEPARTMENTS
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.loaders import GroupQuestion, load_groups
from gateway.graph.arguments import signed
from gateway.graph.connections import connection_type, first_of
from gateway.graph.contract import Long, comment, finish, from_global, output_class, to_global
from gateway.graph.edges import edge, page_of, to_one
from gateway.graph.inputs import input_type, to_request
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, Noun, commanded, cursor_of, payload_type
from gateway.graph.selection import once_asked, shows_cursors

_SERVICE = contract.DESCRIPTOR.services_by_name["AttachmentService"]
_ATTACHMENT = attachment_pb2.Attachment.DESCRIPTOR
NAME = _ATTACHMENT.name
# Mutations that name an attachment, by method.
_COMMANDS = {
    "ReplaceAttachment": "attachmentReplace", "CompleteAttachment": "attachmentComplete", "ArchiveAttachment": "attachmentArchive",
    "RestoreAttachment": "attachmentRestore", "CreateDownload": "attachmentDownload",
}  # fmt: skip


def _method(name: str) -> MethodDescriptor:
    found: MethodDescriptor = _SERVICE.methods_by_name[name]
    return found


BY_ID = _method("GetAttachment")


def attachable() -> list[Contract]:
    """The nouns to whose records files can be attached."""
    return [noun for noun in nouns() if noun.traits.attachable]


def department_of(attachment_id: str) -> str:
    """The department that keeps a file: its id begins with it. Raises Invalid."""
    department = attachment_id.partition("-")[0]
    if department not in DEPARTMENTS:
        raise Invalid("this is the id of no attachment; use an id that `attachments` or attachmentBegin gave you", field="attachment_id")
    return department


def _type() -> Any:
    kind: Any = output_class(_ATTACHMENT)
    if not hasattr(kind, "creator"):
        kind.creator = to_one("Person", "creator_id", "Who attached it; null for a tool.")
        kind.customer = to_one("Customer", "customer_id", "The customer whose record it is at.")
        del kind.__annotations__["record_id"]  # as the graph calls the record, whose kind the resource says
        kind.record_id = edge(_record_ids, {}, strawberry.ID, comment(f"{_ATTACHMENT.full_name}.record_id") or "", BY_ID)
    return finish(kind)


async def _record_ids(roots: Sequence[Any], info: Info) -> Sequence[Any]:
    names = {noun.resource: noun.name for noun in attachable()}
    return [to_global(names.get(root.resource, ""), root.record_id) for root in roots]


# ---- questions


def edges() -> None:
    """Called when every noun is known."""
    for noun in attachable():
        NOUNS[noun.name].edge("attachments", _at_records(NOUNS[noun.name]))


def _at_records(noun: Noun) -> Any:
    method = _method("BatchListAttachments")

    def question(info: Info, given: Any) -> GroupQuestion:
        try:
            request = contract.BatchListAttachmentsRequest(
                resource=noun.contract.resource, page_size=first_of(given.get("first")), page_token=cursor_of(given.get("after") or ""),
                row_tokens=shows_cursors(info), archived=bool(given.get("archived")),
            )  # fmt: skip
        except CrmError as error:
            raise field_error(error, noun.department) from None
        return GroupQuestion.of(noun.department, _SERVICE, method, request)

    async def resolve(roots: Sequence[Any], info: Info, **given: Any) -> Sequence[Any]:
        asked: GroupQuestion = once_asked(info, method.name, lambda: question(info, given))
        found = await load_groups(info.context, asked, [root.id for root in roots])
        return [page_of(group, "attachments", asked.request) for group in found]

    arguments = {"first": (int | None, 20), "after": (str | None, None), "archived": (bool | None, False)}
    return edge(
        resolve,
        arguments,
        connection_type(_type(), counted=False) | None,
        "Files at it, the newest first; the last edition of each.",
        method,
    )


def queries() -> dict[str, Any]:
    """The top-level field."""

    async def resolve(info: Info, id: strawberry.ID) -> Any:
        try:
            identity = from_global(str(id), NAME)[1]
        except CrmError as error:
            raise field_error(error, "gateway") from None
        return await loaded(info.context, identity)

    words = "One attachment; of an upload of your own also how far it is. Null when there is none that you may see."
    shown = strawberry.field(resolver=signed(resolve, {"id": (strawberry.ID, ...)}, _type() | None), description=words, metadata=by(BY_ID))
    return {"attachment": shown}


async def loaded(context: Context, attachment_id: str) -> Any:
    """An attachment; None when there is none that the caller may see."""
    department = "gateway"
    try:
        department = department_of(attachment_id)
        request = contract.GetAttachmentRequest(attachment_id=attachment_id)
        return (await context.clients.read(department, _SERVICE, BY_ID.name, request, context.token, context.request_id)).attachment
    except CrmError as error:
        if error.code == "NOT_FOUND":
            return None
        raise field_error(error, department) from None


# ---- commands


@strawberry.input(description="A file that is about to be sent.")
class AttachmentBeginInput:
    """What attachmentBegin takes."""

    record_id: strawberry.ID = strawberry.field(description="The record: of a noun that has `attachments`.")
    name: str = strawberry.field(description='Name of the file with its ending, e.g. "报价.pdf"; folders are left out.')
    size: Long = strawberry.field(description="Bytes of the file, 1 to 52,428,800.")
    sha256: str = strawberry.field(description="SHA-256 of the file, 64 small hexadecimal digits.")
    request_id: str | None = strawberry.field(
        default=None, description="Makes the command repeatable: the same id with the same content gives the first answer again."
    )


def mutations() -> dict[str, Any]:
    """The mutations."""
    return {"attachmentBegin": _begin()} | {shown: _command(_method(name), shown) for name, shown in _COMMANDS.items()}


def _begin() -> Any:
    def ask(value: Any) -> tuple[str, Any]:
        kind, record_id = from_global(str(value.record_id), "", "record_id")
        noun = NOUNS.get(kind)
        if noun is None or not noun.contract.traits.attachable:
            known = ", ".join(sorted(one.name for one in attachable()))
            raise Invalid(f"nothing can be attached to a {kind[:50]}; give the id of one of {known}", field="record_id")
        fields = {"name": value.name, "size": value.size, "sha256": value.sha256, "request_id": value.request_id or ""}
        return noun.department, contract.BeginAttachmentRequest(resource=noun.contract.resource, record_id=record_id, **fields)

    return _mutation(_method("BeginAttachment"), "attachmentBegin", AttachmentBeginInput, ask)


def _command(method: MethodDescriptor, name: str) -> Any:
    def ask(value: Any) -> tuple[str, Any]:
        request: Any = to_request(value, method.input_type)
        return department_of(request.attachment_id), request

    return _mutation(method, name, input_type(method.input_type, f"{name[0].upper()}{name[1:]}Input"), ask)


def _mutation(method: MethodDescriptor, name: str, takes: Any, ask: Callable[[Any], tuple[str, Any]]) -> Any:
    async def resolve(info: Info, input: Any) -> Any:
        return await commanded(info, method, lambda: ask(input))

    _type()
    returns = payload_type(method, f"{name[0].upper()}{name[1:]}")
    return strawberry.field(
        resolver=signed(resolve, {"input": (takes, ...)}, returns), description=comment(method.full_name), metadata=by(method)
    )
