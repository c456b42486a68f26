"""What an application tells the engine about its types: how rows are read, and which fields take all parents at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo

Batch = Callable[[Sequence[Any], "GraphQLResolveInfo[Any]", dict[str, Any]], Awaitable[Sequence[Any]]]
"""All parents of a level in, one value for each out, in their order; an exception as a value is that row's error."""


@dataclass(frozen=True)
class Read:
    """How one field of a row is read: a Python expression in which `{row}` stands for the row.

    For a scalar or an enum (or a list of them) it must give exactly what goes into the answer; for an object what its fields are
    read from; for a list of objects an iterable of those. None may come out only where the field may be null. Where it is not
    sure, it raises: the rows are then read again by the field's resolver, with all checks. `names` are what the expression
    refers to, as `{name}`. The text is the application's own; nothing of a document may be put into it.
    """

    code: str
    names: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """Rows of exactly the class `kind` are of this object type and are read by `reads`, by field name."""

    kind: type
    reads: Mapping[str, Read]


class Readings(Protocol):
    """The application's side."""

    def shape(self, parent: GraphQLObjectType) -> Shape | None:
        """How rows of a type are read; None when only the resolvers know."""

    def batch(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Batch | None:
        """The batch function of a field; None for a field with a resolver of its own."""


class NoReadings:
    """Knows nothing: every field goes through its resolver."""

    def shape(self, parent: GraphQLObjectType) -> Shape | None:
        """None."""
        return None

    def batch(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Batch | None:
        """None."""
        return None
