"""Who may what, why, and what happened: questions about any record, answered by the department that owns it."""

from __future__ import annotations

from typing import Any

import strawberry
from crm.common.v1 import access_pb2, access_service_pb2, explanation_service_pb2, history_pb2, history_service_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from strawberry.types import Info

from chassis.access.fields import resource_of
from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.service import request_class
from gateway.departments.context import Context
from gateway.departments.errors import field_error
from gateway.departments.loaders import rows_of
from gateway.graph import changes
from gateway.graph.arguments import signed
from gateway.graph.connections import Page, connection_type, first_of
from gateway.graph.contract import finish, from_global, output_class
from gateway.graph.judged import by
from gateway.graph.noun import NOUNS, Noun, cursor_of
from gateway.graph.selection import shows_cursors

_ACCESS = access_service_pb2.DESCRIPTOR.services_by_name["AccessService"]
_EXPLANATIONS = explanation_service_pb2.DESCRIPTOR.services_by_name["ExplanationService"]
_HISTORIES = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]


def queries() -> dict[str, Any]:
    """The top-level fields."""
    return {"grants": _grants(), "accessExplain": _explain(), "recordHistory": _history()}


def _grants() -> Any:
    grant = finish(output_class(access_pb2.Grant.DESCRIPTOR))

    async def resolve(info: Info, resource: str | None = None, everybody: bool = False) -> Any:
        context: Context = info.context
        try:
            request = access_service_pb2.ListGrantsRequest(own=not everybody, resource=resource)
            answer = await context.clients.read("organization", _ACCESS, "ListGrants", request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, "organization") from None
        return list(answer.grants)

    words = "The policy, as far as it is about you: what your roles allow, how far. Who stands in for somebody has more: ask can."
    arguments = {"resource": (str | None, None), "everybody": (bool, False)}
    judged = by(_ACCESS.methods_by_name["ListGrants"])
    return strawberry.field(resolver=signed(resolve, arguments, list[grant] | None), description=words, metadata=judged)  # type: ignore[valid-type]


def owner_of(identity: str) -> tuple[Noun, str]:
    """The noun of a record's id, and the department's own id."""
    kind, record_id = from_global(identity)
    noun = NOUNS.get(kind)
    if noun is None or not resource_of(noun.descriptor):
        raise Invalid(f"a {kind} is no record with an access of its own; give the id of one", field="id")
    return noun, record_id


def _explain() -> Any:
    explanation = finish(output_class(explanation_service_pb2.ExplainAccessResponse.DESCRIPTOR))

    async def resolve(
        info: Info, id: strawberry.ID, action: str = "read", field: str | None = None, person_id: strawberry.ID | None = None
    ) -> Any:
        context: Context = info.context
        department = "gateway"
        try:
            noun, record_id = owner_of(str(id))
            department = noun.department
            request = explanation_service_pb2.ExplainAccessRequest(
                resource=resource_of(noun.descriptor), record_id=record_id, action=action, field=_snake(field) if field else None,
                person_id=from_global(str(person_id), "Person", "personId")[1] if person_id else None,
            )  # fmt: skip
            return await context.clients.read(department, _EXPLANATIONS, "ExplainAccess", request, context.token, context.request_id)
        except CrmError as error:
            raise field_error(error, department) from None

    arguments = {
        "id": (strawberry.ID, ...),
        "action": (str, "read"),
        "field": (str | None, None),
        "person_id": (strawberry.ID | None, None),
    }
    words = "Why a person may, or may not, do an action on a record, or see or set one of its fields: the rule that decides."
    return strawberry.field(
        resolver=signed(resolve, arguments, explanation | None),
        description=words,
        metadata=by(_EXPLANATIONS.methods_by_name["ExplainAccess"]),
    )


def _snake(field: str) -> str:
    """The contract's spelling of a field of the graph."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in field)


def _history() -> Any:
    words = "What happened to a record that you may see, the newest first: who changed what, when and why."
    method = _HISTORIES.methods_by_name["ListRecordHistory"]
    changes.hang(method)
    return lines_of_record(method, history_pb2.HistoryEntry.DESCRIPTOR, words)


def lines_of_record(method: MethodDescriptor, row: Descriptor, words: str) -> Any:
    """A field: the pages of what the department that owns a record keeps about it, a line each."""
    line, rows = finish(output_class(row)), rows_of(method.output_type, row)

    async def resolve(info: Info, id: strawberry.ID, first: int | None = 20, after: str | None = None) -> Any:
        context: Context = info.context
        department = "gateway"
        try:
            noun, record_id = owner_of(str(id))
            department = noun.department
            request: Any = request_class(method)(
                resource=resource_of(noun.descriptor), record_id=record_id, page_size=first_of(first), page_token=cursor_of(after or ""),
                row_tokens=shows_cursors(info),
            )  # fmt: skip
            answer = await context.clients.read(
                department, method.containing_service, method.name, request, context.token, context.request_id
            )
        except CrmError as error:
            raise field_error(error, department) from None
        return Page(list(getattr(answer, rows)), answer.next_page_token, answer.row_tokens, bool(request.page_token))

    arguments = {"id": (strawberry.ID, ...), "first": (int | None, 20), "after": (str | None, None)}
    return strawberry.field(resolver=signed(resolve, arguments, connection_type(line) | None), description=words, metadata=by(method))
