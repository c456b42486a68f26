"""One noun in the graph, from its contract: type, queries, mutations; and edges, each one batched call a level."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import strawberry
from crm.common.v1 import criteria_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.contract import Contract, nouns, shown_as
from chassis.rpc.documents import enum_numbers
from chassis.rpc.service import request_class
from gateway.departments.context import Context
from gateway.departments.errors import field_error, user_errors
from gateway.departments.loaders import load_record, rows_of
from gateway.graph.connections import Page, connection_type, first_of
from gateway.graph.contract import Json, comment, enum_type, finish, from_global, output_annotation, output_class
from gateway.graph.inputs import filter_type, input_type, to_criteria, to_request
from gateway.graph.judged import by
from gateway.graph.selection import selected, shows_cursors

Resolver = Callable[..., Awaitable[Any]]
MOST_HITS = 50
LONGEST_CURSOR = 4000
_VERBS_OF_READS = ("Get", "BatchGet", "List", "BatchList", "Search")


log = logging.getLogger("crm.gateway")


@strawberry.type(description="Why a command was refused.")
class UserError:
    """A refusal of a department, as a mutation shows it."""

    code: str = strawberry.field(description="A value of an ErrorReason in protos/, e.g. OPPORTUNITY_CLOSED.")
    message: str = strawberry.field(description="What is wrong and how to mend it, in the person's language, or one of Accept-Language.")
    path: list[str] = strawberry.field(description="Where in the input.")
    retryable: bool = strawberry.field(description="Whether the same command may succeed later.")
    params: Json = strawberry.field(
        description='Texts by name, of which the message is made: the broken `rule` and what it asks for, e.g. {"limit": "200"}.'
    )
    details: Json | None = strawberry.field(
        description="What a client needs to go on, e.g. the present `version` and the `changedFields` where another one was seen."
    )


@dataclass
class Noun:
    """A noun: its record, its service, the department that owns both, as its contract says. `by_id` is the BatchGet that edges to it use."""

    contract: Contract

    def __post_init__(self) -> None:
        if self.contract.service is None:
            raise RuntimeError(f"{self.contract.record.full_name} has no service in its contract")
        self.department, self.name = self.contract.department, self.contract.name
        self.descriptor: Descriptor = self.contract.record
        self.service: ServiceDescriptor = self.contract.service
        self.type = output_class(self.descriptor)
        NOUNS[self.name] = self

    @property
    def field(self) -> str:
        """The noun as a field name, e.g. "ticketReply"."""
        return self.name[0].lower() + self.name[1:]

    def method(self, name: str) -> MethodDescriptor:
        """A method of the service."""
        return self.service.methods_by_name[name]

    @property
    def by_id(self) -> MethodDescriptor | None:
        """The BatchGet whose rows are this noun's."""
        return self.contract.batch_get

    # ---- building

    def edge(self, name: str, resolver: Any) -> None:
        """Hang an edge on the type. Raises RuntimeError where the name is taken."""
        if hasattr(self.type, name):
            raise RuntimeError(f"{self.name} has a field «{name}» already; give the edge another name in the contract (shown_as)")
        setattr(self.type, name, resolver)

    def build(self) -> Any:
        """The finished type."""
        return finish(self.type)

    def queries(self) -> dict[str, Any]:
        """Top-level fields: one record, a page of them, a search; as far as the contract has them."""
        found: dict[str, Any] = {}
        if self.by_id is not None:
            found[self.field] = self._one()
        for method in self.service.methods:
            if method.name.startswith("List") and "next_page_token" in method.output_type.fields_by_name:
                plural = method.name.removeprefix("List")
                found[plural[0].lower() + plural[1:]] = self._list(method)
            if method.name.startswith("Search"):
                found[f"{self.field}Search"] = self._search(method)
        return found

    def _one(self) -> Any:
        async def resolve(info: Info, id: strawberry.ID) -> Any:
            context: Context = info.context
            try:
                identity = from_global(str(id), self.name)[1]
            except CrmError as error:
                raise field_error(error, self.department) from None
            return await load_record(context, self, identity, selected(info, self.descriptor))

        return strawberry.field(
            resolver=signed(resolve, {"id": (strawberry.ID, ...)}, self.type | None),
            description=f"One {self.name}; null when there is none that you may see.",
            metadata=by(self.by_id),
        )

    def _list(self, method: MethodDescriptor) -> Any:
        arguments = list_arguments(method, self.descriptor)
        if self.contract.traits.starrable:
            arguments["starred"] = (bool | None, None)

        async def resolve(info: Info, **given: Any) -> Any:
            context: Context = info.context
            try:
                request = list_request(method, self.descriptor, given, info)
                answer = await context.clients.read(self.department, self.service, method.name, request, context.token, context.request_id)
            except CrmError as error:
                raise field_error(error, self.department) from None
            rows = getattr(answer, rows_of(method.output_type, self.descriptor))
            return Page(rows, answer.next_page_token, answer.row_tokens, bool(request.page_token))

        return strawberry.field(
            resolver=signed(resolve, arguments, connection_type(self.type) | None),
            description=comment(method.full_name),
            metadata=by(method),
        )

    def _search(self, method: MethodDescriptor) -> Any:
        arguments: dict[str, Any] = {"query": (str, ...), "first": (int, 20)}
        if "filter" in method.input_type.fields_by_name:
            arguments["filter"] = (filter_type(self.descriptor) | None, None)

        async def resolve(info: Info, query: str, first: int = 20, filter: Any = None) -> Any:
            context: Context = info.context
            try:
                if not 1 <= first <= MOST_HITS:
                    raise Invalid(f"first is {first}; ask for 1 to {MOST_HITS} hits", field="first")
                request: Any = request_class(method)(query=query, page_size=first)
                if filter is not None:
                    request.filter.CopyFrom(to_criteria(filter, self.descriptor))
                answer = await context.clients.read(self.department, self.service, method.name, request, context.token, context.request_id)
            except (CrmError, ValueError) as error:
                raise field_error(_as_refusal(error), self.department) from None
            return list(getattr(answer, rows_of(method.output_type, self.descriptor)))

        returns = list[self.type] | None  # type: ignore[name-defined]
        return strawberry.field(resolver=signed(resolve, arguments, returns), description=comment(method.full_name), metadata=by(method))

    def mutation_fields(self) -> dict[str, Any]:
        """Every command of the contract as a noun-first mutation; imports stay outside of the graph."""
        found: dict[str, Any] = {}
        for method in self.service.methods:
            if not method.name.startswith(_VERBS_OF_READS) and not method.name.startswith("BatchUpsert"):
                shown = shown_as(method) or f"{self.field}{method.name.replace(self.name, '', 1)}"
                found[shown] = self._mutation(method, f"{shown[0].upper()}{shown[1:]}")
        return found

    def _mutation(self, method: MethodDescriptor, name: str) -> Any:
        payload = payload_type(method, name)
        takes = input_type(method.input_type, f"{name}Input")

        async def resolve(info: Info, input: Any) -> Any:
            return await commanded(info, method, lambda: (self.department, to_request(input, method.input_type)))

        return strawberry.field(
            resolver=signed(resolve, {"input": (takes, ...)}, payload), description=comment(method.full_name), metadata=by(method)
        )


