"""What of a contract leads to other records, and back."""

from __future__ import annotations

import pytest
from crm.organization.v1 import person_pb2, person_service_pb2
from crm.sales.v1 import order_pb2
from crm.support.v1 import ticket_pb2, ticket_service_pb2

from chassis.kernel.errors import Invalid
from chassis.rpc.contract import contract_of, edges_of
from chassis.rpc.handlers import _asked_by
from chassis.storage.indexes import indexes_back

ORDERS, PEOPLE, TICKETS = (contract_of(one.DESCRIPTOR) for one in (order_pb2.Order, person_pb2.Person, ticket_pb2.Ticket))


def test_a_message_within_a_record_has_edges_of_its_own() -> None:
    assert edges_of(order_pb2.OrderLine.DESCRIPTOR) == {"product": "product_id"}


def test_a_path_leads_into_the_messages_of_a_record() -> None:
    assert ORDERS.backs.keys() >= {"lines.product_id", "returned_order_id"}
    assert ORDERS.keys(ORDERS.method("BatchListOrders"))["product_ids"] == "lines.product_id"
    assert ORDERS.leaf("lines.product_id").name == "product_id"


def test_ids_in_a_list_of_the_record_are_asked_by_as_they_stand() -> None:
    assert PEOPLE.keys(PEOPLE.method("BatchListPeople"))["role_definition_ids"] == "role_definition_ids"


def test_every_back_is_a_list_of_its_noun() -> None:
    for contract in (ORDERS, PEOPLE, TICKETS):
        assert contract.backs.keys() <= contract.lists.keys()


def test_a_list_is_asked_by_one_kind_of_ids() -> None:
    keys = TICKETS.keys(TICKETS.method("BatchListTickets"))
    asks = ticket_service_pb2.BatchListTicketsRequest
    assert _asked_by(asks(contact_ids=["a"]), keys) == "contact_ids"
    for request in (asks(), asks(contact_ids=["a"], customer_ids=["b"])):
        with pytest.raises(Invalid) as refused:
            _asked_by(request, keys)
        assert refused.value.params == {"rule": "keys.one"}
    with pytest.raises(Invalid):
        _asked_by(person_service_pb2.BatchListPeopleRequest(), PEOPLE.keys(PEOPLE.method("BatchListPeople")))


def test_an_index_back_begins_with_the_field_and_goes_on_as_lists_are_ordered() -> None:
    (index,) = indexes_back(["lines.product_id"], ORDERS.sorts)
    assert next(iter(index.document["key"])) == "lines.product_id"
    assert list(index.document["key"].items())[1:] == next(iter(ORDERS.sorts.values())).keys
    assert index.document["name"] == "back_by_lines.product_id"
