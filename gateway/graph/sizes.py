"""How many rows a list has about that no page size bounds: what contracts declare of it (`rows`), for the cost of an operation."""

from __future__ import annotations

from crm.common.v1 import annotations_pb2
from graphql import GraphQLField, GraphQLSchema, get_named_type, is_leaf_type, is_list_type, is_non_null_type

from chassis.rpc.documents import traits
from gateway.graph.judged import methods_of

ROWS = "rows"


def rows_of(field: GraphQLField) -> int:
    """The rows that a list has about, as its contract says; 0 where it says nothing."""
    definition = field.extensions.get("strawberry-definition")
    declared = int(getattr(definition, "metadata", {}).get(ROWS, 0))
    return declared or sum(int(method.GetOptions().Extensions[annotations_pb2.rows]) for method in methods_of(field))


def declared(field: object) -> dict[str, int]:
    """The metadata of a record's field: the rows that its contract declares."""
    found = int(traits(field).rows)
    return {ROWS: found} if found else {}


def check(schema: GraphQLSchema) -> None:
    """Refuse a list of objects in a root type that takes no page size and declares no size. Raises RuntimeError with the field's name."""
    for root in (schema.query_type, schema.mutation_type):
        for name, field in root.fields.items() if root else ():
            kind = field.type.of_type if is_non_null_type(field.type) else field.type
            if is_list_type(kind) and not is_leaf_type(get_named_type(kind)) and "first" not in field.args and not rows_of(field):
                raise RuntimeError(f"{name} is a list without page size and declares no size; give its method option (crm.common.v1.rows)")
