"""Presence: who is at a record at this moment, told to who may read it, by who may read it. Nothing of it is stored."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from enum import Enum
from itertools import compress
from typing import Any

import strawberry
from crm.common.v1 import explanation_service_pb2
from crm.common.v1.access_pb2 import FIELD_ACCESS_HIDDEN
from crm.common.v1.explanation_service_pb2 import ExplainAccessRequest
from graphql import GraphQLError
from strawberry.types import Info

from chassis.access.tokens import claims_of
from chassis.kernel.errors import CrmError, Invalid, NotFound, unauthenticated
from chassis.rpc.documents import snake
from gateway.departments.context import Context
from gateway.departments.errors import field_error, user_errors
from gateway.departments.loaders import load_record, load_records
from gateway.departments.presence import BEAT_SECONDS, LEFT, Place, Present
from gateway.graph.arguments import described, signed
from gateway.graph.contract import from_global
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, UserError
from gateway.graph.sizes import ROWS

_EXPLANATIONS = explanation_service_pb2.DESCRIPTOR.services_by_name["ExplanationService"]
LOOK_SECONDS = 2.0
SHOWN = 10  # people at one record, as the cost of an operation reckons
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,59}")


@strawberry.enum(description="What somebody does at a record.")
class PresenceActivity(Enum):
    """As the client tells it."""

    VIEWING = strawberry.enum_value("VIEWING", description="Looks at it.")
    EDITING = strawberry.enum_value("EDITING", description="Changes it; `field` says what.")
    REPLYING = strawberry.enum_value("REPLYING", description="Writes a reply or a note.")
    LEFT = strawberry.enum_value("LEFT", description="Has left it; only in a beat.")


@strawberry.input(description="A beat: somebody is at a record.")
class PresenceBeatInput:
    """What presenceBeat takes."""

    id: strawberry.ID = strawberry.field(description="Id of the record.")
    activity: PresenceActivity = strawberry.field(description="What is done there.")
    field: str | None = strawberry.field(default=None, description="The field that is being edited, as the graph names it, e.g. amount.")


@strawberry.type(description="What became of presenceBeat.")
class PresenceBeatPayload:
    """What presenceBeat gives."""

    next_seconds: int | None = strawberry.field(
        description="Beat again after so many seconds, as long as it is so; after 25 without a beat one has gone. Null when refused."
    )
    errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was done.")


def mutations() -> dict[str, Any]:
    """The mutation."""

    async def resolve(info: Info, input: PresenceBeatInput) -> Any:
        context: Context = info.context
        try:
            if input.field and not _FIELD.fullmatch(input.field):
                raise Invalid("«field» is no name of a field; give it as the graph names it, or leave it out", field="field")
            place = await _place(context, str(input.id))
            person_id = str(claims_of(context.token).get("sub", ""))
            await context.live.presences.beat(place, person_id, input.activity.name, input.field or "")
        except GraphQLError as error:
            extensions = error.extensions or {}
            refusal = CrmError(error.message, code=extensions.get("code"), retryable=bool(extensions.get("retryable")))
            return {"next_seconds": None, "errors": user_errors(refusal, await context.language())}
        except CrmError as error:
            return {"next_seconds": None, "errors": user_errors(error, await context.language())}
        return {"next_seconds": BEAT_SECONDS, "errors": []}

    words = "Tells those who are at the same record that you are there. Ephemeral: it is stored nowhere, and stands in no history."
    shape = signed(resolve, {"input": (PresenceBeatInput, ...)}, PresenceBeatPayload)
    return {"presenceBeat": strawberry.field(resolver=shape, description=words, metadata=_judged())}


def subscription(verified: Callable[[Context], Awaitable[None]]) -> Any:
    """Who is at a record: the whole list, each time that it changes."""
    person = _person()

    async def stream(info: Info, *, id: strawberry.ID) -> AsyncGenerator[list[Any], None]:
        context: Context = info.context
        try:
            await verified(context)
            place, last = await _place(context, str(id)), None
            while (left := float(claims_of(context.token).get("exp", 0)) - time.time()) > 0:
                with context.live.presences.watching(place) as changed:
                    here = context.live.presences.at(place)
                    # Whoever may not read the record any more hears of nobody, and of nothing more.
                    at = await _still(context, str(id))
                    if at == place and (shown := [one.shown for one in here]) != last:
                        last = shown
                        context.forget()  # what hangs on the people is read anew too
                        yield await _people(context, person, here, await _shown_fields(context, place, here))
                    if at in (place, None):
                        await _wait(changed, min(left, LOOK_SECONDS))
                    place = at or place  # of a customer that was merged: people are at the one that stayed
            raise unauthenticated("The token has expired.")
        except CrmError as error:
            raise field_error(error, "gateway") from None

    kinds = inspect.Parameter
    shapes: dict[str, Any] = {"info": Info, "id": described("id", strawberry.ID), "return": AsyncGenerator[list[person], None]}  # type: ignore[valid-type]
    parameters = [
        kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info), kinds("id", kinds.KEYWORD_ONLY, annotation=shapes["id"]),
    ]  # fmt: skip
    stream.__signature__ = inspect.Signature(parameters, return_annotation=shapes["return"])  # type: ignore[attr-defined]
    stream.__annotations__ = shapes
    words = "Who is at a record that you may read, yourself too: everybody who is, at first and each time that it changes. Not resumable: it has no past."
    return strawberry.subscription(resolver=stream, description=words, metadata={**_judged(), ROWS: SHOWN})


def _judged() -> dict[str, Any]:
    return by(*(noun.by_id for noun in NOUNS.values()), _EXPLANATIONS.methods_by_name["ExplainAccess"])


def _person() -> Any:
    fields = {
        "person": strawberry.field(description="Who; null where you may not see the person."),
        "activity": strawberry.field(description="What is done there."),
        "field": strawberry.field(description="The field that is being edited, if one is; null where you get nothing of it."),
        "since": strawberry.field(description="Since when they are there, as far as this gateway knows, UTC."),
    }
    shapes = {"person": NOUNS["Person"].type | None, "activity": PresenceActivity, "field": str | None, "since": datetime}
    kind = type("PresentPerson", (), {**fields, "__annotations__": shapes})
    return strawberry.type(kind, name="PresentPerson", description="Somebody who is at a record.")


async def _place(context: Context, identity: str) -> Place:
    """Where the record is, if the caller may read it by role or collaboration. Raises NotFound: one that is not, and one that is out of reach,
    are not told apart."""
    kind, record_id = from_global(identity)
    noun = NOUNS.get(kind)
    if noun is None or noun.by_id is None:
        raise Invalid(f"nobody is at a {kind}; give the id of a record", field="id")
    fresh = Context(context.clients, context.live, context.token, by_roles=True)
    record = await load_record(fresh, noun, record_id, ("id",))
    if record is None:
        raise NotFound("there is no such record that you may see; check the id", field="id")
    return noun.name, str(record.id)


async def _still(context: Context, identity: str) -> Place | None:
    """Where the record is, if the caller may read it still; None for the moment where its department is away. Raises what ends it."""
    try:
        return await _place(context, identity)
    except GraphQLError as error:
        if not (error.extensions or {}).get("retryable"):
            raise
        return None


async def _shown_fields(context: Context, place: Place, here: list[Present]) -> frozenset[str]:
    """Of the fields that people are at, those that the reader gets anything of: the department that has the record says so."""
    noun = NOUNS[place[0]]

    async def shown(name: str) -> bool:
        request = ExplainAccessRequest(
            resource=noun.contract.resource, record_id=place[1], action="read", field=snake(name.partition(".")[0])
        )
        try:
            answer = await context.clients.read(noun.department, _EXPLANATIONS, "ExplainAccess", request, context.token, context.request_id)
        except CrmError:
            return False  # no field of the record, or nobody says for the moment that it may be told
        return bool(answer.field_access > FIELD_ACCESS_HIDDEN)

    names = sorted({one.field for one in here if one.field})
    return frozenset(compress(names, await asyncio.gather(*map(shown, names))))


async def _people(context: Context, person: Any, here: list[Present], fields: frozenset[str]) -> list[Any]:
    fresh = Context(context.clients, context.live, context.token)
    found = await load_records(fresh, NOUNS["Person"], [one.person_id for one in here], ())
    return [
        person(
            person=None if isinstance(who, Exception) else who,
            activity=PresenceActivity[one.activity],
            field=one.field if one.field in fields else None,
            since=one.since,
        )
        for one, who in zip(here, found, strict=True)
        if one.activity in PresenceActivity.__members__ and one.activity != LEFT
    ]


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        pass
