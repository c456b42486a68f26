"""Both sides of a comparison: graphql-core and the engine, over one schema with every kind of type."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from graphql import ExecutionResult, GraphQLSchema, build_schema, execute, parse, validate

from gateway.engine import Engine, Readings

SDL = """
enum Mood { GLAD SAD }
input Range { low: Int! = 1, high: Int, tags: [String!], inner: Range }
interface Thing { id: ID }
type Cat implements Thing { id: ID mate: Thing }
type Dog implements Thing { id: ID! bark: Int }
union Any = Cat | Dog
type Row { a: Int b: Int! rows: [Row] strict: [Row!]! f(x: [Int!] = [3], range: Range, mood: Mood = SAD): [Int] thing: Thing }
type Query {
  a: Int b: Int! text: String f: Float mood: Mood id: ID flag: Boolean row: Row rows: [Row] self: Query any: Any thing: Thing things: [Thing!] anys: [Any]
  list: [Int] strict: [Int!]! grid: [[Int!]] cube: [[[Int!]!]!]! loose: [[[Int]]]
  ask(n: Int, x: [Int!], range: Range, mood: Mood = SAD, f: Float, text: String = "d", id: ID, b: Boolean): String
}
type Mutation { a: Int b: Int! c: Int many: [Mutation] one: Mutation }
type Subscription { tick(n: Int): Row plain: Int! }
"""


def schema() -> GraphQLSchema:
    """A schema of its own for each case."""
    return build_schema(SDL)


async def core(of: GraphQLSchema, text: str, root: Any = None, variables: Any = None, context: Any = None) -> ExecutionResult:
    """The answer of graphql-core."""
    found = execute(of, parse(text), root, context, variables or {})
    return found if isinstance(found, ExecutionResult) else await found


async def ours(
    of: GraphQLSchema, text: str, root: Any = None, variables: Any = None, context: Any = None, readings: Readings | None = None
) -> ExecutionResult:
    """The engine's answer; nothing but introspection may fall back."""
    document = parse(text)
    node: Any = document.definitions[0]
    return await asyncio.wait_for(Engine(of, readings).prepare(document, node).execute(context, variables or {}, root), 30)


def shown(result: ExecutionResult) -> tuple[str, list[str]]:
    """Data to the byte, and the errors in any order."""
    return json.dumps(result.data), sorted(json.dumps(error.formatted, default=str) for error in result.errors or ())


async def same(of: GraphQLSchema, text: str, make: Callable[[], Any], variables: Any = None) -> ExecutionResult:
    """Both answers, which must be equal; `make` gives each its own root."""
    assert validate(of, parse(text)) == []
    theirs = await core(of, text, make(), variables)
    mine = await ours(of, text, make(), variables)
    assert shown(mine) == shown(theirs)
    return mine


async def late(value: Any) -> Any:
    """A value that comes later; an exception is raised."""
    await asyncio.sleep(0)
    if isinstance(value, Exception):
        raise value
    return value


async def streamed(*values: Any) -> AsyncIterator[Any]:
    """An asynchronous list; a ValueError ends it."""
    for value in values:
        if isinstance(value, ValueError):
            raise value
        yield value


def made(*values: Any) -> Any:
    """A generator; a ValueError ends it."""
    for value in values:
        if isinstance(value, ValueError):
            raise value
        yield value
