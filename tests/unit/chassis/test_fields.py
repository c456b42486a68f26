"""Field permissions: what is masked and how, what an answer loses, what a command may not name; which of several roles counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from crm.customer.v1 import contact_pb2, contact_service_pb2, customer_pb2, customer_service_pb2
from hypothesis import given
from hypothesis import strategies as st

from chassis.access.caller import HIDDEN, MASKED, READ, WRITE, Caller
from chassis.access.directory import Directory
from chassis.access.fields import limit_answer, refuse_writes, told
from chassis.kernel.errors import NotAllowed
from chassis.kernel.masking import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("13812341234", "138****1234"),
        ("+86 138 1234 1234", "861****1234"),
        ("010-8888", "01****88"),
        ("li.lei@example.com", "l****@example.com"),
        ("@example.com", "@****"),
        ("北京市海淀区", "北****"),
        ("A", "A****"),
        ("", ""),
    ],
)
def test_a_mask_tells_apart_and_no_more(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(st.text(min_size=12, max_size=40))
def test_a_mask_never_holds_the_text(text: str) -> None:
    assert text not in masked(text)


def _limits(**by_resource: Mapping[str, int]) -> Any:
    return lambda resource: by_resource.get(resource, {})


def test_an_answer_loses_what_is_hidden_and_masks_what_is_masked_wherever_records_lie() -> None:
    contact = contact_pb2.Contact(id="c", name="李雷", phone="13812341234", email="li@example.com")
    answer = contact_service_pb2.BatchListContactsResponse()
    answer.groups.add(key="k", contacts=[contact])
    limit_answer(answer, _limits(contacts={"phone": MASKED, "email": HIDDEN, "name": READ}, customers={"phone": HIDDEN}))
    found = answer.groups[0].contacts[0]
    assert (found.id, found.name, found.phone, found.HasField("email")) == ("c", "李雷", "138****1234", False)


def test_a_masked_number_or_amount_is_hidden_for_a_part_of_it_would_tell_it() -> None:
    customer = customer_pb2.Customer(id="c", name="x", employee_count=50)
    customer.annual_revenue.amount_micros = 1
    limit_answer(customer, _limits(customers={"employee_count": MASKED, "annual_revenue": MASKED}))
    assert not customer.HasField("employee_count")
    assert not customer.HasField("annual_revenue")


def test_a_command_may_not_name_what_its_sender_may_not_write() -> None:
    limits = {"phone": READ, "level": MASKED}
    update = customer_service_pb2.UpdateCustomerRequest(update_mask={"paths": ["name", "phone"]})
    with pytest.raises(NotAllowed) as by_mask:
        refuse_writes(update, None, limits)
    create = customer_service_pb2.CreateCustomerRequest(name="x", phone="1")
    with pytest.raises(NotAllowed) as by_value:
        refuse_writes(create, None, limits)
    rows = customer_service_pb2.BatchUpsertCustomersRequest(customers=[{"name": "x"}, {"name": "y", "level": 1}])  # type: ignore[list-item]
    with pytest.raises(NotAllowed) as by_row:
        refuse_writes(rows, customer_pb2.Customer.DESCRIPTOR, limits)
    assert (by_mask.value.field, by_value.value.field, by_row.value.field) == ("update_mask", "phone", "customers[1].level")
    refuse_writes(customer_service_pb2.CreateCustomerRequest(name="x"), None, limits)
    refuse_writes(
        customer_service_pb2.BulkArchiveCustomersRequest(ids=["a", "b"]), None, limits
    )  # lists of texts have no fields of their own


def test_histories_tell_as_much_as_the_field_itself() -> None:
    fields = customer_pb2.Customer.DESCRIPTOR.fields_by_name
    seen = [told("13812341234", level, fields["phone"]) for level in (HIDDEN, MASKED, READ, WRITE)]
    assert seen == [None, "138****1234", "13812341234", "13812341234"]
    assert told(5, MASKED, fields["employee_count"]) is None
    assert told("a customer's id", MASKED, fields["parent_id"]) is None


def test_of_several_roles_the_widest_counts_and_only_roles_that_grant_something() -> None:
    directory = Directory(
        1,
        {("A", "deals", "read"): 5, ("B", "deals", "read"): 1, ("C", "other", "read"): 5},
        fields={("A", "deals"): {"x": HIDDEN, "y": MASKED}, ("B", "deals"): {"x": READ}, ("C", "deals"): {"x": HIDDEN, "y": WRITE}},
    )

    def limits(*roles: str) -> Mapping[str, int]:
        return directory.limits(Caller("p", frozenset(roles)), "deals")

    assert limits("A") == {"x": HIDDEN, "y": MASKED}
    assert limits("A", "B") == {"x": READ}
    assert limits("A", "C") == {"x": HIDDEN, "y": MASKED}
    assert limits("C") == {}
