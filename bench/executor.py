"""The executor alone: plans against graphql-core on the graph's schema.

Twice: with all data in memory, so that nothing but execution is measured (graphql-core with one DataLoader an edge, as Strawberry
recommends), and with the gateway's own way to a department that answers from memory (requests, masks, loaders, merging).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, execute, get_named_type, parse, validate
from graphql.execution.values import VariableValues
from strawberry.dataloader import DataLoader

from bench.canned import CUSTOMERS, Canned, customer_id, customers, messages, opportunities, tickets
from bench.load import QUERIES
from gateway.bootstrap import shared_schema
from gateway.departments.context import Context
from gateway.engine import Batch, Engine
from gateway.engine.plan import Selection
from gateway.graph.connections import Page
from gateway.graph.contract import to_global
from gateway.graph.readings import Readings

Times = dict[str, tuple[float, float]]
EDGES = {"opportunities": opportunities, "tickets": tickets, "messages": messages}


class Memory(Readings):
    """The graph's readings, with edges that have their answers already."""

    def __init__(self) -> None:
        super().__init__(shared_schema())
        rows = customers()
        self.one = {to_global("Customer", row.id): row for row in rows}  # type: ignore[attr-defined]
        self.all = Page(rows, "", (), continued=False)
        self.pages = {
            name: {customer_id(number): Page(make(number), "", (), continued=False) for number in range(CUSTOMERS)}
            for name, make in EDGES.items()
        }

    def batch(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Batch | None:
        """From memory."""
        found = self.value(parent.name, name)
        if found is None:
            return None

        async def batch(rows: Sequence[Any], info: object, arguments: dict[str, Any]) -> list[Any]:
            return [found(row, arguments) for row in rows]

        return batch

    def value(self, parent: str, name: str) -> Callable[[Any, dict[str, Any]], Any] | None:
        """What a field gives for a row."""
        if parent == "Query":
            return {"customer": lambda _, given: self.one[given["id"]], "customers": lambda _, given: self.all}.get(name)
        pages = self.pages.get(name) if parent == "Customer" else None
        return None if pages is None else lambda row, given: pages[row.id]


class Loaders(dict[str, DataLoader[Any, Any]]):
    """The data loaders of one operation."""


def resolve_from(memory: Memory, schema: GraphQLSchema) -> None:
    """Give graphql-core the same data, by a data loader for each edge."""
    for parent in ("Query", "Customer"):
        type_: Any = schema.type_map[parent]
        for name, field in type_.fields.items():
            value = memory.value(parent, name)
            if value is not None:
                field.resolve = _loading(name, value) if parent == "Customer" else _plain(value)


def _plain(value: Callable[[Any, dict[str, Any]], Any]) -> Any:
    async def resolve(row: Any, info: object, **given: Any) -> Any:
        return value(row, given)

    return resolve


def _loading(name: str, value: Callable[[Any, dict[str, Any]], Any]) -> Any:
    async def load(rows: list[Any]) -> list[Any]:
        return [value(row, {}) for row in rows]

    async def resolve(row: Any, info: Any, **given: Any) -> Any:
        loaders: Loaders = info.context
        if name not in loaders:
            loaders[name] = DataLoader(load, cache_key_fn=lambda row: row.id)
        return await loaders[name].load(row)

    return resolve


async def executor_alone() -> tuple[Times, Times]:
    """Milliseconds of one execution, (graphql-core, plan), for each query: in memory, and with the way to the departments."""
    schema, canned = shared_schema()._schema, Canned()

    def context() -> Any:
        return Context(canned, None, request_id="bench")  # type: ignore[arg-type]

    whole = await _compare(schema, Engine(schema, Readings(shared_schema())), context)
    memory = Memory()
    resolve_from(memory, schema)
    return await _compare(schema, Engine(schema, memory), Loaders), whole


async def _compare(schema: GraphQLSchema, engine: Engine, context: Callable[[], Any], rounds: int = 5) -> Times:
    found: Times = {}
    for name, text in QUERIES.items():
        document: Any = parse(text)
        variables = {"id": to_global("Customer", customer_id(0))} if "$id" in text else {}
        operation = engine.prepare(document, document.definitions[0])

        async def core(document: Any = document, variables: Any = variables) -> Any:
            return await execute(schema, document, None, context(), variables)  # type: ignore[misc]

        async def plan(operation: Any = operation, variables: Any = variables) -> Any:
            return await operation.execute(context(), variables)

        assert (await core()).data == (await plan()).data
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for side, run in enumerate((core, plan)):
                times[side].append(await _milliseconds(run, 20 if name == "Q2" else 300))
        found[name] = (median(times[0]), median(times[1]))
    return found


def planning() -> list[str]:
    """What a document costs the first time, as text: parsing, validating, planning."""
    schema = shared_schema()._schema
    engine = Engine(schema, Readings(shared_schema()))
    lines = ["| once a document | parse ms | validate ms | plan ms |", "|---|---|---|---|"]
    for name, text in QUERIES.items():
        moments = [time.process_time()]
        document: Any = parse(text)
        moments.append(time.process_time())
        assert validate(schema, document) == []
        moments.append(time.process_time())
        operation = engine.prepare(document, document.definitions[0])
        plan: Any = operation.plan(VariableValues({}, {}))
        _plan_below(plan.root)
        moments.append(time.process_time())
        spent = [f"{(after - before) * 1000:.1f}" for before, after in pairwise(moments)]
        lines.append(f"| {name} | {' | '.join(spent)} |")
    return lines


def _plan_below(selection: Selection) -> None:
    """What the first execution plans."""
    for field in selection.fields:
        inner = get_named_type(field.definition.type)
        if isinstance(inner, GraphQLObjectType):
            _plan_below(field.selection(inner))


async def _milliseconds(run: Callable[[], Awaitable[Any]], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        await run()
    return (time.process_time() - begun) * 1000 / times


if __name__ == "__main__":
    for words, measured in zip(("in memory", "with the way to the departments"), asyncio.run(executor_alone()), strict=True):
        for query, (core_ms, plan_ms) in measured.items():
            print(f"{words}, {query}: graphql-core {core_ms:.3f} ms, plan {plan_ms:.3f} ms, ratio {core_ms / plan_ms:.1f}")
