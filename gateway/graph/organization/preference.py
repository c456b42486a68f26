"""What a client remembers for whoever is signed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import strawberry
from crm.organization.v1 import preference_service_pb2 as contract
from google.protobuf.descriptor import MethodDescriptor
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.contract import Json, Long, comment
from gateway.graph.judged import by
from gateway.graph.noun import UserError, commanded

_SERVICE = contract.DESCRIPTOR.services_by_name["PreferenceService"]


@strawberry.type(description="One thing that a client remembers for you.")
class Preference:
    """A preference with its value as JSON."""

    key: str = strawberry.field(description='What it is about, e.g. "list.customers.columns"; the client\'s own words.')
    value: Json = strawberry.field(description="The value.")
    version: Long = strawberry.field(description="Grows by one each time it is set, from 1.")
    update_time: datetime = strawberry.field(description="When it was set, UTC.")


@strawberry.input(description="One thing that a client wants to remember for you.")
class PreferenceSetInput:
    """What preferenceSet takes."""

    key: str = strawberry.field(
        description='What it is about: 1 to 64 printable ASCII characters without blanks, e.g. "list.customers.columns".'
    )
    value: Json | None = strawberry.field(
        default=None, description="The value, 8,192 bytes at most as JSON; takes the preference away when not given."
    )


@strawberry.type(description="What became of PreferenceSet.")
class PreferenceSetPayload:
    """What preferenceSet gives."""

    preference: Preference | None = strawberry.field(description="The preference as it is now; null when it was taken away.")
    errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was done.")


def _method(name: str) -> MethodDescriptor:
    found: MethodDescriptor = _SERVICE.methods_by_name[name]
    return found


def _shown(one: Any) -> Preference:
    return Preference(key=one.key, value=orjson.loads(one.value), version=one.version, update_time=one.update_time.ToDatetime(UTC))


def queries() -> dict[str, Any]:
    """The top-level field."""
    method = _method("ListPreferences")

    async def resolve(info: Info, keys: list[str] | None = None) -> Any:
        context: Context = info.context
        try:
            request = contract.ListPreferencesRequest(keys=keys or [])
            answer = await context.clients.read("organization", _SERVICE, method.name, request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, "organization") from None
        return [_shown(one) for one in answer.preferences]

    arguments = {"keys": (list[str] | None, None)}
    words = "What clients remember for you, by key. Nobody else gets it, and it is gone when you leave."
    shown = strawberry.field(resolver=signed(resolve, arguments, list[Preference] | None), description=words, metadata=by(method))
    return {"viewerPreferences": shown}


def mutations() -> dict[str, Any]:
    """The mutation."""
    method = _method("SetPreference")

    async def resolve(info: Info, input: PreferenceSetInput) -> Any:
        def ask() -> tuple[str, Any]:
            request = contract.SetPreferenceRequest(key=input.key)
            if input.value is not None:
                request.value = orjson.dumps(input.value).decode()
            return "organization", request

        answer = await commanded(info, method, ask)
        one = answer["preference"]
        return PreferenceSetPayload(preference=_shown(one) if one is not None and one.key else None, errors=answer["errors"])

    arguments = {"input": (PreferenceSetInput, ...)}
    shown = strawberry.field(
        resolver=signed(resolve, arguments, PreferenceSetPayload), description=comment(method.full_name), metadata=by(method)
    )
    return {"preferenceSet": shown}