async def commanded(info: Info, method: MethodDescriptor, ask: Callable[[], tuple[str, Any]]) -> dict[str, Any]:
    """The payload of a command: `ask` gives the department and the request, or raises the refusal."""
    context: Context = info.context
    context.forget()  # what an earlier command of this operation loaded may be changed by this one
    try:
        department, request = ask()
        if "request_id" in method.input_type.fields_by_name and not request.request_id:
            request.request_id = context.command_id(str(info.path.key))
        answer = await context.clients.write(
            department, method.containing_service, method.name, request, context.token, context.request_id, context.address
        )
    except (CrmError, ValueError) as error:
        refusal = _as_refusal(error)
        log.info("refused", extra={"request_id": context.request_id, "code": refusal.code, "reason": refusal.message[:300]})
        told = user_errors(refusal, await context.language())
        return {item.name: None for item in method.output_type.fields} | {"errors": told}
    finally:
        context.forget()
    return {item.name: getattr(answer, item.name) for item in method.output_type.fields} | {"errors": []}


NOUNS: dict[str, Noun] = {}


def _as_refusal(error: Exception) -> CrmError:
    return error if isinstance(error, CrmError) else Invalid(f"a value is out of range: {error}; give a smaller one")


def payload_type(method: MethodDescriptor, name: str) -> Any:
    """The payload of a command: what the answer holds, null when refused, and the refusals."""
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__annotations__": annotations}
    for item in method.output_type.fields:
        annotations[item.name] = output_annotation(item) | None
        namespace[item.name] = strawberry.field(description=comment(item.full_name))
    annotations["errors"] = list[UserError]
    namespace["errors"] = strawberry.field(description="Why it was refused; empty when it was done.")
    return strawberry.type(type(f"{name}Payload", (), namespace), name=f"{name}Payload", description=f"What became of {name}.")


