"""Customers, contacts, notes, segments and timeline entries: their rules, pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.relative import When
from chassis.messaging.envelope import Event
from gateway.departments.language import told
from services.customer.accesses.model import begun, people_of, work_of
from services.customer.contacts import model as contacts
from services.customer.customers import model as customers
from services.customer.notes import model as notes
from services.customer.segments import model as segments
from services.customer.timeline.model import SILENT, entry_of, resources, sources

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STAGES = ("CONTACT", "CONVERT", "MAINTAIN", "CHURN")
ALLOWED = {
    ("CONTACT", "CONVERT"),
    ("CONTACT", "CHURN"),
    ("CONVERT", "CONTACT"),
    ("CONVERT", "MAINTAIN"),
    ("CONVERT", "CHURN"),
    ("MAINTAIN", "CHURN"),
    ("CHURN", "CONTACT"),
    ("CHURN", "MAINTAIN"),
}


def test_a_customer_is_completed() -> None:
    found = {"name": "  远景   贸易 ", "email": " Info@Example.COM ", "tax_number": "91310000 ma1fl5x 0x1"}
    customers.check(found)
    assert found == {"name": "远景 贸易", "email": "info@example.com", "tax_number": "91310000MA1FL5X0X1", "lifecycle": "CONTACT"}


@pytest.mark.parametrize("name", [" ", "\t\n", "\u3000"])
def test_a_customer_needs_a_name(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        customers.check({"name": name})
    assert refused.value.field == "name"


@pytest.mark.parametrize(("present", "following"), list(product(STAGES, STAGES)))
def test_a_lifecycle_stage_is_followed_by_the_allowed_ones_only(present: str, following: str) -> None:
    if (present, following) in ALLOWED:
        assert customers.moved({"lifecycle": present}, following, "why") == {"lifecycle": following, "lifecycle_reason": "why"}
    else:
        with pytest.raises(WrongState) as refused:
            customers.moved({"lifecycle": present}, following, "why")
        assert (refused.value.code, refused.value.field) == ("LIFECYCLE_NOT_ALLOWED", "lifecycle")


def test_nobody_stands_below_themselves() -> None:
    for refuse in (lambda: customers.check({"_id": "a", "name": "n", "parent_id": "a"}), lambda: customers.check_line("a", ["b", "a"])):
        with pytest.raises(Invalid) as refused:
            refuse()
        assert (refused.value.code, refused.value.field) == ("HIERARCHY_CYCLE", "parent_id")


def test_a_hierarchy_has_ten_levels() -> None:
    customers.check_line("x", [str(number) for number in range(9)])
    with pytest.raises(Invalid) as refused:
        customers.check_line("x", [str(number) for number in range(10)])
    assert refused.value.code == "HIERARCHY_TOO_DEEP"


def test_an_annual_revenue_below_zero_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        customers.check({"name": "n", "annual_revenue": {"currency_code": "CNY", "amount_micros": -1}})
    assert refused.value.field == "annual_revenue"


def test_a_contact_is_completed() -> None:
    found = {"name": " 李  雷 ", "email": " Li@Example.com"}
    contacts.check(found)
    assert found == {"name": "李 雷", "email": "li@example.com"}
    with pytest.raises(Invalid) as refused:
        contacts.check({"name": "  "})
    assert refused.value.field == "name"


def test_a_note_needs_words() -> None:
    notes.check({"text": " x "})
    with pytest.raises(Invalid) as refused:
        notes.check({"text": " \n "})
    assert refused.value.field == "text"


def criteria(value: str = "软件") -> dict[str, Any]:
    return {"condition": {"field": "industry", "operator": "EQUALS", "values": [{"text": value}]}}


def test_a_new_segment_is_being_built_and_a_renamed_one_is_not() -> None:
    fresh: dict[str, Any] = {"name": "s", "criteria": criteria()}
    segments.check(fresh)
    assert (fresh["state"], fresh["member_count"]) == ("BUILDING", 0)
    built = {**fresh, "state": "READY", "built_criteria": criteria(), "member_count": 7, "name": "other"}
    segments.check(built)
    assert (built["state"], built["member_count"]) == ("READY", 7)
    built["criteria"] = criteria("汽车")
    segments.check(built)
    assert built["state"] == "BUILDING"


def test_criteria_that_are_changed_back_before_they_were_built_do_not_stay_in_building() -> None:
    segment = {"criteria": criteria(), "built_criteria": criteria(), "state": "READY", "member_count": 1}
    segment["criteria"] = criteria("汽车")
    segments.check(segment)
    segment["criteria"] = criteria()
    segments.check(segment)
    # No build will run for criteria that are built already, so nothing would ever call it ready again.
    assert segment["state"] == "READY" or segment.get("built_criteria") != segment["criteria"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"condition": {"field": "secret", "operator": "EQUALS", "values": [{"text": "x"}]}},
        {"condition": {"field": "level", "operator": "EQUALS", "values": [{"text": "Z"}]}},
        {"condition": {"field": "level", "operator": "LESS", "values": [{"text": "A"}]}},
        {"condition": {"field": "industry", "operator": "EQUALS", "values": [{"number": 1}]}},
        {"condition": {"field": "industry", "operator": "EQUALS", "values": []}},
        {"all": {"items": []}},
    ],
)
def test_criteria_that_cannot_be_judged_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        segments.check({"criteria": wrong})
    assert refused.value.code == "CRITERIA_INVALID"


def test_who_is_archived_belongs_to_no_segment() -> None:
    belongs = segments.belongs({"criteria": criteria()}, When(NOW))
    assert belongs({"industry": "软件"})
    assert not belongs({"industry": "汽车"})
    assert not belongs({})
    assert not belongs({"industry": "软件", "archive_time": NOW})


def test_a_membership_counts_its_versions_through_leaving_and_coming_back() -> None:
    first = segments.entered("s", "c", None, NOW)
    assert first == {"_id": "s-c", "version": 1, "segment_id": "s", "customer_id": "c", "enter_time": NOW}
    gone = segments.left(first, NOW + timedelta(1))
    assert gone == {**first, "version": 2, "leave_time": NOW + timedelta(1)}
    again = segments.entered("s", "c", gone, NOW + timedelta(2))
    assert again == {**first, "version": 3, "enter_time": NOW + timedelta(2)}


def event(name: str = "OpportunityWon", noun: str = "Opportunity", version: int = 4, **more: Any) -> Event:
    values: dict[str, Any] = {"customer_id": "c1", "label": "大单", "body": {"record": {}}, **more}
    return Event(f"e-{name}", f"crm.sales.v1.{name}", f"crm.sales.v1.{noun}", "r1", version, NOW, "p1", b"", **values)


def test_a_fact_becomes_one_entry_on_its_customer() -> None:
    assert entry_of(event()) == {
        "_id": "e-OpportunityWon",
        "customer_id": "c1",
        "occur_time": NOW,
        "department": "sales",
        "event_type": "crm.sales.v1.OpportunityWon",
        "resource": "opportunities",
        "record_id": "r1",
        "record_version": 4,
        "subject": "大单",
        "actor_id": "p1",
    }


def test_facts_without_customer_or_interest_leave_none() -> None:
    assert entry_of(event(customer_id="")) is None
    assert entry_of(event(noun="Product")) is None
    for name in SILENT:
        assert entry_of(event(name=name)) is None


def test_whose_facts_are_told_stands_in_the_contracts() -> None:
    assert sources()["customer"] == {
        "SegmentMember": "segments", "Customer": "customers", "Contact": "contacts", "Note": "notes", "CustomerMerge": "customer_merges",
    }  # fmt: skip
    assert sources()["sales"].items() >= {"Opportunity": "opportunities", "Order": "orders"}.items()
    assert sources()["marketing"].items() >= {"CampaignMessage": "campaign_messages"}.items()
    assert sources()["support"].items() >= {"Ticket": "tickets", "TicketReply": "ticket_replies"}.items()
    assert "organization" not in sources()
    assert not {"products", "campaigns", "articles"} & set(resources())


@pytest.mark.parametrize(("resource", "state", "work"), [
    ("opportunities", "OPEN", True), ("opportunities", "WON", False), ("orders", "CONFIRMED", True), ("orders", "FULFILLED", False),
    ("tickets", "PENDING", True), ("tickets", "RESOLVED", False),
])  # fmt: skip
def test_an_open_record_is_work_of_its_owner_as_its_contract_says(resource: str, state: str, work: bool) -> None:
    record = {"_id": "r1", "state": state, "owner_id": "p1", "customer_id": "c1"}
    found = work_of(resource, record)
    assert found == ({"_id": "r1", "customer_id": "c1", "person_id": "p1", "resource": resource} if work else None)
    assert work_of(resource, record | {"archive_time": NOW}) is None
    assert work_of(resource, {name: value for name, value in record.items() if name != "owner_id"}) is None


def test_an_imported_record_tells_its_own_time_once() -> None:
    past = NOW - timedelta(days=400)
    imported = {"record": {"source_key": "k", "create_time": past}}
    first, later, plain = (
        event(version=1, body=imported),
        event(version=2, body=imported),
        event(version=1, body={"r": {"create_time": past}}),
    )
    assert entry_of(first)["occur_time"] == past  # type: ignore[index]
    assert entry_of(later)["occur_time"] == NOW  # type: ignore[index]
    assert entry_of(plain)["occur_time"] == NOW  # type: ignore[index]


def test_work_that_a_guest_gave_opens_nothing_until_somebody_else_gets_it_from_who_may() -> None:
    work = {"_id": "w", "customer_id": "c", "person_id": "p", "resource": "opportunities"}
    guest = begun(work, None, invited=True)
    assert people_of(None, [guest]) == []
    assert begun(work, guest, invited=False)["by_guest"]  # who changes it later does not make it better
    given = begun(work | {"person_id": "q"}, guest, invited=False)
    assert people_of(None, [given, guest]) == ["q"]
    assert not begun(work, {**work}, invited=True)["by_guest"]  # as an earlier build left it
    assert people_of({"collaborator_ids": ["p"]}, [guest]) == ["p"]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"field": "colour", "operator": "EQUALS", "values": [{"text": "x"}]}, "criteria：“colour”不能用于筛选"),
        ({"field": "region", "operator": "EQUALS", "values": [{"relative_days": 1}]}, "criteria：“region”不是时间，不能使用 relative_days"),
        (
            {"field": "create_time", "operator": "EQUALS", "values": [{"relative_seconds": 1}]},
            "criteria：“create_time”的 EQUALS 不接受 relative_seconds；请比较早晚，多个条件用 any 连接",
        ),
        (
            {"field": "create_time", "operator": "LESS", "values": [{"relative_days": 40_000}]},
            "criteria：“create_time”的 relative_days 超过一百年；请填写 -36525 到 36525",
        ),
    ],
)
def test_criteria_that_cannot_be_judged_are_refused_in_chinese(condition: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        segments.check({"criteria": {"condition": condition}})
    found = refused.value
    assert told(found.code, found.message, found.params, found.field, "zh-CN") == words
