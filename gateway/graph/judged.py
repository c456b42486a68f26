"""By whose policy each field of the graph is judged: a field that asks a department names the RPCs that it may send, or nothing starts."""

from __future__ import annotations

from typing import Any

import strawberry
from google.protobuf.descriptor import MethodDescriptor
from graphql import GraphQLField

from chassis.rpc.service import policy_of

JUDGED = "judged_by"
# Of a field that asks no department: what it tells the gateway knows by itself, and everybody may know it.
OPEN = {"open": True}


def by(*methods: MethodDescriptor | None) -> dict[str, Any]:
    """A field's metadata: the methods whose policies decide what it tells."""
    return {JUDGED: tuple(method for method in methods if method is not None)}


def methods_of(field: GraphQLField) -> tuple[MethodDescriptor, ...]:
    """The methods that a field of the finished schema names."""
    definition = field.extensions.get("strawberry-definition")
    return tuple(getattr(definition, "metadata", {}).get(JUDGED, ()))


def check(schema: strawberry.Schema) -> None:
    """Refuse a field with a resolver that names no method, and a method without a policy. Raises RuntimeError with the field's name."""
    for kind in schema.schema_converter.type_map.values():
        for field in getattr(kind.definition, "fields", ()):
            if getattr(field, "base_resolver", None) is None:
                continue  # a value of what another field has already got
            if field.metadata.get("open"):
                continue
            methods = field.metadata.get(JUDGED)
            if not methods:
                name = f"{getattr(kind.definition, 'name', '')}.{field.python_name}"
                raise RuntimeError(f"{name} asks for data and names no RPC by whose policy it is judged; give it metadata=by(method)")
            for method in methods:
                policy_of(method)
