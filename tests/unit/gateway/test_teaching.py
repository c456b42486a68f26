"""The schema says what an input may be and why a command may be refused, from the rules that judge it."""

from __future__ import annotations

import pytest
from crm.customer.v1 import customer_pb2, customer_service_pb2
from crm.sales.v1 import order_pb2

from chassis.rpc.contract import contract_of
from gateway.bootstrap import shared_schema
from gateway.graph.teaching import codes, limits

CREATE = customer_service_pb2.CreateCustomerRequest.DESCRIPTOR
CUSTOMER = contract_of(customer_pb2.Customer.DESCRIPTOR)


@pytest.mark.parametrize(("field", "words"), [
    ("name", "1 to 200 characters."), ("employee_count", "0 to 1,000,000,000,000."),
    ("country_code", "Give two capital letters by ISO 3166, e.g. CN."), ("owner_id", ""),
])  # fmt: skip
def test_the_limits_of_a_field_are_told(field: str, words: str) -> None:
    assert limits(CREATE.fields_by_name[field]) == words


def test_the_codes_of_a_command_follow_from_its_contract() -> None:
    assert codes(CREATE, "CreateCustomer", CUSTOMER)[0] == "INVALID_ARGUMENT"
    update = customer_service_pb2.UpdateCustomerRequest.DESCRIPTOR
    assert {"ARCHIVED", "INVALID_ARGUMENT", "NOT_ALLOWED", "NOT_FOUND", "VERSION_CONFLICT"} <= set(
        codes(update, "UpdateCustomer", CUSTOMER)
    )
    orders = contract_of(order_pb2.Order.DESCRIPTOR)
    assert "ORDER_NUMBER_TAKEN" in codes(orders.method("CreateOrder").input_type, "CreateOrder", orders)


def test_every_command_of_a_noun_says_why_it_may_be_refused() -> None:
    mutation = shared_schema()._schema.mutation_type
    assert mutation is not None
    assert "May be refused with ARCHIVED, " in str(mutation.fields["customerUpdate"].description)
