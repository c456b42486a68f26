"""The engine's surface: a document is prepared once and executed often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    execute,
)
from graphql.execution import Executor, create_source_event_stream
from graphql.execution.values import VariableValues

from gateway.engine.plan import NotCovered, Plan
from gateway.engine.readings import NoReadings, Readings
from gateway.engine.run import Run
from gateway.engine.variables import Variables

MOST_PLANS, MOST_FIELDS = 1500, 12_000


class Engine:
    """Executes operations of one schema by plans; what plans do not cover, and only that, by graphql-core.

    `on_fallback` is told why, once an execution; `on_deviation` the type whose rows were not as its shape says, once a level.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        readings: Readings | None = None,
        on_fallback: Callable[[str], None] | None = None,
        on_deviation: Callable[[str], None] | None = None,
    ) -> None:
        self.schema, self.readings = schema, readings or NoReadings()
        self.on_fallback = on_fallback or (lambda reason: None)
        self.on_deviation = on_deviation or (lambda type_name: None)
        self._plans: OrderedDict[tuple[Operation, tuple[object, ...]], Plan | str] = OrderedDict()
        self.hits = self.misses = 0

    def plan(self, operation: Operation, key: tuple[object, ...], make: Callable[[], Plan | str]) -> Plan | str:
        """The plan of an operation under some decisions. The last used are kept, as far as all of them together stay small."""
        found = self._plans.get((operation, key))
        if found is None:
            self.misses += 1
            found = self._plans[operation, key] = make()
            sizes = [plan.size if isinstance(plan, Plan) else 1 for plan in self._plans.values()]
            total = sum(sizes)
            for size in sizes[:-1]:
                if total <= MOST_FIELDS and len(self._plans) <= MOST_PLANS:
                    break
                self._plans.popitem(last=False)
                total -= size
        else:
            self.hits += 1
            self._plans.move_to_end((operation, key))
        return found

    def prepare(self, document: DocumentNode, operation: OperationDefinitionNode) -> Operation:
        """One operation of a validated document. Keep it with the document; its plans are made when they are first needed."""
        return Operation(self, document, operation)


class Operation:
    """One operation, ready to run any number of times, concurrently too."""

    def __init__(self, engine: Engine, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.engine, self.document, self.node = engine, document, node
        self.fragments = {item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)}
        self.variables = Variables(engine.schema, node)
        self._deciding = tuple(sorted(set(_deciding(document))))
        self._introspects = any(name in ("__schema", "__type") for name in _names(document))

    async def execute(self, context: object, variables: Mapping[str, Any], root: object = None) -> ExecutionResult:
        """The answer, equal to graphql-core's in data, errors and order of keys. Raises nothing of the resolvers'."""
        coerced = self.variables.coerce(variables)
        if isinstance(coerced, list):
            return ExecutionResult(None, coerced)
        return await self._execute(context, variables, coerced, root)

    def describe(self, variables: Mapping[str, Any]) -> ExecutionResult:
        """The answer to an operation that asks for nothing but the schema; needs no event loop."""
        result = execute(self.engine.schema, self.document, None, None, dict(variables), self.node.name.value if self.node.name else None)
        if not isinstance(result, ExecutionResult):
            raise TypeError("an operation that asks for more than the schema was to be answered without its resolvers")
        return result

    async def _execute(self, context: object, raw: Mapping[str, Any], coerced: VariableValues, root: object) -> ExecutionResult:
        plan = self.plan(coerced)
        if isinstance(plan, Plan):
            return await Run(plan, coerced, context, root, self.engine.on_deviation).result()
        self.engine.on_fallback(plan)
        name = self.node.name.value if self.node.name else None
        result = execute(self.engine.schema, self.document, root, context, dict(raw), name)
        return result if isinstance(result, ExecutionResult) else await result

    async def subscribe(self, context: object, variables: Mapping[str, Any]) -> ExecutionResult | AsyncIterator[ExecutionResult]:
        """The answers of a subscription, one an event; or the one answer that says why there are none."""
        name = self.node.name.value if self.node.name else None
        executor = Executor.build(self.engine.schema, self.document, None, context, dict(variables), name)
        if isinstance(executor, list):
            return ExecutionResult(None, executor)
        source: Any = create_source_event_stream(executor)
        if hasattr(source, "__await__"):
            source = await source
        if isinstance(source, ExecutionResult):
            return source
        return self._answers(source, context, variables, executor.variable_values)

    async def _answers(
        self, source: Any, context: object, raw: Mapping[str, Any], coerced: VariableValues
    ) -> AsyncIterator[ExecutionResult]:
        events = aiter(source)
        try:
            async for payload in events:
                yield await self._execute(context, raw, coerced, payload)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                with suppress(Exception):  # a source that cannot be closed has ended all the same
                    await close()

    def plan(self, variables: VariableValues) -> Plan | str:
        """The plan under the variables' decisions, or why there is none."""
        key = tuple(variables.coerced.get(name) for name in self._deciding)
        try:
            return self.engine.plan(self, key, lambda: self._planned(variables))
        except TypeError:  # a list decides nothing; graphql-core says so
            return "a decision that is no boolean"

    def _planned(self, variables: VariableValues) -> Plan | str:
        if self._introspects:
            return "introspection"
        sources = {name: variables.sources[name] for name in self._deciding if name in variables.sources}
        coerced = {name: variables.coerced[name] for name in self._deciding if name in variables.coerced}
        try:
            return Plan(self.engine.schema, self.engine.readings, self.node, self.fragments, VariableValues(sources, coerced))
        except NotCovered as reason:
            return str(reason)
        except GraphQLError:  # a directive that does not fit; graphql-core places the error
            return "directives"


def _selected(document: DocumentNode) -> Iterator[SelectionNode]:
    """Everything that any selection of a document names."""
    waiting: list[Any] = [getattr(item, "selection_set", None) for item in document.definitions]
    while waiting:
        selections: SelectionSetNode | None = waiting.pop()
        for node in selections.selections if selections else ():
            waiting.append(getattr(node, "selection_set", None))
            yield node


def _names(document: DocumentNode) -> Iterator[str]:
    """Names of all fields."""
    return (node.name.value for node in _selected(document) if isinstance(node, FieldNode))


def _deciding(document: DocumentNode) -> Iterator[str]:
    """Names of the variables that @skip and @include look at."""
    for node in _selected(document):
        for directive in node.directives or ():
            for argument in directive.arguments or ():
                if isinstance(argument.value, VariableNode):
                    yield argument.value.name.value
