"""Runs one operation: limits, execution, and errors that tell nothing of the inside. Every transport comes through here."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, OperationType
from opentelemetry.trace import Span, SpanKind

from chassis.kernel.addresses import holder_of
from chassis.kernel.errors import CrmError
from chassis.observe import purpose
from chassis.observe.traces import Traces
from gateway.departments.context import Context
from gateway.departments.errors import translated
from gateway.departments.language import ENGLISH, spoken
from gateway.engine import Engine
from gateway.graph.readings import Readings
from gateway.operations.admission import Admission, Overloaded
from gateway.operations.budget import Budget
from gateway.operations.callers import Callers
from gateway.operations.documents import Documents, Prepared
from gateway.operations.inputs import MOST_STRANGER_VALUES, check_input, check_nesting
from gateway.operations.introspection import Introspection
from gateway.operations.knocks import Knocks
from gateway.operations.limits import check_cost
from gateway.operations.metrics import OTHER, OperationMetrics, outcome_of
from gateway.operations.registered import PREFIX, Register
from gateway.settings import Settings

log = logging.getLogger("crm.gateway")
_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Question:
    """A request for one operation, as every transport carries it: by its text, by the id of a registered document, or both.

    `counts` asks for the cost in the answer's extensions.
    """

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None = None
    document_id: str = ""
    counts: bool = False


@dataclass(frozen=True)
class Answer:
    """The body of an answer. `executed` is false when the request itself was at fault and nothing ran.

    `public` tells that nothing in it is a secret beside what the client sent: it may be compressed.
    """

    body: dict[str, Any]
    executed: bool = True
    public: bool = True


def bad_request(message: str, code: str = "BAD_REQUEST") -> GraphQLError:
    """A request that is no question."""
    return GraphQLError(message, extensions={"code": code})


def question_of(body: object) -> Question:
    """The question in a decoded JSON body. Raises GraphQLError saying what is missing."""
    if not isinstance(body, dict):
        raise bad_request('the body must be a JSON object like {"query": "{ viewer { name } }"}')
    query, variables, name = body.get("query"), body.get("variables"), body.get("operationName")
    check_nesting(variables)
    extensions = body.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise bad_request("«extensions» must be an object")
    identity = _document_id(body, extensions or {})
    if query is None and identity:
        query = ""
    elif not isinstance(query, str) or not query.strip():
        raise bad_request("«query» is missing or no text; give the operation")
    if variables is not None and not isinstance(variables, dict):
        raise bad_request("«variables» must be an object")
    if name is not None and not isinstance(name, str):
        raise bad_request("«operationName» must be a text")
    return Question(query, variables or {}, name, identity, bool((extensions or {}).get("cost")))


def _document_id(body: Mapping[str, Any], extensions: Mapping[str, Any]) -> str:
    """The id of a registered document, as the GraphQL-over-HTTP draft gives it, or as clients with automatic persisted queries do."""
    identity, persisted = body.get("documentId"), extensions.get("persistedQuery")
    if identity is None and isinstance(persisted, dict):
        identity = f"{PREFIX}{persisted.get('sha256Hash')}"
    if identity is not None and (not isinstance(identity, str) or not _ID.fullmatch(identity)):
        raise bad_request("«documentId» must be sha256: and 64 hexadecimal digits")
    return identity or ""


class Operations:
    """The graph, ready to be asked."""

    def __init__(self, schema: strawberry.Schema, settings: Settings, callers: Callers, traces: Traces, metrics: OperationMetrics) -> None:
        self.settings, self.callers = settings, callers
        self.register = Register(settings.documents, open_to_texts=settings.environment != "production")
        self.budget = Budget(settings.most_cost_per_minute)
        self.knocks, self.knocking = Knocks(schema._schema), Budget(settings.most_sign_ins_per_minute, "sign-ins in a minute")
        self.admission = Admission(settings.most_at_once, metrics.shed)
        engine = Engine(
            schema._schema,
            Readings(schema),
            lambda reason: metrics.uncompiled.labels(reason).inc(),
            lambda type_name: metrics.reread.labels(type_name).inc(),
        )
        self.documents = Documents(engine, settings)
        self.introspection = Introspection(self.documents.lists)
        self.traces, self.metrics = traces, metrics
        metrics.watch(self.documents)

    async def run(self, question: Question, context: Context, *, read_only: bool = False) -> Answer:
        """The answer to a query or mutation."""
        try:
            with self.admission.one():
                return await self._run(question, context, await self._prepare(question, context), read_only=read_only)
        except Overloaded as error:
            return self._refuse((error,), context)
        except _Refused as refusal:
            return self._refuse(refusal.errors, context)

    async def _run(self, question: Question, context: Context, prepared: tuple[Prepared.Operation, int], *, read_only: bool) -> Answer:
        operation, left = prepared
        if operation.node.operation is OperationType.SUBSCRIPTION:
            return self._refuse(
                (bad_request("subscribe over WebSocket (graphql-transport-ws) or with Accept: text/event-stream"),), context
            )
        if read_only and operation.node.operation is not OperationType.QUERY:
            return self._refuse((bad_request("only queries may be asked with GET; use POST", "METHOD_NOT_ALLOWED"),), context)
        started = time.perf_counter()
        node = operation.node
        with self._span(node) as span:
            if operation.describes:
                done = await self.introspection.answer(operation.run, question.variables)
            else:
                done = await operation.run.execute(context, question.variables)
            span.set_attribute("crm.errors", len(done.errors or ()))
            language = await context.language() if done.errors else ENGLISH
            answer = self._answer(done, context, language, public=node.operation is OperationType.QUERY)
        name = node.name.value if node.name and node.name.value in self.register.names else OTHER
        seconds = time.perf_counter() - started
        self.metrics.seconds.labels(name, node.operation.value, outcome_of(answer.body)).observe(seconds)
        if question.counts:
            answer.body["extensions"] = {"cost": {"asked": operation.cost.of(question.variables).charge, "left": left}}
        return answer

    def _span(self, node: OperationDefinitionNode) -> AbstractContextManager[Span]:
        """The span in which a trace begins: named as the client named its operation, without variables and without text."""
        kind, name = node.operation.value, node.name.value[:60] if node.name else ""
        return self.traces.span(
            name or kind, kind=SpanKind.SERVER, attributes={"graphql.operation.type": kind, "graphql.operation.name": name}
        )

    async def stream(self, question: Question, context: Context, *, read_only: bool = False) -> Answer | AsyncIterator[dict[str, Any]]:
        """A subscription's bodies as they come; or the one answer of a query, a mutation or a refused subscription."""
        try:
            prepared = operation, _ = await self._prepare(question, context)
            if operation.node.operation is not OperationType.SUBSCRIPTION:
                with self.admission.one():
                    return await self._run(question, context, prepared, read_only=read_only)
        except Overloaded as error:
            return self._refuse((error,), context)
        except _Refused as refusal:
            return self._refuse(refusal.errors, context)
        source = await operation.run.subscribe(context, question.variables)
        if isinstance(source, ExecutionResult):
            return self._answer(source, context, await context.language())
        return self._bodies(source, context)

    async def _bodies(self, source: Any, context: Context) -> AsyncIterator[dict[str, Any]]:
        try:
            async for result in source:
                yield self._answer(result, context, await context.language() if result.errors else ENGLISH).body
        except GraphQLError as error:
            yield {"errors": [self._shown(error, context, await context.language())]}
        finally:
            await source.aclose()

    async def _prepare(self, question: Question, context: Context) -> tuple[Prepared.Operation, int]:
        """The operation, and what is left of the caller's budget. Each thing is judged, and paid, before it is done."""
        try:
            await self.callers.admit(context)
            caller, stranger = await self.callers.glance(context)
            text = await self._text(question, context)
            known = not stranger or self.register.has(text)
            prepared = self.documents.prepare(text, lambda cost: self.budget.spend(caller, cost), stranger=not known)
            if prepared.errors:
                raise _Refused(prepared.errors)
            operation = prepared.operation(question.operation_name)
            check_input(operation.node, question.variables, MOST_STRANGER_VALUES if stranger else self.settings.most_values)
            measure = operation.cost.of(question.variables)
            check_cost(measure, self.settings)
            self.introspection.check(measure, alone=operation.describes)
            name = operation.node.name
            purpose.begin(context.purpose or (f"operation {name.value}" if name else ""))
            return operation, self._pay(operation, measure.charge, (await self.callers.name(context))[0], context)
        except GraphQLError as error:
            raise _Refused((error,)) from None

    def _pay(self, operation: Prepared.Operation, cost: int, caller: str, context: Context) -> int:
        """Count an operation in its caller's budget, a sign-in in that of its own; what is left. Raises GraphQLError."""
        knock = self.knocks.among(operation.roots)
        if knock:
            left = self.knocking.spend(f"{knock} {holder_of(context.address)}", 1)
            if self.knocks.alone(operation.roots, cost):
                return left
        return self.budget.spend(caller, cost)

    async def _text(self, question: Question, context: Context) -> str:
        """The document that is asked for. In production only registered ones, unless the caller may look at the graph itself."""
        if not question.query:
            return self.register.text(question.document_id)
        if question.document_id:
            self.register.remember(question.document_id, question.query)
        if not self.register.open and not self.register.has(question.query) and not await self.callers.may_introspect(context):
            words = "only registered documents are answered here; register it with `xietong documents register` and send its documentId"
            raise GraphQLError(words, extensions={"code": "DOCUMENT_NOT_REGISTERED"})
        return question.query

    def _refuse(self, errors: tuple[GraphQLError, ...], context: Context) -> Answer:
        code = (errors[0].extensions or {}).get("code")
        log.info("refused", extra={"request_id": context.request_id, "code": code, "reason": _loggable(errors[0])})
        language = spoken(context.accepts)  # nothing is asked for a request that is refused before it costs anything
        return Answer({"errors": [translated(dict(error.formatted), language) for error in errors]}, executed=False)

    def _answer(self, result: ExecutionResult, context: Context, language: str, *, public: bool = False) -> Answer:
        body: dict[str, Any] = {"data": result.data}
        # Errors without a path came before anything ran: variables that do not fit.
        executed = not (result.data is None and result.errors and all(error.path is None for error in result.errors))
        if not executed:
            body = {}
        if result.errors:
            body = {"errors": [self._shown(error, context, language) for error in result.errors], **body}
        return Answer(body, executed, public)

    def _shown(self, error: GraphQLError, context: Context, language: str) -> Any:
        """The error as the client sees it. What no department refused is a fault of ours: logged once, told without detail."""
        code = (error.extensions or {}).get("code")
        original = error.original_error
        if original is not None and not isinstance(original, GraphQLError | CrmError):
            log.error("failed", extra={"request_id": context.request_id, "path": error.path}, exc_info=original)
            shown = GraphQLError(
                "the gateway failed on this field; the log holds one line with the request id", error.nodes, path=error.path
            )
            ours = {**shown.formatted, "extensions": {"code": "INTERNAL", "requestId": context.request_id}}
            return translated(ours, language)
        log.info(
            "refused",
            extra={"request_id": context.request_id, "code": code or "BAD_USER_INPUT", "path": error.path, "reason": _loggable(error)},
        )
        formatted: dict[str, Any] = dict(error.formatted)
        formatted["extensions"] = {**(error.extensions or {"code": "BAD_USER_INPUT"}), "requestId": context.request_id}
        return translated(formatted, language)


def _loggable(error: GraphQLError) -> str:
    """What a log may say of an error. Those that are not ours repeat what the client sent, personal data too: the client sees them, no log does."""
    if (error.extensions or {}).get("code"):
        return error.message[:300]
    return "the document or its variables do not fit the schema; the client was told where"


class _Refused(Exception):
    """The request is at fault."""

    def __init__(self, errors: tuple[GraphQLError, ...]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
