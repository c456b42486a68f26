"""Commands on many records: each record is a command on one, with a request id that follows from that of all, so nothing is decided here.

Each is judged alone; those that are under way at the same time are committed in one transaction, or each alone where that is refused. A
process that is killed, or a deadline that ends, leaves whole records done and others not begun; the same request again does what is left, and
answers for all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from crm.common.v1 import outcome_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from chassis.kernel.errors import Conflict, CrmError, Invalid
from chassis.rpc.call import Call
from chassis.rpc.contract import Contract
from chassis.rpc.service import Handler, Service, judged, request_class, response_class
from chassis.storage.records import ANY_VERSION
from chassis.storage.together import Together

AT_ONCE = 25  # records of one command that are under way, and at most committed, together
SPARED_MILLISECONDS = 500  # no record is begun with less time left
_OWN = frozenset(("request_id", "ids", "versions"))


def handlers(contract: Contract, serving: Callable[[], Service]) -> Mapping[str, Handler]:
    """The handlers of a noun's commands on many records; `serving` gives the service that has those on one."""
    return {method.name: _handler(contract, method, single, serving) for method, single in contract.bulk.items()}


def _handler(contract: Contract, method: MethodDescriptor, single: MethodDescriptor, serving: Callable[[], Service]) -> Handler:
    make = response_class(method)

    async def handle(call: Call, request: Any) -> Message:
        if request.versions and len(request.versions) != len(request.ids):
            words = (
                f"{len(request.versions)} versions for {len(request.ids)} ids; give one for each id, 0 where none was seen, or none at all"
            )
            raise Invalid(words, field="versions")
        turns, together = asyncio.Semaphore(AT_ONCE), Together(call.changes.anew)
        asked: Any = call.asked if call.asked is not None else request  # by which id of a merged customer it was sent, each record keeps

        async def one(index: int) -> Any:
            async with turns:
                return await _one(call, together, single, serving(), _row(contract, single, asked, index), request.ids[index])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(index)) for index in range(len(request.ids))]
        return make(outcomes=[task.result() for task in tasks])

    async def first_failure(call: Call, request: Any) -> Message:
        try:
            return await handle(call, request)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    return first_failure


async def _one(call: Call, together: Together, single: MethodDescriptor, service: Service, row: Any, identity: str) -> Any:
    if call.milliseconds_left < SPARED_MILLISECONDS:
        raise Conflict("not every record was done in time; send the same request again, and it goes on with the others", code="BUSY")
    own = replace(call, changes=together.fresh(), deputy_for={}, shown_by={}, seen=[])
    try:
        answer = await judged(single, service, own, row, together.fresh)
    except CrmError as refusal:
        return outcome_pb2.BulkOutcome(record_id=identity, refusals=[_refusal(each) for each in (refusal, *refusal.also)])
    return outcome_pb2.BulkOutcome(record_id=identity, done=True, version=getattr(answer, answer.DESCRIPTOR.fields[0].name).version)


def _row(contract: Contract, single: MethodDescriptor, request: Any, index: int) -> Any:
    """The command on one record. It needs no judging by its contract, for that on many has the same rules."""
    identity = request.ids[index]
    made: Any = request_class(single)(**{contract.key: identity})
    made.request_id = hashlib.sha256(f"{request.request_id}\n{identity}".encode()).hexdigest()[:40]
    seen = request.versions[index] if request.versions else 0
    if seen or not made.DESCRIPTOR.fields_by_name["version"].has_presence:
        made.version = seen or ANY_VERSION
    for field, value in request.ListFields():
        if field.name in _OWN:
            continue
        if field.is_repeated:
            getattr(made, field.name).extend(value)
        elif field.message_type is not None:
            getattr(made, field.name).CopyFrom(value)
        else:
            setattr(made, field.name, value)
    return made


def _refusal(refusal: CrmError) -> Any:
    details = orjson.dumps(refusal.details).decode() if refusal.details else ""
    return outcome_pb2.Refusal(
        code=refusal.code, message=refusal.message, field=refusal.field, retryable=refusal.retryable, params=refusal.params, details=details
    )
