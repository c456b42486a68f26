"""How records are numbered, in every department that numbers some: a list over all of them, and the change of one rule."""

from __future__ import annotations

import asyncio
from typing import Any

import strawberry
from crm.common.v1 import numbering_pb2
from crm.common.v1 import numbering_service_pb2 as contract
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.contract import nouns
from chassis.rpc.documents import traits
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.graph.arguments import signed
from gateway.graph.contract import comment, output_class
from gateway.graph.inputs import input_type, to_request
from gateway.graph.judged import by
from gateway.graph.noun import commanded, payload_type

_SERVICE = contract.DESCRIPTOR.services_by_name["NumberingRuleService"]
_RULE = numbering_pb2.NumberingRule.DESCRIPTOR
# Resource → the department that numbers its records.
NUMBERED = {noun.resource: noun.department for noun in nouns() if any(traits(field).HasField("numbered") for field in noun.record.fields)}


def queries() -> dict[str, Any]:
    """The top-level field."""
    method = _SERVICE.methods_by_name["ListNumberingRules"]

    async def resolve(info: Info) -> Any:
        context: Context = info.context

        async def ask(department: str) -> Any:
            request = contract.ListNumberingRulesRequest()
            try:
                answer = await context.clients.read(department, _SERVICE, method.name, request, context.token, context.request_id)
            except CrmError as error:
                raise field_error(error, department) from None
            return list(answer.numbering_rules)

        found = await asyncio.gather(*map(ask, sorted(set(NUMBERED.values()))))
        return sorted((rule for rules in found for rule in rules), key=lambda rule: str(rule.resource))

    rule: Any = output_class(_RULE)
    words = "How records are numbered, by resource."
    shape: Any = list[rule] | None
    return {"numberingRules": strawberry.field(resolver=signed(resolve, {}, shape), description=words, metadata=by(method))}


def mutations() -> dict[str, Any]:
    """The mutation."""
    method = _SERVICE.methods_by_name["UpdateNumberingRule"]

    def ask(value: Any) -> tuple[str, Any]:
        request: Any = to_request(value, method.input_type)
        if request.resource not in NUMBERED:
            raise Invalid(
                f"there is no numbering rule of «{request.resource[:50]}»; there are rules of {', '.join(sorted(NUMBERED))}",
                field="resource",
            )
        return NUMBERED[request.resource], request

    async def resolve(info: Info, input: Any) -> Any:
        return await commanded(info, method, lambda: ask(input))

    takes, returns = input_type(method.input_type, "NumberingRuleUpdateInput"), payload_type(method, "NumberingRuleUpdate")
    field = strawberry.field(
        resolver=signed(resolve, {"input": (takes, ...)}, returns), description=comment(method.full_name), metadata=by(method)
    )
    return {"numberingRuleUpdate": field}
