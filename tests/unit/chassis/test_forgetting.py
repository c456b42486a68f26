"""What a fact and a contract know of people: every text that may name somebody says so, and a fact that forgets holds none of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from buf.validate import validate_pb2
from crm.customer.v1 import contact_events_pb2
from crm.sales.v1 import opportunity_events_pb2
from google.protobuf.descriptor import FieldDescriptor

from chassis.kernel.ids import new_id
from chassis.messaging.envelope import decode, encode, forgotten
from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import traits

NOW = datetime(2026, 11, 29, tzinfo=UTC)
# Texts of records about a customer that say nothing of who it is: codes, kinds, and what is the same for many.
NOBODY = frozenset((
    "id", "source_key", "number", "industry", "source", "region", "country_code", "stage_key", "skill", "product", "resource", "department",
    "event_type", "record_id", "currency_code", "event_id", "record_type", "drop_text",
))  # fmt: skip
# The name of the campaign; what the timeline calls things, which it forgets by itself.
OF_OTHERS = frozenset((("campaign_messages", "subject"), ("timeline_entries", "subject")))
ABOUT = [noun for noun in nouns() if noun.name == "Customer" or "customer_id" in noun.record.fields_by_name]


@pytest.mark.parametrize("noun", ABOUT, ids=lambda noun: noun.resource)
def test_a_text_about_a_customer_says_whether_it_may_name_somebody(noun: Contract) -> None:
    open_texts = [
        field.name for field in noun.record.fields
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not field.is_repeated and not traits(field).refers_to and not traits(field).date
        and not field.GetOptions().Extensions[validate_pb2.field].string.pattern and field.name not in NOBODY
        and (noun.resource, field.name) not in OF_OTHERS and not traits(field).personal and not traits(field).names_person
    ]  # fmt: skip
    assert not open_texts, "mark them personal or names_person in the contract; what names nobody belongs among NOBODY here"


def test_a_fact_that_forgets_tells_what_happened_to_which_record_and_no_name() -> None:
    record = {"_id": new_id(), "version": 3, "customer_id": new_id(), "name": "给李四的商机", "state": "OPEN"}
    event = encode(opportunity_events_pb2.OpportunityUpdated, record, id=new_id(), time=NOW, actor_id="p")
    found = forgotten(event.headers(), event.payload)
    assert found is not None
    label, payload = found
    back = decode({**event.headers(), "ce-label": label}, payload)
    assert (back.label, "name" in back.record, back.record["state"], back.version) == ("", False, "OPEN", 3)
    assert (back.aggregate_id, back.customer_id) == (record["_id"], record["customer_id"])


def test_what_names_nobody_stays_as_it_was_and_forgetting_twice_is_forgetting_once() -> None:
    event = encode(contact_events_pb2.ContactCreated, {"_id": "c", "version": 1, "name": "李四"}, id="e", time=NOW, actor_id="p")
    label, payload = forgotten(event.headers(), event.payload) or ("?", b"")
    assert forgotten({**event.headers(), "ce-label": label}, payload) is None
