"""Subscriptions: facts as they happen, each checked anew against what the caller may see now."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from functools import partial
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.types import Info

from chassis.access.tokens import claims_of
from chassis.kernel.errors import CrmError
from gateway.context import Context
from gateway.errors import field_error
from gateway.graph.contract import Node, from_global
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, described
from gateway.live import Fact
from gateway.loaders import load_record

log = logging.getLogger("crm.gateway")
PAUSES = (0.1, 0.5, 1.5, 3.0)


@strawberry.type(description="A fact that just happened to a record.")
class RecordChange:
    """What a subscription delivers."""

    event_id: str = strawberry.field(description="Id of the event; the same for every subscriber.")
    event_type: str = strawberry.field(description='What happened, e.g. "crm.sales.v1.OpportunityWon".')
    department: str = strawberry.field(description="The department that announced it.")
    occur_time: datetime = strawberry.field(description="When, UTC.")
    record: Node | None = strawberry.field(description="The record as it is now.")


def build() -> Any:
    """The root type."""
    found = {
        "recordChanged": _field("id", _of_record, "Changes of one record that you may see."),
        "customerActivity": _field("customer_id", _of_customer, "Everything that any department does with a customer that you may see."),
        "ticketChanged": _field("", _of_tickets, "Changes of every ticket that you may see."),
    }
    for shown, field in found.items():
        field.name = shown
    return strawberry.type(
        type("Subscription", (), found), name="Subscription", description="Facts as they happen. Ends when the token does."
    )


def _of_record(identity: str) -> Callable[[Fact], bool]:
    kind, record_id = from_global(identity)
    return lambda fact: fact.record_id == record_id and fact.noun == kind


def _of_customer(identity: str) -> Callable[[Fact], bool]:
    customer_id = from_global(identity, "Customer", "customerId")[1]
    return lambda fact: fact.customer_id == customer_id and fact.noun in NOUNS


def _of_tickets(_: str) -> Callable[[Fact], bool]:
    return lambda fact: fact.noun == "Ticket"


def _field(argument: str, choose: Callable[[str], Callable[[Fact], bool]], description: str) -> Any:
    async def stream(info: Info, **given: Any) -> AsyncGenerator[RecordChange, None]:
        context: Context = info.context
        try:
            wanted = choose(str(given[argument]) if argument else "")
            await _verified(context)
            async for fact in context.live.facts(wanted, context.token, partial(_still, context)):
                change = await _deliver(context, fact)
                if change is not None:
                    context.forget()  # what hangs on the record is read anew too: it may be closed to the caller by now
                    yield change
        except CrmError as error:
            raise field_error(error, "gateway") from None

    kinds = inspect.Parameter
    parameters = [kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info)]
    shapes: dict[str, Any] = {"info": Info, "return": AsyncGenerator[RecordChange, None]}
    if argument:
        shapes[argument] = described(argument, strawberry.ID)
        parameters.append(kinds(argument, kinds.KEYWORD_ONLY, annotation=shapes[argument]))
    stream.__signature__ = inspect.Signature(parameters, return_annotation=shapes["return"])  # type: ignore[attr-defined]
    stream.__annotations__ = shapes
    return strawberry.subscription(resolver=stream, description=description, metadata=by(*(noun.by_id for noun in NOUNS.values())))


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


async def _deliver(context: Context, fact: Fact) -> RecordChange | None:
    """The change for this caller; None when they may not see the record now. A fresh loader: nothing is remembered between facts.

    What only a sharing contract shows is not delivered: that a fact happened tells of fields that it does not show."""
    noun = NOUNS.get(fact.noun)
    if noun is None or noun.by_id is None:
        return None
    for pause in (*PAUSES, None):
        try:
            record = await load_record(Context(context.clients, context.live, context.token, by_roles=True), noun, fact.record_id, ())
            break
        except GraphQLError as error:
            code = (error.extensions or {}).get("code")
            if code == "NOT_ALLOWED":  # what the role may not read did not happen for it
                return None
            if code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):  # a bad token ends it
                raise
            if pause is None:
                log.warning("fact not delivered", extra={"event_id": fact.event_id, "department": noun.department, "code": code})
                return None
            await asyncio.sleep(pause)  # a department that is away comes back; the facts behind this one wait in the queue
    if record is None:
        return None
    return RecordChange(event_id=fact.event_id, event_type=fact.event_type, department=fact.department, occur_time=fact.time, record=record)
