"""What the sign-in page offers."""

from __future__ import annotations

from typing import Any

import strawberry
from crm.organization.v1 import identity_provider_pb2, identity_provider_service_pb2
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.contract import comment, finish, output_class
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS


def queries() -> dict[str, Any]:
    """The choices of the sign-in page, for anybody."""
    choice = finish(output_class(identity_provider_pb2.SignInChoice.DESCRIPTOR))
    provider = NOUNS["IdentityProvider"]
    method = provider.method("ListSignInChoices")

    async def resolve(info: Info) -> Any:
        context: Context = info.context
        try:
            request = identity_provider_service_pb2.ListSignInChoicesRequest()
            answer = await context.clients.read("organization", provider.service, method.name, request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, "organization") from None
        return list(answer.choices)

    words = comment(method.full_name)
    return {"signInChoices": strawberry.field(resolver=signed(resolve, {}, list[choice] | None), description=words, metadata=by(method))}  # type: ignore[valid-type]
