"""Batched reads of one operation: the keys asked for on one level go out in one call, whatever their number."""

from __future__ import annotations

from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.kernel.errors import CrmError
from chassis.rpc.service import request_class
from gateway.context import Context
from gateway.errors import field_error


class Loadable(Protocol):
    """A noun whose records can be asked for by id."""

    department: str
    name: str
    service: ServiceDescriptor
    descriptor: Descriptor

    @property
    def by_id(self) -> MethodDescriptor | None:
        """The BatchGet whose rows are this noun's."""


def rows_of(message: Descriptor, row: Descriptor) -> str:
    """The field of an answer that holds the rows."""
    return next(item.name for item in message.fields if item.message_type is row)


async def load_one(context: Context, noun: Loadable, identity: str, mask: tuple[str, ...]) -> Any:
    """A record by id; None when there is none that the caller may see. Many at once are one call."""
    method = noun.by_id
    if method is None:
        raise RuntimeError(f"{noun.name} has no BatchGet")
    rows = rows_of(method.output_type, noun.descriptor)

    async def load(ids: list[str]) -> list[Any]:
        request = request_class(method)(ids=ids, read_mask=FieldMask(paths=list(mask)) if mask else None)
        try:
            answer = await context.clients.read(noun.department, noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            return [field_error(error, noun.department)] * len(ids)
        found = {message.id: message for message in getattr(answer, rows)}
        return [found.get(wanted) for wanted in ids]

    return await context.loader((method.full_name, mask), load).load(identity)


async def load_group(
    context: Context, department: str, service: ServiceDescriptor, method: MethodDescriptor, key: str, request: Message, identity: str
) -> Any:
    """The group of one key; the same question for many keys of a level is one call."""

    async def load(ids: list[str]) -> list[Any]:
        batch = type(request)()
        batch.CopyFrom(request)
        getattr(batch, key).extend(ids)
        try:
            answer = await context.clients.read(department, service, method.name, batch, context.token, context.request_id)
        except CrmError as error:
            return [field_error(error, department)] * len(ids)
        found = {group.key: group for group in answer.groups}
        return [found[wanted] for wanted in ids]

    single = request.page_token
    mark = (method.full_name, request.SerializeToString(deterministic=True), identity if single else "")
    return await context.loader(mark, load).load(identity)
