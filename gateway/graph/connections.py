"""Relay connections over the departments' keyset pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import strawberry

from chassis.kernel.errors import Invalid

DEFAULT, LARGEST = 20, 100


@strawberry.type(description="Where a page stands.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether this is not the first page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first row.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last row; give it as `after` for the next page.")


@cache
def connection_type(node: type) -> Any:
    """The connection of a type."""
    words = {
        "cursor": strawberry.field(description="Give it as `after` to go on behind this row."),
        "node": strawberry.field(description="The row."),
    }
    edge = type(f"{node.__name__}Edge", (), {"__annotations__": {"cursor": str, "node": node}, **words})
    edge_type = strawberry.type(edge, name=edge.__name__, description=f"A {node.__name__} in a list.")
    annotations = {"edges": list[edge_type], "nodes": list[node], "page_info": PageInfo}  # type: ignore[valid-type]
    shown = {
        "edges": strawberry.field(description="The rows, each with its cursor."),
        "nodes": strawberry.field(description="The rows."),
        "page_info": strawberry.field(description="Where this page stands."),
    }
    made = type(f"{node.__name__}Connection", (), {"__annotations__": annotations, **shown})
    return strawberry.type(made, name=made.__name__, description=f"A page of {node.__name__} records.")


def first_of(first: int | None) -> int:
    """The number of rows that `first` asks for. Raises Invalid."""
    rows = DEFAULT if first is None else first
    if not 1 <= rows <= LARGEST:
        raise Invalid(f"first is {rows}; ask for 1 to {LARGEST} rows", field="first")
    return rows


def page(rows: list[Any], next_token: str, row_tokens: Sequence[str], *, continued: bool) -> dict[str, Any]:
    """The connection of a department's page. Cursors are the department's own tokens: rows that come in between move nothing."""
    cursors: list[str | None] = list(row_tokens) or [None] * len(rows)
    info = {
        "has_next_page": bool(next_token), "has_previous_page": continued,
        "start_cursor": cursors[0] if cursors else None, "end_cursor": cursors[-1] if cursors else None,
    }  # fmt: skip
    edges = [{"cursor": text, "node": row} for text, row in zip(cursors, rows, strict=True)]
    return {"edges": edges, "nodes": rows, "page_info": info}
