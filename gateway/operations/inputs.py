"""How much there is in the variables of a request, judged before anything is made of it: making it costs a hundred times as much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import GraphQLError, ListTypeNode, NamedTypeNode, NonNullTypeNode, OperationDefinitionNode, TypeNode

from chassis.kernel.criteria import MOST_CONDITIONS

MOST_NESTING = 40
# A condition is two objects, three where it counts from now, with what joins it to others five at most; what is beyond is refused by every department.
MOST_FILTER_OBJECTS = 5 * MOST_CONDITIONS
MOST_STRANGER_VALUES = 200  # who is not signed in has a sign-in to send
_COUNTED = 100_000


class Extent(NamedTuple):
    """The objects and lists in a value, all values with these, and how deep they lie."""

    containers: int
    values: int
    depth: int


def extent(value: object) -> Extent:
    """Counted level by level, so that depth costs no stack, and no further than it can matter."""
    level: list[Any] = [value]
    containers = values = depth = 0
    while level and values < _COUNTED and depth <= MOST_NESTING:
        values += len(level)
        level = [item for item in level if type(item) is dict or type(item) is list]
        containers += len(level)
        depth += bool(level)
        level = [inner for item in level for inner in (item.values() if type(item) is dict else item)]
    return Extent(containers, values - 1, depth)


def check_input(operation: OperationDefinitionNode, variables: Mapping[str, Any], most: int) -> None:
    """Refuse variables with more than is ever needed: values, and conditions of a filter. Raises GraphQLError."""
    found = extent(variables).values
    if found > most:
        raise _refused("values", found, most, "send less at once; who is not signed in may send little")
    for node in operation.variable_definitions or ():
        if _named(node.type).endswith("Filter"):
            objects = extent(variables.get(node.variable.name.value)).containers
            if objects > MOST_FILTER_OBJECTS:
                raise _refused(
                    "filter", objects, MOST_FILTER_OBJECTS, f"use {MOST_CONDITIONS} conditions at most, or «in» with several values"
                )


def check_nesting(variables: object) -> None:
    """Refuse variables that are nested too deep. Raises GraphQLError."""
    if extent(variables).depth > MOST_NESTING:
        words = f"the variables are nested deeper than {MOST_NESTING} levels (limit: input depth); flatten them"
        raise GraphQLError(words, extensions={"code": "LIMIT_EXCEEDED", "limit": "input depth", "most": MOST_NESTING})


def _named(node: TypeNode) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value if isinstance(node, NamedTypeNode) else ""


def _refused(limit: str, found: int, most: int, mend: str) -> GraphQLError:
    return GraphQLError(
        f"{limit} {found} in the variables exceed the limit of {most}; {mend}",
        extensions={"code": "LIMIT_EXCEEDED", "limit": limit, "found": found, "most": most},
    )
