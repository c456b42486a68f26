"""How many rows a list has that no page size bounds, as far as it can be known before it is asked for. Such lists cost what they return, too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import ceil
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    SchemaMetaFieldDef,
    StringValueNode,
    TypeMetaFieldDef,
    get_named_type,
    is_introspection_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from gateway.graph.sizes import rows_of

INSIDE = 5  # rows of a list inside of a record, where its contract says nothing (crm.common.v1.traits.rows)
SCHEMA_FIELDS = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}
Sizes = Mapping[tuple[str, str], int]


class Lists:
    """The lists of a schema: by what the contracts declare, and for the schema's own description by counting it."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema

    def rows(self, node: FieldNode, parent: Any, field: GraphQLField | None) -> int:
        """The rows of a field that takes no page size; 1 for what is no list of objects. Rows of a connection are its page's."""
        if node.name.value == "__type":
            return self._type_rows(node)
        if field is None or not _is_list(field) or is_leaf_type(get_named_type(field.type)):
            return 1
        if is_introspection_type(parent):
            return self.introspected.get((parent.name, node.name.value), 1)
        if parent.name.endswith("Connection"):
            return 1
        return rows_of(field) or INSIDE

    @cached_property
    def introspected(self) -> Sizes:
        """Rows of the lists of introspection: of a type's fields as many as the types have that fields lead to, which are the larger ones."""
        types = list(self.schema.type_map.values())
        shaped = [kind for kind in types if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType)]
        inputs = [kind for kind in types if isinstance(kind, GraphQLInputObjectType)]
        enums = [kind for kind in types if isinstance(kind, GraphQLEnumType)]
        fields = [field for kind in shaped for field in kind.fields.values()]
        met = [get_named_type(field.type) for field in fields]
        arguments = [argument for field in fields for argument in field.args.values()]
        return {
            ("__Schema", "types"): len(types),
            ("__Schema", "directives"): len(self.schema.directives),
            ("__Type", "fields"): max(_share(len(fields), types), _share(sum(len(getattr(kind, "fields", ())) for kind in met), met)),
            ("__Type", "inputFields"): _share(sum(len(kind.fields) for kind in inputs), types),
            ("__Type", "enumValues"): _share(sum(len(kind.values) for kind in enums), types),
            ("__Type", "interfaces"): 1,
            ("__Type", "possibleTypes"): _share(len(shaped), types),
            ("__Field", "args"): _share(len(arguments), fields),
            ("__Directive", "args"): 2,
        }

    def _type_rows(self, node: FieldNode) -> int:
        """How many times the mean a type has that is asked for by its name."""
        values = [argument.value for argument in node.arguments or () if argument.name.value == "name"]
        names = [value.value for value in values if isinstance(value, StringValueNode)] or self.schema.type_map
        parts = max(max(len(getattr(self.schema.type_map.get(name), kind, ())) for kind in ("fields", "values")) for name in names)
        return max(1, ceil(parts / self.introspected["__Type", "fields"]))


def _is_list(field: GraphQLField) -> bool:
    kind = field.type.of_type if is_non_null_type(field.type) else field.type
    return is_list_type(kind)


def _share(count: int, among: list[Any]) -> int:
    return max(1, ceil(count / max(1, len(among))))
