"""Customers that come by BatchUpsert: once, each row judged alone, and beside what other departments told of them before."""

from __future__ import annotations

from chassis.kernel.ids import from_source
from tests.component.customer.test_customers import CUSTOMERS
from tests.support.checks import refused, trace
from tests.support.installation import Installation


async def test_customers_are_imported_once_and_each_row_is_judged_alone(crm: Installation) -> None:
    parent = from_source("customers", "imp:1")
    rows = [
        {"source_key": "imp:1", "kind": 1, "name": " 导入 一 "},
        {"source_key": "imp:2", "kind": 1, "name": "导入二", "parent_id": parent},
        {"source_key": "imp:3", "kind": 1, "name": "导入三", "parent_id": "nobody"},
        {"source_key": "imp:4", "name": "没有种类"},
        {"source_key": "imp:1", "kind": 1, "name": "两次"},
        {"source_key": "", "kind": 1, "name": "没有键"},
        {"source_key": "imp:5", "kind": 1, "name": "坏邮箱", "email": "no address"},
    ]
    before = await trace(crm, "customer", "customers")
    dry = await crm.ask("BatchUpsertCustomers", customers=rows, validate_only=True)
    assert await trace(crm, "customer", "customers") == before
    expected = [
        (1, ""),
        (1, ""),
        (4, "parent_id"),
        (4, "kind"),
        (4, "source_key"),
        (4, "source_key"),
        (4, "email"),
    ]
    assert [(one.result, one.error_field) for one in dry.outcomes] == expected
    first = await crm.ask("BatchUpsertCustomers", customers=rows)
    assert [(one.result, one.error_field) for one in first.outcomes] == expected
    assert first.outcomes[0].id == parent
    written = await trace(crm, "customer", "customers")
    assert (written[0] - before[0], written[1] - before[1]) == (2, 2)
    second = await crm.ask("BatchUpsertCustomers", customers=rows[:2])
    assert [one.result for one in second.outcomes] == [3, 3]
    assert await trace(crm, "customer", "customers") == written
    third = await crm.ask("BatchUpsertCustomers", customers=[{**rows[0], "level": 1}])
    assert [(one.result, list(one.changed_fields)) for one in third.outcomes] == [(2, ["level"])]
    for role in ("SALES_REP", "SALES_LEAD", "MARKETER", "SUPPORT_AGENT", "ADMINISTRATOR"):
        await refused(crm, CUSTOMERS, crm.ask("BatchUpsertCustomers", role=role, customers=rows[:1]), "NOT_ALLOWED")
    await refused(crm, CUSTOMERS, crm.ask("BatchUpsertCustomers", customers=[]), "INVALID_ARGUMENT", field="customers")
    contact = {"source_key": "imp:c1", "customer_id": parent, "name": "联系人"}
    note = {"source_key": "imp:n1", "customer_id": parent, "text": "备注"}
    for method, name, row in (("BatchUpsertContacts", "contacts", contact), ("BatchUpsertNotes", "notes", note)):
        wrong = {**row, "source_key": "imp:x", "customer_id": "nobody"}
        for expected_results in ([1, 4], [3, 4]):
            answer = await crm.ask(method, **{name: [row, wrong]})
            assert [one.result for one in answer.outcomes] == expected_results
            assert answer.outcomes[1].error_code == "REFERENCE_NOT_FOUND"


async def test_what_was_told_of_a_customer_before_it_was_there_is_its_owners_too(crm: Installation) -> None:
    """Departments are filled side by side: the ticket of a customer may come before the customer."""
    identity = from_source("customers", "early:1")
    ticket = {
        "source_key": "early:t",
        "customer_id": identity,
        "subject": "早",
        "number": "EARLY-1",
        "channel": 1,
        "kind": 1,
        "priority": 1,
        "state": 1,
    }
    (told,) = (await crm.ask("BatchUpsertTickets", tickets=[ticket])).outcomes
    await crm.settled()
    entries = crm.suite["customer"].database["timeline_entries"]
    assert "owner_id" not in await entries.find_one({"record_id": told.id})
    owner = {"owner_id": crm.people["SALES_REP"]}
    await crm.ask("BatchUpsertCustomers", customers=[{"source_key": "early:1", "name": "先到的工单", "kind": 1, **owner}])
    await crm.settled()
    page = (await crm.ask("BatchListTimelineEntries", customer_ids=[identity], role="SALES_REP")).groups[0].timeline_entries
    assert told.id in {entry.record_id for entry in page}
