"""Relay connections over the departments' keyset pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, NamedTuple

import strawberry
from crm.common.v1 import criteria_pb2
from strawberry.types import Info

from chassis.kernel.errors import Invalid
from gateway.graph.contract import finish, output_class
from gateway.graph.judged import OPEN

BATCHED = "batched"
DEFAULT, LARGEST = 20, 100
COUNTED, MOST_COUNTED = 1000, 10_000
CONNECTIONS: dict[str, type] = {}
EDGES: dict[str, type] = {}


@strawberry.type(description="Where a page stands.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether this is not the first page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first row.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last row; give it as `after` for the next page.")


_TOTAL = (
    "How many there are, whatever the page, of those that you may see; counted with the page, in the same call. Null for lists that leave rows "
    "out after they are read."
)
_MOST = "How far to count, 1 to 10,000."


def whole(count: int) -> Any:
    """A number that is known without counting up to a bound."""
    return criteria_pb2.RecordCount(count=count, exact=True)


async def _totals(roots: Sequence[Any], info: Info, most: int | None = COUNTED) -> Sequence[Any]:
    return [root.total_up_to(COUNTED if most is None else most) for root in roots]


def _total_count() -> Any:
    async def resolve(
        root: strawberry.Parent[Any], info: Info, most: Annotated[int | None, strawberry.argument(description=_MOST)] = COUNTED
    ) -> Any:
        return (await _totals([root], info, most))[0]

    shape = finish(output_class(criteria_pb2.RecordCount.DESCRIPTOR)) | None
    return strawberry.field(resolver=resolve, graphql_type=shape, description=_TOTAL, metadata={BATCHED: _totals, **OPEN})


@cache
def connection_type(node: type, *, over_departments: bool = False, counted: bool = True) -> Any:
    """The connection of a type; of one whose records lie in several departments it says too which of them are not in the page, and not how many
    there are, nor of one whose lists are never `counted`."""
    words = {
        "cursor": strawberry.field(description="Give it as `after` to go on behind this row."),
        "node": strawberry.field(description="The row."),
    }
    edge = type(f"{node.__name__}Edge", (), {"__annotations__": {"cursor": str, "node": node}, **words})
    edge_type = strawberry.type(edge, name=edge.__name__, description=f"A {node.__name__} in a list.")
    annotations: dict[str, Any] = {"edges": list[edge_type], "nodes": list[node], "page_info": PageInfo}  # type: ignore[valid-type]
    shown = {
        "edges": strawberry.field(description="The rows, each with its cursor."),
        "nodes": strawberry.field(description="The rows."),
        "page_info": strawberry.field(description="Where this page stands."),
    }
    if counted and not over_departments:
        shown["total_count"] = _total_count()
    if over_departments:
        annotations["missing_departments"] = list[str]
        words_missing = "Departments that do not answer at the moment: what they have is not in this page."
        shown["missing_departments"] = strawberry.field(description=words_missing)
    made = type(f"{node.__name__}Connection", (), {"__annotations__": annotations, **shown})
    CONNECTIONS[made.__name__], EDGES[edge.__name__] = made, edge
    return strawberry.type(made, name=made.__name__, description=f"A page of {node.__name__} records.")


def first_of(first: int | None) -> int:
    """The number of rows that `first` asks for. Raises Invalid."""
    return within("first", DEFAULT if first is None else first, 1, LARGEST)


def within(name: str, value: int, least: int, most: int) -> int:
    """An argument's number that lies between both. Raises Invalid."""
    if not least <= value <= most:
        params = {"rule": "number.between", "least": str(least), "most": str(most)}
        raise Invalid(f"{name} is {value}; give {least} to {most}", field=name, params=params)
    return value


class Page:
    """A department's page as a connection. Cursors are the department's own tokens: rows that come in between move nothing."""

    __slots__ = ("backward", "continued", "missing_departments", "next_token", "nodes", "tokens", "total")

    def __init__(
        self,
        nodes: Sequence[Any],
        next_token: str,
        tokens: Sequence[str],
        continued: bool,
        missing_departments: Sequence[str] = (),
        *,
        backward: bool = False,
        total: Any = None,
    ) -> None:
        self.nodes, self.next_token, self.tokens, self.continued = nodes, next_token, tokens, continued
        self.missing_departments, self.backward, self.total = list(missing_departments), backward, total

    @classmethod
    def of(cls, answer: Any, rows: str, request: Any) -> Page:
        """The page that an answer, or a group of one, is to a request."""
        fields = request.DESCRIPTOR.fields_by_name
        backward = "backward" in fields and request.backward
        continued = bool(request.page_token) or ("skip" in fields and request.skip > 0)
        total = answer.total if "total" in answer.DESCRIPTOR.fields_by_name and answer.HasField("total") else None
        return cls(getattr(answer, rows), answer.next_page_token, answer.row_tokens, continued, backward=backward, total=total)

    def total_up_to(self, most: int) -> Any:
        """How many there are, as who asked to count so far is told; None where that is not known."""
        if self.total is None or self.total.count < most:
            return self.total
        return criteria_pb2.RecordCount(count=most, exact=self.total.count == most and self.total.exact)

    @property
    def edges(self) -> list[Edge]:
        """The rows, each with its cursor, which is None when cursors were not asked for."""
        tokens: Sequence[str | None] = self.tokens or [None] * len(self.nodes)
        return [Edge(token, row) for token, row in zip(tokens, self.nodes, strict=True)]

    @property
    def page_info(self) -> Standing:
        """Where the page stands."""
        first, last = (self.tokens[0], self.tokens[-1]) if self.tokens else (None, None)
        ahead, behind = bool(self.next_token), self.continued
        return Standing(behind, ahead, first, last) if self.backward else Standing(ahead, behind, first, last)


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
