"""Subscriptions: facts as they happen, or since a cursor, each checked anew against what the caller may see now."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from typing import Annotated, Any

import strawberry
from crm.common.v1 import history_service_pb2
from graphql import GraphQLError
from strawberry.types import Info

from chassis.access.fields import resource_of
from chassis.access.tokens import claims_of
from chassis.kernel.errors import CrmError, Invalid
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.following import Following, Wanted
from gateway.departments.live import Fact
from gateway.departments.loaders import load_record
from gateway.graph import jobs, presence
from gateway.graph.arguments import described
from gateway.graph.contract import Node, from_global
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS

MOST_RECORDS = 100
PAUSES = (0.1, 0.5, 1.5, 3.0)
_HISTORIES = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]


@strawberry.type(description="A fact that just happened to a record.")
class RecordChange:
    """What a subscription delivers."""

    event_id: str = strawberry.field(description="Id of the event; the same for every subscriber.")
    event_type: str = strawberry.field(description='What happened, e.g. "crm.sales.v1.OpportunityWon".')
    department: str = strawberry.field(description="The department that announced it.")
    occur_time: datetime = strawberry.field(description="When, UTC.")
    record: Node | None = strawberry.field(description="The record as it is now.")
    cursor: str = strawberry.field(
        description="Where this change stands. Subscribe again with it as `after` and nothing since is missed; compare `eventId`, the newest "
        "changes may come twice."
    )


def build() -> Any:
    """The root type."""
    found = {
        "recordChanged": _field("id", _of_record, "Changes of one record that you may see."),
        "customerActivity": _field("customer_id", _of_customer, "Everything that any department does with a customer that you may see."),
        "recordsChanged": _field(
            "ids",
            _of_records,
            f"Changes of up to {MOST_RECORDS} records that you may see, of any kind: what a list shows.",
            list[strawberry.ID],
        ),
        "resourceChanged": _field("resource", _of_resource, "Changes of every record of a resource that you may see.", str),
        "ticketChanged": _field("", _of_tickets, "Changes of every ticket that you may see."),
        "jobChanged": jobs.changed(_verified),
        "presence": presence.subscription(_verified),
    }
    for shown, field in found.items():
        field.name = shown
    return strawberry.type(
        type("Subscription", (), found), name="Subscription", description="Facts as they happen. Ends when the token does."
    )


def _of_record(identity: Any) -> Wanted:
    kind, record_id = from_global(str(identity))
    noun = NOUNS.get(kind)
    if noun is None or noun.by_id is None:
        raise Invalid(f"changes of a {kind} are not told; give the id of a record", field="id")
    return Wanted((noun.department,), kind, records=frozenset({(kind, record_id)}))


def _of_records(ids: list[str]) -> Wanted:
    if not 1 <= len(ids) <= MOST_RECORDS:
        raise Invalid(f"{len(ids)} ids; give 1 to {MOST_RECORDS}, those that a page shows", field="ids")
    each = [_of_record(str(identity)) for identity in ids]
    departments = dict.fromkeys(department for one in each for department in one.departments)
    kinds = {one.noun for one in each}
    return Wanted(tuple(departments), kinds.pop() if len(kinds) == 1 else "", records=frozenset().union(*(one.records for one in each)))


def _of_resource(resource: str) -> Wanted:
    found = {resource_of(noun.descriptor): noun for noun in NOUNS.values() if noun.by_id is not None}
    noun = found.get(resource) if resource else None
    if noun is None:
        words = "changes of such a resource are not told; give one as policies name it, such as «customers», «opportunities» or «tickets»"
        raise Invalid(words, field="resource")
    return Wanted((noun.department,), noun.name)


def _of_customer(identity: Any) -> Wanted:
    departments = dict.fromkeys(noun.department for noun in NOUNS.values() if "customer_id" in noun.descriptor.fields_by_name)
    return Wanted(tuple(departments), customer_id=from_global(str(identity), "Customer", "customerId")[1])


def _of_tickets(_: str) -> Wanted:
    return Wanted((NOUNS["Ticket"].department,), "Ticket")


def _field(argument: str, choose: Callable[[Any], Wanted], description: str, shape: Any = strawberry.ID) -> Any:
    async def stream(info: Info, **given: Any) -> AsyncGenerator[RecordChange, None]:
        context: Context = info.context
        try:
            following = Following(context, choose(given[argument] if argument else ""), given.get("after"))
            await _verified(context)
            async for fact in following.facts(partial(_still, context)):
                record = await _record(context, fact)
                if record is not None:
                    context.forget()  # what hangs on the record is read anew too: it may be closed to the caller by now
                    yield RecordChange(
                        event_id=fact.event_id, event_type=fact.event_type, department=fact.department, occur_time=fact.time,
                        record=record, cursor=following.cursor,
                    )  # fmt: skip
        except CrmError as error:
            raise field_error(error, "gateway") from None

    kinds = inspect.Parameter
    parameters = [kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info)]
    shapes: dict[str, Any] = {"info": Info, "return": AsyncGenerator[RecordChange, None]}
    if argument:
        shapes[argument] = described(argument, shape)
        parameters.append(kinds(argument, kinds.KEYWORD_ONLY, annotation=shapes[argument]))
    words = "Go on behind this cursor of a change that was delivered; from now on when left out."
    shapes["after"] = Annotated[str | None, strawberry.argument(description=words)]
    parameters.append(kinds("after", kinds.KEYWORD_ONLY, annotation=shapes["after"], default=None))
    stream.__signature__ = inspect.Signature(parameters, return_annotation=shapes["return"])  # type: ignore[attr-defined]
    stream.__annotations__ = shapes
    judged = by(*(noun.by_id for noun in NOUNS.values()), _HISTORIES.methods_by_name["ListFacts"])
    return strawberry.subscription(resolver=stream, description=description, metadata=judged)


async def _verified(context: Context) -> None:
    """Ask a department whether the token is good before anything is listened for; nobody holds a line open with a forged one.

    Whoever may not even read themselves has a good token all the same.
    """
    person_id = str(claims_of(context.token).get("sub", "none"))
    try:
        await load_record(Context(context.clients, context.live, context.token), NOUNS["Person"], person_id, ("id",))
    except GraphQLError as error:
        if (error.extensions or {}).get("code") != "NOT_ALLOWED":
            raise


async def _still(context: Context) -> None:
    """Raise when the token is good no more; a department that is away says nothing about it."""
    try:
        await _verified(context)
    except GraphQLError as error:
        if (error.extensions or {}).get("code") == "UNAUTHENTICATED":
            raise


async def _record(context: Context, fact: Fact) -> Any:
    """The record for this caller; None when they may not see it now. A fresh loader: nothing is remembered between facts.

    What only a sharing contract shows is not delivered: that a fact happened tells of fields that it does not show. A department that is away
    comes back; the facts behind this one wait in the queue."""
    noun = NOUNS.get(fact.noun)
    if noun is None or noun.by_id is None:
        return None
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        try:
            return await load_record(Context(context.clients, context.live, context.token, by_roles=True), noun, fact.record_id, ())
        except GraphQLError as error:
            code = (error.extensions or {}).get("code")
            if code == "NOT_ALLOWED":  # what the role may not read did not happen for it
                return None
            ended = time.time() >= float(claims_of(context.token).get("exp", 0))
            if ended or code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):  # a bad token ends it
                raise
        await asyncio.sleep(pause)
    return None
