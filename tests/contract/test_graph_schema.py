"""The graph's schema as its users rely on it: committed, described, bounded, with refusals in every payload."""

from __future__ import annotations

from pathlib import Path

from crm.common.v1 import annotations_pb2
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
)  # fmt: skip

import gateway
from chassis.access.fields import kept_of, stands
from chassis.rpc.documents import traits
from gateway.bootstrap import shared_schema
from gateway.departments.spelling import camel
from gateway.graph.noun import NOUNS

SCHEMA = shared_schema()._schema
COMMITTED = Path(gateway.__file__).parent / "schema.graphql"
TYPES = {name: shape for name, shape in SCHEMA.type_map.items() if not name.startswith("__")}


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    assert COMMITTED.read_text().strip() == shared_schema().as_str().strip()


def lacking(name: str, shape: GraphQLNamedType) -> list[str]:
    """Elements of a type without a description."""
    found = [] if shape.description else [name]
    if isinstance(shape, GraphQLEnumType):
        found += [f"{name}.{key}" for key, value in shape.values.items() if not value.description]
    if isinstance(shape, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
        found += [f"{name}.{key}" for key, field in shape.fields.items() if not field.description]
    if isinstance(shape, GraphQLObjectType | GraphQLInterfaceType):
        arguments = [(key, argument, field.args[argument]) for key, field in shape.fields.items() for argument in field.args]
        found += [f"{name}.{key}({argument})" for key, argument, definition in arguments if not definition.description]
    return found


def test_every_element_of_the_schema_says_what_it_means() -> None:
    builtin = {"Int", "Float", "String", "Boolean", "ID"}
    assert [element for name, shape in TYPES.items() if name not in builtin for element in lacking(name, shape)] == []


def test_every_command_takes_one_input_and_answers_with_refusals() -> None:
    assert SCHEMA.mutation_type is not None
    for name, field in SCHEMA.mutation_type.fields.items():
        payload = get_named_type(field.type)
        assert list(field.args) in (["input"], ["input", "validateOnly"]), name
        assert isinstance(payload, GraphQLObjectType)
        assert str(payload.fields["errors"].type) == "[UserError!]!", name
        assert all(not str(part.type).endswith("!") for key, part in payload.fields.items() if key != "errors"), name


def test_every_list_of_records_is_a_connection_or_a_bounded_search() -> None:
    unbounded = []
    for name, shape in TYPES.items():
        if not isinstance(shape, GraphQLObjectType) or name.endswith("Connection"):
            continue
        for key, field in shape.fields.items():
            if (
                isinstance(get_nullable_type(field.type), GraphQLList)
                and get_named_type(field.type).name in NOUNS
                and "first" not in field.args
            ):
                unbounded.append(f"{name}.{key}")
    assert unbounded == []


# What stands behind the rows of a page where it is no number: the one list over all departments says which are away, lists of files never count.
UNCOUNTED = {"JobConnection": ["missingDepartments"], "AttachmentConnection": list[str]()}


def test_every_connection_has_edges_nodes_a_page_info_and_a_number() -> None:
    connections = {name: shape for name, shape in TYPES.items() if name.endswith("Connection")}
    assert connections
    for name, shape in connections.items():
        assert isinstance(shape, GraphQLObjectType)
        assert list(shape.fields) == ["edges", "nodes", "pageInfo", *UNCOUNTED.get(name, ["totalCount"])]


def test_every_field_that_crosses_a_department_is_nullable() -> None:
    strict = [
        f"{noun.name}.{key}" for noun in NOUNS.values() for key, field in TYPES[noun.name].fields.items()  # type: ignore[attr-defined]
        if (get_named_type(field.type).name in NOUNS or get_named_type(field.type).name.endswith("Connection")) and str(field.type).endswith("!")
    ]  # fmt: skip
    assert strict == []


def test_what_always_stands_is_never_null_and_what_a_role_may_be_denied_may_be() -> None:
    strict, denied = set(), []
    for noun in NOUNS.values():
        shape = TYPES[noun.name]
        assert isinstance(shape, GraphQLObjectType)
        for field in noun.descriptor.fields:
            shown = shape.fields.get(camel(field.name))
            if field.name == "id" or shown is None or not field.has_presence or not isinstance(shown.type, GraphQLNonNull):
                continue
            strict.add(f"{noun.name}.{field.name}")
            denied += [] if field.name in kept_of(noun.descriptor) and stands(field) else [f"{noun.name}.{field.name}"]
            mark = traits(field)
            assert not (mark.copy_of or mark.count_of or mark.tells or mark.personal or mark.secret), (
                f"{noun.name}.{field.name} may be taken away"
            )
    assert denied == []
    assert {"Customer.create_time", "Ticket.state", "Order.update_time", "TimelineEntry.occur_time", "Session.version"} <= strict
    lacking = [noun.name for noun in NOUNS.values() for name in ("create_time", "update_time") if name in noun.descriptor.fields_by_name
               and f"{noun.name}.{name}" not in strict]  # fmt: skip
    assert lacking == []


def test_every_noun_with_an_id_is_a_node() -> None:
    for noun in NOUNS.values():
        shape = TYPES[noun.name]
        assert isinstance(shape, GraphQLObjectType)
        assert [interface.name for interface in shape.interfaces] == ["Node"]


def test_what_a_record_needs_is_required_of_who_makes_one() -> None:
    needed, asked = 0, []
    for noun in NOUNS.values():
        create = TYPES.get(f"{noun.name}CreateInput")
        if not isinstance(create, GraphQLInputObjectType):
            continue
        for field in noun.descriptor.fields:
            if annotations_pb2.BEHAVIOR_REQUIRED in traits(field).behaviors and camel(field.name) in create.fields:
                needed += 1
                asked += [] if str(create.fields[camel(field.name)].type).endswith("!") else [f"{noun.name}.{field.name}"]
    assert needed > 30
    assert asked == ["WebhookSource.roles"], "roles by their codes or by id: one of two lists has to be there"
