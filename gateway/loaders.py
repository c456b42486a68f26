"""Batched reads of one operation: the keys asked for on one level go out in one call, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
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


class _Flight:
    """Keys that go out in one call, and a future for those who wait for others to send it."""

    __slots__ = ("keys", "landed")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Loader:
    """What one question gives for each key. Keys asked for in one turn of the loop go out together, none of them twice.

    `load` gives one value a key, in their order; an exception as a value is that key's error. Whoever asks first sends the call,
    so a level costs one future at the most; if that one is cancelled, those who wait ask themselves.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._values: dict[str, Any] = {}
        self._flights: dict[str, _Flight] = {}
        self._boarding: _Flight | None = None

    async def many(self, keys: Sequence[str]) -> list[Any]:
        """The values of the keys, in their order."""
        values = self._values
        while True:
            own = self._board([key for key in keys if key not in values])
            others = {flight.landed for key in keys if (flight := self._flights.get(key)) is not None and flight is not own}
            if own is not None:
                await self._fly(own)
            for landed in others:
                await asyncio.shield(landed)
            try:
                return [values[key] for key in keys]
            except KeyError:  # whoever sent one of the calls was cancelled
                continue

    def _board(self, keys: Sequence[str]) -> _Flight | None:
        """Put keys on the next flight; gives the flight when it must be sent by the one who asks."""
        flight = self._boarding or _Flight()
        new = [key for key in dict.fromkeys(keys) if key not in self._flights]
        flight.keys += new
        self._flights.update(dict.fromkeys(new, flight))
        if not new or flight is self._boarding:
            return None
        self._boarding = flight
        return flight

    async def _fly(self, flight: _Flight) -> None:
        try:
            await asyncio.sleep(0)  # the other edges of this level board too
            self._boarding, keys = None, flight.keys
            self._values.update(await in_parts(keys, self._load))
        finally:
            if self._boarding is flight:
                self._boarding = None
            for key in flight.keys:
                del self._flights[key]
            flight.landed.set_result(None)


async def in_parts(keys: list[str], load: Load) -> dict[str, Any]:
    """The value of each key, asked for in calls of no more keys than a department takes. A load that raises fails its keys."""
    parts = [keys[begin : begin + BATCH] for begin in range(0, len(keys), BATCH)]
    answers = [await _part(parts[0], load)] if len(parts) == 1 else await asyncio.gather(*[_part(part, load) for part in parts])
    return {key: value for part, values in zip(parts, answers, strict=True) for key, value in zip(part, values, strict=True)}


async def _part(keys: list[str], load: Load) -> Sequence[Any]:
    try:
        return await load(keys)
    except Exception as error:
        return [error] * len(keys)


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
    """A BatchList without its keys. Two of the same method and `mark` are the same question."""

    department: str
    service: ServiceDescriptor
    method: MethodDescriptor
    key: str
    request: Message
    mark: bytes

    @classmethod
    def of(cls, department: str, service: ServiceDescriptor, method: MethodDescriptor, request: Message) -> GroupQuestion:
        """The question of a request."""
        key = next(item.name for item in method.input_type.fields if item.name.endswith("_ids"))
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
            return [field_error(error, department)] * len(wanted)
        found = {group.key: group for group in answer.groups}
        return [found[identity] for identity in wanted]

    if not question.continued:
        return await context.loader((method.full_name, question.mark), load).many(keys)
    # A page token goes with one key: each is a call of its own.
    return list(await asyncio.gather(*[_single(load, identity) for identity in keys]))


async def _single(load: Load, identity: str) -> Any:
    return (await load([identity]))[0]
