"""Variables of an operation: the plain ones are taken as they are, all others coerced by graphql-core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLID,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    is_non_null_type,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values

_PLAIN: dict[object, type[Any]] = {GraphQLID: str, GraphQLString: str, GraphQLBoolean: bool, GraphQLInt: int}
_INT = 2**31
MOST_ERRORS = 50  # as graphql.execute has it


class Variables:
    """The variables that one operation defines."""

    def __init__(self, schema: GraphQLSchema, node: OperationDefinitionNode) -> None:
        self.schema, self.nodes = schema, node.variable_definitions or ()
        self._plain: list[tuple[str, type[Any], Any]] | None = []
        for definition in self.nodes:
            signature = get_variable_signature(schema, definition)
            if isinstance(signature, GraphQLError):
                self._plain = None
                break
            named = signature.type.of_type if is_non_null_type(signature.type) else signature.type
            kind = next((kind for type_, kind in _PLAIN.items() if type_ is named), None)
            if kind is None:
                self._plain = None
                break
            self._plain.append((signature.name, kind, signature))

    def coerce(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """The values, or the errors that say which do not fit."""
        if self._plain is not None:
            sources: dict[str, VariableValueSource] = {}
            coerced: dict[str, Any] = {}
            for name, kind, signature in self._plain:
                value: Any = given.get(name)
                if type(value) is not kind or (kind is int and not -_INT <= value < _INT):
                    break  # absent, null, or not plain: graphql-core knows what to do
                sources[name], coerced[name] = VariableValueSource(signature, value), value
            else:
                return VariableValues(sources, coerced)
        return get_variable_values(self.schema, self.nodes, dict(given), max_errors=MOST_ERRORS)
