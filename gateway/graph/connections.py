"""Relay connections over the departments' keyset pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import strawberry

from chassis.kernel.errors import Invalid

DEFAULT, LARGEST = 20, 100
CONNECTIONS: dict[str, type] = {}
EDGES: dict[str, type] = {}


@strawberry.type(description="Where a page stands.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether this is not the first page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first row.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last row; give it as `after` for the next page.")


@cache
def connection_type(node: type, *, over_departments: bool = False) -> Any:
    """The connection of a type; of one whose records lie in several departments it says too which of them are not in the page."""
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
    if over_departments:
        annotations["missing_departments"] = list[str]
        words_missing = "Departments that do not answer at the moment: what they have is not in this page."
        shown["missing_departments"] = strawberry.field(description=words_missing)
    made = type(f"{node.__name__}Connection", (), {"__annotations__": annotations, **shown})
    CONNECTIONS[made.__name__], EDGES[edge.__name__] = made, edge
    return strawberry.type(made, name=made.__name__, description=f"A page of {node.__name__} records.")


def first_of(first: int | None) -> int:
    """The number of rows that `first` asks for. Raises Invalid."""
    rows = DEFAULT if first is None else first
    if not 1 <= rows <= LARGEST:
        raise Invalid(
            f"first is {rows}; ask for 1 to {LARGEST} rows",
            field="first",
            params={"rule": "number.between", "least": "1", "most": str(LARGEST)},
        )
    return rows


class Page:
    """A department's page as a connection. Cursors are the department's own tokens: rows that come in between move nothing."""

    __slots__ = ("continued", "missing_departments", "next_token", "nodes", "tokens")

    def __init__(
        self, nodes: Sequence[Any], next_token: str, tokens: Sequence[str], continued: bool, missing_departments: Sequence[str] = ()
    ) -> None:
        self.nodes, self.next_token, self.tokens, self.continued = nodes, next_token, tokens, continued
        self.missing_departments = list(missing_departments)

    @property
    def edges(self) -> list[Edge]:
        """The rows, each with its cursor, which is None when cursors were not asked for."""
        tokens: Sequence[str | None] = self.tokens or [None] * len(self.nodes)
        return [Edge(token, row) for token, row in zip(tokens, self.nodes, strict=True)]

    @property
    def page_info(self) -> Standing:
        """Where the page stands."""
        first, last = (self.tokens[0], self.tokens[-1]) if self.tokens else (None, None)
        return Standing(bool(self.next_token), self.continued, first, last)


class Edge(NamedTuple):
    """A row with its cursor."""

    cursor: str | None
    node: Any


class Standing(NamedTuple):
    """The values of a PageInfo."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None
