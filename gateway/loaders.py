"""Batched reads of one operation: the keys asked for on one level go out in one call, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from chassis.kernel.errors import CrmError
from chassis.rpc.service import request_class
from gateway.errors import field_error

if TYPE_CHECKING:
    from gateway.context import Context

BATCH = 100
Load = Callable[[list[str]], Awaitable[Sequence[Any]]]


class Loadable(Protocol):
    """A noun whose records can be asked for by id."""

    department: str
    name: str
    service: ServiceDescriptor
    descriptor: Descriptor

    @property
    def by_id(self) -> MethodDescriptor | None:
        """The BatchGet whose rows are this noun's."""


class Loader:
    """What one question gives for each key. Keys asked for in one turn of the loop go out together, none of them twice.

    `load` gives one value a key, in their order; an exception as a value is that key's error.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._values: dict[str, Any] = {}
        self._flights: dict[str, asyncio.Task[None]] = {}
        self._open: list[str] = []
        self._boarding: asyncio.Task[None] | None = None

    async def many(self, keys: Sequence[str]) -> list[Any]:
        """The values of the keys, in their order."""
        flights = self._flights
        for key in keys:
            if key not in flights:
                if self._boarding is None:
                    self._boarding = asyncio.ensure_future(self._fly())
                self._open.append(key)
                flights[key] = self._boarding
        for flight in {flights[key] for key in keys}:
            await flight
        values = self._values
        return [values[key] for key in keys]

    async def _fly(self) -> None:
        await asyncio.sleep(0)  # the other edges of this level board too
        keys, self._open, self._boarding = self._open, [], None
        parts = [keys[begin : begin + BATCH] for begin in range(0, len(keys), BATCH)]
        answers = [await self._load(parts[0])] if len(parts) == 1 else await asyncio.gather(*[self._load(part) for part in parts])
        for part, values in zip(parts, answers, strict=True):
            self._values.update(zip(part, values, strict=True))


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
            answer = await context.clients.read(noun.department, noun.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            return [field_error(error, noun.department)] * len(wanted)
        found = {message.id: message for message in getattr(answer, rows)}
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


async def load_groups(
    context: Context, department: str, service: ServiceDescriptor, method: MethodDescriptor, key: str, request: Message, ids: Iterable[str]
) -> list[Any]:
    """The group of each key; the same question for many keys of a level is one call."""

    async def load(wanted: list[str]) -> list[Any]:
        batch = type(request)()
        batch.CopyFrom(request)
        getattr(batch, key).extend(wanted)
        try:
            answer = await context.clients.read(department, service, method.name, batch, context.token, context.request_id)
        except CrmError as error:
            return [field_error(error, department)] * len(wanted)
        found = {group.key: group for group in answer.groups}
        return [found[identity] for identity in wanted]

    keys = list(ids)
    if not request.page_token:
        return await context.loader((method.full_name, request.SerializeToString(deterministic=True)), load).many(keys)
    # A page token goes with one key: each is a call of its own.
    return list(await asyncio.gather(*[_single(load, identity) for identity in keys]))


async def _single(load: Load, identity: str) -> Any:
    return (await load([identity]))[0]
