"""A gRPC service as the suite serves it: contract in, policy, validation, one handler a method, one transaction a write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from chassis.access.caller import lacking
from chassis.access.counts import limit_counts
from chassis.access.fields import limit_answer, refuse_writes, resource_of
from chassis.kernel.errors import Conflict, CrmError
from chassis.rpc import forms, stale, survivors
from chassis.rpc.call import Call
from chassis.rpc.documents import message_class
from chassis.rpc.repeats import Repeat, is_repeatable
from chassis.rpc.trials import not_triable, untried
from chassis.rpc.validation import bound, validate
from chassis.storage.changes import REQUESTS, Changes, Duplicate, as_refusal
from chassis.storage.records import Records

Handler = Callable[[Call, Any], Awaitable[Message]]
Rule = Callable[[dict[str, Any]], object]  # refuses a record for its state; what it gives is of no matter
PUBLIC = "public"
ATTEMPTS = 25


@dataclass(frozen=True)
class Service:
    """The handlers of one service. Every method of the contract needs a handler and a policy, or the process does not start.

    `duplicates` maps a unique index to (code, field) of its refusal; with the code BUSY the call is tried again, and its handler finds what another
    one has just made. `records` is where the records of the noun are that it serves, if it serves one. `rules` has, by method, what refuses a
    command for the state in which a record is: told beforehand (RightsService).
    """

    descriptor: ServiceDescriptor
    handlers: Mapping[str, Handler]
    duplicates: Mapping[str, tuple[str, str]]
    records: Records | None = None
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = {method.name for method in self.descriptor.methods}
        if missing := names - set(self.handlers):
            raise RuntimeError(f"{self.descriptor.full_name}: no handler for {', '.join(sorted(missing))}")
        if unknown := set(self.handlers) - names:
            raise RuntimeError(f"{self.descriptor.full_name}: the contract has no {', '.join(sorted(unknown))}")
        for method in self.descriptor.methods:
            policy_of(method)


def policy_of(method: MethodDescriptor) -> tuple[str, str]:
    """(resource, action) that a method needs; ("", "public") for none. A method without a policy is a fault of ours."""
    access = str(method.GetOptions().Extensions[annotations_pb2.access])
    if access == PUBLIC:
        return "", PUBLIC
    resource, _, action = access.partition(".")
    if not resource or not action:
        raise RuntimeError(f"{method.full_name} has no policy; give it option (crm.common.v1.access)")
    return resource, action


async def run(method: MethodDescriptor, service: Service, call: Call, request: Message, fresh: Callable[[], Changes]) -> Message:
    """One call: policy, then the handler, then the commit of what it collected. Writes are repeatable by request id.

    A write is tried again on a conflict: its handler reads anew, and refuses where the record is not of the version named any more.
    """
    resource, action = policy_of(method)
    if action == "read" and not call.by_roles:
        call.contracts = call.directory.contracts_for(call.caller, resource)
    if action != PUBLIC and not call.contracts and not call.directory.allows(call.caller, resource, action):
        raise lacking(resource, action)
    if call.changes.trial and action != "read" and (why := untried(method)):
        raise not_triable(method, why)
    bound(request)
    forms.tidy(request)
    validate(request)
    return await judged(method, service, call, request, fresh)


async def judged(method: MethodDescriptor, service: Service, call: Call, request: Message, fresh: Callable[[], Changes]) -> Message:
    """A call whose sender may send it at all, and whose request is one by the rules of its contract."""
    resource, action = policy_of(method)
    await call.aliases.fresh()
    if action not in ("read", PUBLIC):
        refuse_writes(request, _row_of(method, resource), call.limits(resource))
    call.asked = asked = request
    request, call.meant = survivors.meant(method, request, call.aliases)
    repeat = Repeat(method, call, asked) if is_repeatable(asked) and not call.changes.trial else None  # of a trial no answer is kept
    answer = await _answer(method, service, call, request, repeat, fresh)
    if request is not asked:
        survivors.as_asked(asked, request, answer)
    limit_answer(answer, call.limits)
    limit_counts(answer, lambda counted: call.reach(counted, "read", "customer_id"), call.shown_by.__contains__)
    return answer


async def _answer(
    method: MethodDescriptor, service: Service, call: Call, request: Message, repeat: Repeat | None, fresh: Callable[[], Changes]
) -> Message:
    try:
        return await _attempts(method, service, call, request, repeat, fresh)
    except CrmError as refusal:
        # A twin of this request may have been faster: then its answer is the answer. One that is slower must not come after a refusal.
        final = not refusal.retryable and policy_of(method)[1] != PUBLIC
        if repeat and (earlier := await (repeat.refuse() if final else repeat.earlier())):
            return earlier
        await stale.complete(call, refusal)
        raise


@cache
def _row_of(method: MethodDescriptor, resource: str) -> Descriptor | None:
    """The record of which a batch command takes whole ones."""
    found = (field.message_type for field in method.input_type.fields if field.message_type and field.is_repeated)
    return next((row for row in found if resource_of(row) == resource), None)


async def _attempts(
    method: MethodDescriptor, service: Service, call: Call, request: Message, repeat: Repeat | None, fresh: Callable[[], Changes]
) -> Message:
    for attempt in range(ATTEMPTS):
        if repeat and (earlier := await repeat.earlier()):
            return earlier
        call.changes, call.attempt = fresh(), attempt
        response = await service.handlers[method.name](call, request)
        if repeat:
            await repeat.keep(response)
        try:
            await call.changes.commit()
        except Duplicate as duplicate:
            if repeat and duplicate.collection == REQUESTS and (earlier := await repeat.earlier()):
                return earlier
            refusal, drawn = as_refusal(duplicate, service.duplicates), (duplicate.collection, duplicate.index) in call.drawn
            if not (refusal.retryable or drawn) or attempt + 1 == ATTEMPTS:
                raise refusal from duplicate
            await _pause(attempt)  # somebody made the same document a moment ago; the handler finds it now, or draws another number
        except Conflict as conflict:
            # Whoever named a version and was a moment too late is told what changed by the handler, which reads anew.
            if attempt + 1 == ATTEMPTS or not conflict.retryable or (_names_version(request) and conflict.code != Conflict.code):
                raise
            await _pause(attempt)
        else:
            return response
    raise AssertionError("unreachable")


async def _pause(attempt: int) -> None:
    """A short random wait that spreads those who met."""
    await asyncio.sleep(random.uniform(0, min(0.01 * (attempt + 1), 0.1)))  # noqa: S311


def _names_version(request: Message) -> bool:
    fields = request.DESCRIPTOR.fields_by_name
    return "version" in fields and bool(getattr(request, "version", 0))


@cache
def response_class(method: MethodDescriptor) -> type[Message]:
    """The class of a method's answer."""
    return message_class(method.output_type)


@cache
def request_class(method: MethodDescriptor) -> type[Message]:
    """The class of a method's question."""
    return message_class(method.input_type)


def internal() -> CrmError:
    """What a caller is told when the fault is ours: nothing of the inside."""
    return CrmError("the department failed on this request; the log holds one line with the request id", code="INTERNAL")
