"""Commands on many records: one mutation, an outcome for each record, every refusal in the graph's words."""

from __future__ import annotations

from typing import Any

import orjson
import strawberry
from google.protobuf.descriptor import MethodDescriptor
from strawberry.types import Info

from chassis.kernel.errors import CrmError
from gateway.departments.errors import user_errors
from gateway.graph.arguments import signed
from gateway.graph.contract import Long, comment, to_global
from gateway.graph.inputs import input_type, to_request
from gateway.graph.judged import by
from gateway.graph.noun import Noun, UserError, commanded
from gateway.graph.sizes import ROWS

PATIENCE = 3  # five hundred records may take so many times what a command may
SHOWN = 100  # records of one command, as the cost of an operation reckons


@strawberry.type(description="What became of one record of a command on many.")
class BulkOutcome:
    """One record."""

    id: strawberry.ID = strawberry.field(description="Id of the record.")
    ok: bool = strawberry.field(description="Whether it was done.")
    version: Long | None = strawberry.field(description="The version of the record after it; null where it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused; empty where it was done.")


@strawberry.type(description="What became of a command on many records.")
class BulkPayload:
    """All of them."""

    outcomes: list[BulkOutcome] | None = strawberry.field(
        description="One for each record, in the order of the ids; null when the command as a whole was refused.", metadata={ROWS: SHOWN}
    )
    errors: list[UserError] = strawberry.field(description="Why the command as a whole was refused; empty when each record was judged.")


def mutations(noun: Noun) -> dict[str, Any]:
    """Its commands on many records, e.g. customersBulkAssign."""
    names = {shown(noun, method): method for method in noun.contract.bulk}
    return {name: _mutation(noun, method, f"{name[0].upper()}{name[1:]}Input") for name, method in names.items()}


def shown(noun: Noun, method: MethodDescriptor) -> str:
    """The name of the mutation: BulkAssignCustomers → customersBulkAssign."""
    verb = noun.contract.bulk[method].name.removesuffix(noun.name)
    plural = method.name.removeprefix(f"Bulk{verb}")
    return f"{plural[0].lower()}{plural[1:]}Bulk{verb}"


def _mutation(noun: Noun, method: MethodDescriptor, name: str) -> Any:
    takes = input_type(method.input_type, name)

    async def resolve(info: Info, input: Any, validate_only: bool = False) -> Any:
        def ask() -> tuple[str, Any]:
            return noun.department, to_request(input, method.input_type)

        told = await commanded(info, method, ask, trial=validate_only, patience=PATIENCE)
        if told["outcomes"] is None:
            return told
        language = await info.context.language() if any(one.refusals for one in told["outcomes"]) else ""
        return told | {"outcomes": [_outcome(noun, one, language) for one in told["outcomes"]]}

    arguments: dict[str, Any] = {"input": (takes, ...), "validate_only": (bool, False)}
    return strawberry.field(resolver=signed(resolve, arguments, BulkPayload), description=comment(method.full_name), metadata=by(method))


def _outcome(noun: Noun, outcome: Any, language: str) -> dict[str, Any]:
    errors = [told for each in outcome.refusals for told in user_errors(_refusal(each), language)]
    version = outcome.version if outcome.done else None
    return {"id": to_global(noun.name, outcome.record_id), "ok": outcome.done, "version": version, "errors": errors}


def _refusal(told: Any) -> CrmError:
    details = orjson.loads(told.details) if told.details else {}
    return CrmError(told.message, code=told.code, field=told.field, retryable=told.retryable, params=dict(told.params), details=details)
