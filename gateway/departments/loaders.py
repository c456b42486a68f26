"""Records and groups of records by id, as the fields of one level ask for them: one batched call to the department that has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.kernel.errors import CrmError
from chassis.rpc.service import request_class
from gateway.departments.batching import Load, Loader
from gateway.departments.context import Context
from gateway.departments.errors import field_error, of_cursor


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


async def load_records(context: Context, noun: Loadable, ids: Sequence[str], mask: tuple[str, ...]) -> list[Any]:
    """Records by id: None where there is none that the caller may see ("" has none), an exception where the department failed."""
    method = noun.by_id
    if method is None:
        raise RuntimeError(f"{noun.name} has no BatchGet")
    rows = rows_of(method.output_type, noun.descriptor)

    async def load(wanted: list[str]) -> list[Any]:
        request = request_class(method)(ids=wanted, read_mask=FieldMask(paths=mask) if mask else None)
        try:
            answer = await context.clients.read(
                noun.department, noun.service, method.name, request, context.token, context.request_id, by_roles=context.by_roles
            )
        except CrmError as error:
            return [field_error(error, noun.department)] * len(wanted)
        found = {message.id: message for message in getattr(answer, rows)}
        if "resolved_ids" in answer.DESCRIPTOR.fields_by_name:  # of a customer that was merged: the one that it is part of
            found |= {asked: found[counts] for asked, counts in answer.resolved_ids.items()}
        return [found.get(identity) for identity in wanted]

    return await _some(context.loader((method.full_name, mask), load), ids)


async def _some(loader: Loader, ids: Sequence[str]) -> list[Any]:
    if all(ids):
        return await loader.many(ids)
    found = iter(await loader.many([identity for identity in ids if identity]))
    return [next(found) if identity else None for identity in ids]


async def load_record(context: Context, noun: Loadable, identity: str, mask: tuple[str, ...]) -> Any:
    """One record by id; None when there is none that the caller may see. Raises the department's refusal."""
    (found,) = await load_records(context, noun, [identity], mask)
    if isinstance(found, Exception):
        raise found
    return found


@dataclass(frozen=True)
class GroupQuestion:
    """A BatchList without its keys. Two of the same method, `key` and `mark` are the same question."""

    department: str
    service: ServiceDescriptor
    method: MethodDescriptor
    key: str
    request: Message
    mark: bytes

    @classmethod
    def of(cls, department: str, service: ServiceDescriptor, method: MethodDescriptor, request: Message, key: str = "") -> GroupQuestion:
        """The question of a request; `key` is the field that takes the ids, the first of ids when not given."""
        key = key or next(item.name for item in method.input_type.fields if item.name.endswith("_ids"))
        return cls(department, service, method, key, request, request.SerializeToString(deterministic=True))

    @property
    def continued(self) -> bool:
        """Whether it asks for another page than the first."""
        return bool(self.request.page_token)


async def load_groups(context: Context, question: GroupQuestion, keys: Sequence[str]) -> list[Any]:
    """The group of each key; the same question for many keys of a level is one call."""
    department, method, request = question.department, question.method, question.request

    async def load(wanted: list[str]) -> list[Any]:
        batch = type(request)()
        batch.CopyFrom(request)
        getattr(batch, question.key).extend(wanted)
        try:
            answer = await context.clients.read(department, question.service, method.name, batch, context.token, context.request_id)
        except CrmError as error:
            backward = "backward" in batch.DESCRIPTOR.fields_by_name and batch.backward
            return [field_error(of_cursor(error, backward=backward), department)] * len(wanted)
        found = {group.key: group for group in answer.groups}
        return [found[identity] for identity in wanted]

    if not question.continued:
        return await context.loader((method.full_name, question.key, question.mark), load).many(keys)
    # A page token goes with one key: each is a call of its own.
    return list(await asyncio.gather(*[_single(load, identity) for identity in keys]))


async def _single(load: Load, identity: str) -> Any:
    return (await load([identity]))[0]
