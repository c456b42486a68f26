"""Whoever reads or writes declares by whose policy, else nothing starts: fields of the graph, public pages, reactions."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from crm.customer.v1 import customer_service_pb2
from flask import Flask
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import Default

from chassis.messaging.reactions import Reaction
from chassis.runtime import edge
from chassis.storage.changes import Changes
from gateway.bootstrap import shared_schema
from gateway.graph.judged import JUDGED, by, check
from services.support.web.app import SERVICE, build_app

GET = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"].methods_by_name["GetCustomer"]


def without_policy() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="test/undeclared.proto", package="test.undeclared", syntax="proto3")
    file.message_type.add(name="Ask")
    file.service.add(name="Thing").method.add(name="Do", input_type=".test.undeclared.Ask", output_type=".test.undeclared.Ask")
    return Default().AddSerializedFile(file.SerializeToString()).services_by_name["Thing"].methods_by_name["Do"]


def schema_with(metadata: dict[str, Any]) -> strawberry.Schema:
    def resolve() -> str:
        return "anything"

    kind = type("Query", (), {"secret": strawberry.field(resolver=resolve, metadata=metadata)})
    return strawberry.Schema(query=strawberry.type(kind, name="Query"))


def test_a_field_that_names_no_method_does_not_start() -> None:
    check(schema_with(by(GET)))
    for metadata in ({}, by(), {JUDGED: ()}):
        with pytest.raises(RuntimeError, match=r"Query\.secret asks for data and names no RPC"):
            check(schema_with(metadata))
    with pytest.raises(RuntimeError, match="has no policy"):
        check(schema_with(by(without_policy())))


def test_every_field_of_the_graph_that_asks_is_declared() -> None:
    schema = shared_schema()
    fields = [field for kind in schema.schema_converter.type_map.values() for field in getattr(kind.definition, "fields", ())]
    asking = [field for field in fields if getattr(field, "base_resolver", None)]
    assert len(asking) > 150
    # How many a list has comes with the list.
    assert {field.python_name for field in asking if not field.metadata.get(JUDGED)} == {"suite", "total_count"}


def test_a_page_that_declares_nothing_does_not_start() -> None:
    app = build_app(None, "secret")  # type: ignore[arg-type]
    app.add_url_rule("/faq/all", view_func=lambda: "everything", endpoint="all")
    with pytest.raises(RuntimeError, match="the page /faq/all declares no RPC"):
        edge.check(app, SERVICE)


def test_a_page_that_names_a_method_that_there_is_not_does_not_start() -> None:
    app = Flask("test")
    app.add_url_rule("/", view_func=edge.judged_by("EatArticle")(lambda: ""), endpoint="eat")
    with pytest.raises(KeyError, match="EatArticle"):
        edge.check(app, SERVICE)


async def _handle(*_: Any) -> None:
    return None


def test_a_reaction_that_declares_nothing_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="the reaction «x» to customer declares nothing"):
        Reaction("x", "customer", (), _handle, ())
    with pytest.raises(TypeError, match="writes"):
        Reaction("x", "customer", (), _handle)  # type: ignore[call-arg]


@pytest.mark.parametrize("write", [
    lambda changes: changes.insert("customers", {"_id": "1"}),
    lambda changes: changes.update("customers", {"_id": "1", "version": 1}, {"_id": "1", "version": 2}),
    lambda changes: changes.write("customers", None),
    lambda changes: changes.guard("customers", {}),
    lambda changes: changes.must_match("customers", None),
])  # fmt: skip
def test_what_was_not_declared_cannot_be_written(write: Any) -> None:
    write(Changes(None))  # type: ignore[arg-type]
    changes = Changes(None, method="reaction:x", only=frozenset(("contacts",)))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="reaction:x writes customers and declares only contacts"):
        write(changes)
