"""The work for lists in lists grows with their items, not with the square of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from graphql import build_schema, parse

from gateway.engine import Engine


def seconds(count: int) -> float:
    """Time of an operation over so many lists, each with the resolvers' help."""
    schema = build_schema("type Query { rows: [Row] } type Row { items: [Item] } type Item { tags: [Tag] } type Tag { x: Int }")
    rows = [{"items": [{"tags": [{"x": 1}]} for _ in range(5)]} for _ in range(count)]
    document = parse("{ rows { items { tags { x } } } }")
    node: Any = document.definitions[0]
    operation = Engine(schema).prepare(document, node)
    started = time.process_time()
    found = asyncio.run(operation.execute(None, {}, {"rows": rows}))
    assert found.errors is None
    return time.process_time() - started


def test_four_times_the_rows_cost_about_four_times_the_work() -> None:
    seconds(100)
    small = min(seconds(400) for _ in range(2))
    assert seconds(1600) < 8 * small
