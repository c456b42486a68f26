"""One noun in the graph, from its contract: type, queries, mutations; and edges, each one batched call a level."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from crm.common.v1 import criteria_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from strawberry.types import Info

from chassis.kernel.errors import CrmError, Invalid
from chassis.rpc.contract import Contract, done_by, nouns, shown_as
from chassis.rpc.documents import enum_numbers
from chassis.rpc.service import request_class
from chassis.rpc.trials import untried
from gateway.departments.context import Context
from gateway.departments.errors import field_error, of_cursor, user_errors
from gateway.departments.loaders import load_record, rows_of
from gateway.graph.arguments import signed
from gateway.graph.connections import COUNTED, DEFAULT, LARGEST, MOST_COUNTED, Page, connection_type, first_of, within
from gateway.graph.contract import Json, comment, enum_type, finish, from_global, output_annotation, output_class
from gateway.graph.inputs import filter_type, input_type, to_criteria, to_request
from gateway.graph.judged import by
from gateway.graph.orders import sort_keys, sort_type
from gateway.graph.selection import counted, selected, shows_cursors
from gateway.graph.teaching import refusals

MOST_HITS, MOST_SKIPPED = 50, 10_000
LONGEST_CURSOR = 4000
_VERBS_OF_READS = ("Get", "BatchGet", "List", "BatchList", "Search", "Aggregate", "Drill", "Suggest", "Board")


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
                if "count_up_to" in method.input_type.fields_by_name:
                    found[f"{self.field}Count"] = self._count(method)
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
            backward = given.get("last") is not None
            try:
                request = list_request(method, self.descriptor, given, info)
                answer = await context.clients.read(self.department, self.service, method.name, request, context.token, context.request_id)
            except CrmError as error:
                raise field_error(of_cursor(error, backward=backward), self.department) from None
            return Page.of(answer, rows_of(method.output_type, self.descriptor), request)

        return strawberry.field(
            resolver=signed(resolve, arguments, connection_type(self.type) | None),
            description=comment(method.full_name),
            metadata=by(method),
        )

    def _count(self, method: MethodDescriptor) -> Any:
        arguments = {name: one for name, one in list_arguments(method, self.descriptor).items() if name in ("filter", "archived")}
        arguments["most"] = (int | None, COUNTED)

        async def resolve(info: Info, most: int | None = COUNTED, **given: Any) -> Any:
            context: Context = info.context
            try:
                request = narrowed(method, self.descriptor, given)
                request.page_size, request.read_mask.paths[:] = 1, ["id"]
                request.count_up_to = within("most", COUNTED if most is None else most, 1, MOST_COUNTED)
                answer = await context.clients.read(self.department, self.service, method.name, request, context.token, context.request_id)
            except CrmError as error:
                raise field_error(error, self.department) from None
            return answer.total

        shape = finish(output_class(criteria_pb2.RecordCount.DESCRIPTOR)) | None
        words = f"How many {self.contract.resource.replace('_', ' ')} there are of those that you may see. Beside a page of them ask for its totalCount."
        return strawberry.field(resolver=signed(resolve, arguments, shape), description=words, metadata=by(method))

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
        return strawberry.field(
            resolver=signed(resolve, arguments, returns),
            description=comment(method.full_name),
            metadata=by(method),
            deprecation_reason=done_by(method) or None,
        )

    def mutation_fields(self) -> dict[str, Any]:
        """Every command of the contract as a noun-first mutation; imports stay outside of the graph."""
        found: dict[str, Any] = {}
        for method in self.service.methods:
            if not method.name.startswith((*_VERBS_OF_READS, "BatchUpsert", "Bulk")):  # those on many records: gateway/graph/bulk.py
                shown = shown_as(method) or f"{self.field}{method.name.replace(self.name, '', 1)}"
                found[shown] = self._mutation(method, f"{shown[0].upper()}{shown[1:]}")
        return found

    def _mutation(self, method: MethodDescriptor, name: str) -> Any:
        payload = payload_type(method, name)
        takes = input_type(method.input_type, f"{name}Input")

        async def resolve(info: Info, input: Any, validate_only: bool = False) -> Any:
            return await commanded(info, method, lambda: (self.department, to_request(input, method.input_type)), trial=validate_only)

        arguments: dict[str, Any] = {"input": (takes, ...)} | ({} if untried(method) else {"validate_only": (bool, False)})
        words = f"{comment(method.full_name)} {refusals(method, self.contract)}"
        return strawberry.field(resolver=signed(resolve, arguments, payload), description=words, metadata=by(method))


async def commanded(
    info: Info, method: MethodDescriptor, ask: Callable[[], tuple[str, Any]], *, trial: bool = False, patience: int = 1
) -> dict[str, Any]:
    """The payload of a command: `ask` gives the department and the request, or raises the refusal. With `trial` it is judged, not done; it has
    `patience` times the time of a command."""
    context: Context = info.context
    context.forget()  # what an earlier command of this operation loaded may be changed by this one
    try:
        department, request = ask()
        if "request_id" in method.input_type.fields_by_name and not request.request_id:
            request.request_id = context.command_id(str(info.path.key))
        answer = await context.clients.write(
            department, method.containing_service, method.name, request, context.token, context.request_id, context.address,
            trial=trial, patience=patience,
        )  # fmt: skip
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


def list_arguments(method: MethodDescriptor, row: Descriptor) -> dict[str, Any]:
    """first, after, and filter and orderBy where the contract has them."""
    arguments: dict[str, Any] = {"first": (int | None, DEFAULT), "after": (str | None, None)}
    fields = method.input_type.fields_by_name
    if "backward" in fields:
        arguments |= {"last": (int | None, None), "before": (str | None, None), "skip": (int | None, None)}
    if "filter" in fields:
        arguments["filter"] = (filter_type(row) | None, None)
    if "archived" in fields:
        arguments["archived"] = (enum_type(fields["archived"].enum_type) | None, None)
    if "order_by" in fields:
        arguments["order_by"] = (enum_type(fields["order_by"].enum_type) | None, None)
    if "sort_by" in fields and (key := sort_type(row)) is not None:
        arguments["sort_by"] = (list[key] | None, None)  # type: ignore[valid-type]
    return arguments


def cursor_of(cursor: str, name: str = "after") -> str:
    """A cursor that can be one; the department judges it further."""
    if len(cursor) > LONGEST_CURSOR or not cursor.isascii() or "\0" in cursor:
        where = "pageInfo.startCursor of the page behind" if name == "before" else "pageInfo.endCursor of the page before"
        raise Invalid(f"{name} is no cursor of this list; use {where}", code="PAGE_TOKEN_INVALID", field=name)
    return cursor


def narrowed(method: MethodDescriptor, row: Descriptor, given: Mapping[str, Any]) -> Any:
    """The request of a list with what says which records it has. Raises Invalid."""
    request: Any = request_class(method)()
    if given.get("filter") is not None:
        request.filter.CopyFrom(to_criteria(given["filter"], row))
    if given.get("archived") is not None:
        numbers = enum_numbers(method.input_type.fields_by_name["archived"].enum_type)
        request.archived = numbers[given["archived"].value]
    return request


def _place(request: Any, given: Mapping[str, Any]) -> None:
    """Say which page is wanted. Raises Invalid."""
    first, last, after, before = (given.get(name) for name in ("first", "last", "after", "before"))
    if last is None and before is None:
        request.page_size, request.page_token = first_of(first), cursor_of(after or "")
    elif last is None:
        raise Invalid(
            "before has no last beside it; say how many rows are wanted", field="before", params={"rule": "page.way", "name": "last"}
        )
    elif after is not None or first not in (None, DEFAULT):
        other = "after" if after is not None else "first"
        words = f"last and {other} go opposite ways; give one of both"
        raise Invalid(words, field=other, params={"rule": "page.ways", "name": other})
    else:
        request.page_size, request.page_token = within("last", last, 1, LARGEST), cursor_of(before or "", "before")
        request.backward = True
    if given.get("skip"):
        request.skip = within("skip", given["skip"], 0, MOST_SKIPPED)


def list_request(method: MethodDescriptor, row: Descriptor, given: Mapping[str, Any], info: Info, under: tuple[str, ...] = ()) -> Any:
    """The request of a list, without its keys: page, filter, order, and only what the operation shows, `under` these fields where the list is not
    the field itself. Raises Invalid."""
    request = narrowed(method, row, given)
    if given.get("starred") is not None:
        beside_starred(request, starred=given["starred"])
    _place(request, given)
    fields = method.input_type.fields_by_name
    if given.get("order_by") is not None:
        request.order_by = enum_numbers(fields["order_by"].enum_type)[given["order_by"].value]
    if given.get("sort_by"):
        request.sort_by.extend(sort_keys(given["sort_by"]))
    if "count_up_to" in fields:
        request.count_up_to = max((within("most", most, 1, MOST_COUNTED) for _, most in counted(info)), default=0)
    mask = selected(info, row, "nodes", under)
    if "read_mask" in fields and mask:
        request.read_mask.CopyFrom(FieldMask(paths=list(mask)))
    request.row_tokens = shows_cursors(info, under)
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
