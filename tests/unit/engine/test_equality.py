"""Plans give what graphql-core gives: data, errors with places, order of keys. Thousands of random operations over faulty data."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLSchema, execute, parse, validate

from gateway.engine import Engine
from tests.support.operations import Operations
from tests.support.samples import sample
from tests.unit.engine import world

CHUNKS, SIZE = 20, 150
# graphql-core abandons coroutines of what an error has nulled
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def literal(random: Random, name: str) -> tuple[str, Any]:
    """A value of a scalar, now and then a wrong one."""
    number = random.randrange(5)
    text = {"Int": str(number), "Float": f"{number}.5", "Boolean": "true", "ID": str(number), "String": f'"s{number}"', "Moment": "1"}[name]
    return text, "wrong" if random.random() < 0.02 else json.loads(text)


def told(result: ExecutionResult) -> list[tuple[tuple[Any, ...], str, list[Any], Any]]:
    """The errors, comparable."""
    return sorted(
        ((tuple(map(str, error.path or ())), error.message, [tuple(place) for place in error.locations or ()], error.extensions) for error in result.errors or ()),
        key=str,
    )  # fmt: skip


def nulled(data: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """The place at or above a path where the answer has null."""
    for end, step in enumerate(path):
        if data is None:
            return path[:end]
        data = data[int(step)] if isinstance(data, list) else data[step]
    return path


def assert_equal(ours: ExecutionResult, core: ExecutionResult, text: str) -> None:
    """Data to the byte. Errors: one by one; where several errors compete for one null, time decides which of them graphql-core
    tells, so there every null must have an error on both sides, and whatever stands alone must be the same."""
    assert json.dumps(ours.data) == json.dumps(core.data), text
    mine, theirs = told(ours), told(core)
    if mine == theirs:
        return
    groups: dict[tuple[str, ...], tuple[list[Any], list[Any]]] = {}
    for side, errors in enumerate((mine, theirs)):
        for error in errors:
            groups.setdefault(nulled(core.data, error[0]), ([], []))[side].append(error)
    for place, (left, right) in groups.items():
        assert left, (text, place, right)
        assert right, (text, place, left)
        if any(error[0] == place for error in right):
            assert left == right, text


async def compare(schema: GraphQLSchema, engine: Engine, made: Operations, seed: int, kind: str) -> bool:
    """One operation on both; false when it is not valid."""
    text, variables = made.make(seed, kind)
    document = parse(text)
    if validate(schema, document):
        return False
    node: Any = document.definitions[0]
    core: Any = execute(schema, document, None, seed % 17, variables)
    core = core if isinstance(core, ExecutionResult) else await core
    operation = engine.prepare(document, node)
    ours = await operation.execute(seed % 17, variables)
    assert_equal(ours, core, text)
    again = await operation.execute(seed % 17, variables)
    assert (again.data, told(again)) == (ours.data, told(ours))
    return True


@pytest.mark.parametrize("chunk", sample(range(CHUNKS), 2, "equality"))
def test_random_operations_over_faulty_data(chunk: int) -> None:
    faults = (0.0, 0.03, 0.15)[chunk % 3]
    schema = world.build(faults)
    reasons: list[str] = []
    engine = Engine(schema, world.Readings(faults) if chunk % 4 else None, reasons.append)
    made = Operations(schema, literal)

    async def run() -> int:
        kinds = ("query", "query", "mutation")
        return sum([await compare(schema, engine, made, chunk * SIZE + number, kinds[number % 3]) for number in range(SIZE)])

    valid = asyncio.run(run())
    assert valid > SIZE / 2
    assert reasons == []
