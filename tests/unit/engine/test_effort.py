"""The work for lists in lists grows with their items, not with the square of them."""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import Any

import pytest
from graphql import build_schema, parse

from gateway.engine import Engine, places


def test_a_list_of_lists_is_counted_once_however_many_rows_ask_for_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def watched(counts: Any) -> Any:
        counted.append(len(counts))
        return accumulate(counts)

    monkeypatch.setattr(places, "accumulate", watched)
    schema = build_schema("type Query { rows: [Row] } type Row { items: [Item] } type Item { tags: [Tag] } type Tag { x: Int }")
    rows = [{"items": [{"tags": [{"x": 1}]} for _ in range(5)]} for _ in range(200)]
    document = parse("{ rows { items { tags { x } } } }")
    node: Any = document.definitions[0]
    found = asyncio.run(Engine(schema).prepare(document, node).execute(None, {}, {"rows": rows}))
    assert found.errors is None
    assert counted == [1, 200, 1000]  # one list of rows, their lists of items, those items' lists of tags