_WORDS = {
    "id": "Id of the record.",
    "ids": "Ids of the records, 1 to 100.",
    "resource": 'The resource as policies name it, e.g. "tickets".',
    "input": "What to do.",
    "first": "Rows wanted, 1 to 100.",
    "after": "Cursor of the row to go on behind.",
    "filter": "Which ones; all that you may see when not given.",
    "order_by": "In which order.",
    "query": "What to look for.",
    "customer_id": "Id of the customer.",
    "action": 'What is to be done, e.g. "update".',
    "field": "A field of the record; the record as a whole when not given.",
    "department": "Of one department; of all when not given.",
    "job_id": "Id of the job.",
    "result": "Only rows of this outcome; all when not given.",
    "from_number": "Number of the first row wanted.",
    "person_id": "Whom it is about; yourself when not given.",
    "from_currency": "Currency of which one unit is meant.",
    "to_currency": "Currency in which it is told.",
    "date": "The day; the company's today when not given.",
    "work_calendar_id": "By which work calendar.",
    "department_id": "By the work calendar of which department.",
    "start_time": "From when on.",
    "end_time": "Until when.",
    "seconds": "How much, in seconds.",
    "archived": "Archived ones too.",
    "starred": "Only those that you have starred, or only the others.",
    "keys": "Which ones; all when none is named.",
    "month": "Which month, e.g. 2026-10.",
}


def described(name: str, shape: Any) -> Any:
    """The shape of an argument with its description."""
    return Annotated[shape, strawberry.argument(description=_WORDS[name])]


def signed(resolve: Resolver, arguments: Mapping[str, tuple[Any, Any]], returns: Any) -> Resolver:
    """The resolver with the signature that the graph shall show."""
    kinds = inspect.Parameter
    parameters: list[inspect.Parameter] = []
    parameters.append(kinds("info", kinds.POSITIONAL_OR_KEYWORD, annotation=Info))
    for name, (shape, default) in arguments.items():
        empty = kinds.empty if default is ... else default
        parameters.append(kinds(name, kinds.KEYWORD_ONLY, annotation=described(name, shape), default=empty))
    resolve.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    resolve.__annotations__ = {"info": Info, "return": returns} | {name: described(name, shape) for name, (shape, _) in arguments.items()}
    return resolve


def list_arguments(method: MethodDescriptor, row: Descriptor) -> dict[str, Any]:
    """first, after, and filter and orderBy where the contract has them."""
    arguments: dict[str, Any] = {"first": (int | None, 20), "after": (str | None, None)}
    fields = method.input_type.fields_by_name
    if "filter" in fields:
        arguments["filter"] = (filter_type(row) | None, None)
    if "order_by" in fields:
        arguments["order_by"] = (enum_type(fields["order_by"].enum_type) | None, None)
    return arguments


def cursor_of(after: str) -> str:
    """A cursor that can be one; the department judges it further."""
    if len(after) > LONGEST_CURSOR or not after.isascii() or "\0" in after:
        raise Invalid(
            "after is no cursor of this list; use pageInfo.endCursor of the page before", code="PAGE_TOKEN_INVALID", field="after"
        )
    return after


def list_request(method: MethodDescriptor, row: Descriptor, given: Mapping[str, Any], info: Info) -> Any:
    """The request of a list, without its keys: page, filter, order, and only what the operation shows. Raises Invalid."""
    after = given.get("after") or ""
    request: Any = request_class(method)(page_size=first_of(given.get("first")), page_token=cursor_of(after))
    fields = method.input_type.fields_by_name
    if given.get("filter") is not None:
        request.filter.CopyFrom(to_criteria(given["filter"], row))
    if given.get("starred") is not None:
        beside_starred(request, starred=given["starred"])
    if given.get("order_by") is not None:
        request.order_by = enum_numbers(fields["order_by"].enum_type)[given["order_by"].value]
    mask = selected(info, row, "nodes")
    if "read_mask" in fields and mask:
        request.read_mask.CopyFrom(FieldMask(paths=list(mask)))
    request.row_tokens = shows_cursors(info)
    return request


def beside_starred(request: Any, *, starred: bool) -> None:
    """Let a list tell only what the caller has starred, or only what not, beside whatever else is asked of it."""
    value = criteria_pb2.Value(flag=starred)
    condition = criteria_pb2.Condition(field="starred", operator=criteria_pb2.OPERATOR_EQUALS, values=[value])
    items = [criteria_pb2.Criteria(condition=condition)]
    if request.HasField("filter"):
        items.insert(0, criteria_pb2.Criteria())
        items[0].CopyFrom(request.filter)
    request.filter.CopyFrom(criteria_pb2.Criteria(all=criteria_pb2.CriteriaList(items=items)))


for _one in nouns():
    Noun(_one)
