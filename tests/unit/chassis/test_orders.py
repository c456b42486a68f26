"""Orders of one or two fields: which of them an index serves, and which fields have one."""

from __future__ import annotations

from typing import Any

import pytest
from crm.customer.v1 import contact_pb2, customer_pb2
from crm.sales.v1 import opportunity_pb2

from chassis.kernel.pages import Sort
from chassis.rpc.documents import sortable_fields
from chassis.storage.orders import served

INDEXES: list[dict[str, Any]] = [
    {"key": {"_id": 1}},
    {"key": {"name": 1, "_id": 1}},
    {"key": {"customer_id": 1, "create_time": -1, "_id": -1}},
    {"key": {"state": 1, "amount": -1, "create_time": -1, "_id": -1}},
    {"key": {"email": 1, "_id": 1}, "partialFilterExpression": {"email": {"$exists": True}}},
    {"key": {"parent": 1, "_id": 1}, "sparse": True},
]


@pytest.mark.parametrize(
    ("sort", "pinned", "found"),
    [
        (Sort("name", 1), set(), True),
        (Sort("name", -1), set(), True),
        (Sort("amount", 1), set(), False),
        (Sort("create_time", 1), set(), False),
        (Sort("create_time", 1), {"customer_id"}, True),
        (Sort("amount", -1, then=Sort("create_time", -1)), {"state"}, True),
        (Sort("amount", 1, then=Sort("create_time", 1)), {"state"}, True),
        (Sort("amount", -1, then=Sort("create_time", 1)), {"state"}, False),
        (Sort("amount", -1), {"state"}, False),
        (Sort("name", 1, then=Sort("create_time", 1)), set(), False),
        (Sort("name", 1, then=Sort("state", 1)), {"state"}, True),
        (Sort("email", 1), set(), False),
        (Sort("parent", 1), set(), False),
        (Sort("name", 1, reckoned={"$strLenCP": "$name"}), set(), False),
    ],
)
def test_an_index_serves_an_order_that_it_has_from_either_end(sort: Sort, pinned: set[str], found: bool) -> None:
    assert served(sort, INDEXES, pinned) is found


def test_what_has_no_order_in_the_clear_is_no_field_to_sort_by() -> None:
    customers = sortable_fields(customer_pb2.Customer.DESCRIPTOR)
    assert {"name", "create_time", "level", "annual_revenue", "employee_count", "industry"} <= customers.keys()
    assert customers.keys().isdisjoint({"id", "owner_id", "tax_number", "phone", "description"})
    assert "email" not in sortable_fields(contact_pb2.Contact.DESCRIPTOR)
    assert {"amount", "expected_close_date", "probability"} <= sortable_fields(opportunity_pb2.Opportunity.DESCRIPTOR).keys()
