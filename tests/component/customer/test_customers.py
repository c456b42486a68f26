"""Customers, contacts and notes over gRPC: every verb, refusals without a trace, scopes, search, imports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.errors import CrmError
from tests.support.checks import equals, mask, refused, trace
from tests.support.installation import Installation

CUSTOMERS, CONTACTS, NOTES = "customer.customers", "customer.contacts", "customer.notes"


async def make(crm: Installation, name: str = "远景", **more: Any) -> Any:
    return (await crm.ask("CreateCustomer", **{"kind": 1, "name": name, "role": "COORDINATOR", **more})).customer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def others(crm: Installation) -> Installation:
    """A rep and a lead in the other department."""
    await crm.person("other rep", "SALES_REP", unit="other")
    await crm.person("other lead", "SALES_LEAD", unit="other")
    await crm.person("second rep", "SALES_REP")
    await crm.until(lambda: all(crm.people["second rep"] in crm.suite[name].authority.directory.members for name in ("customer", "sales")))
    return crm


async def test_a_customer_lives_from_creation_to_restoration(crm: Installation) -> None:
    made = await make(crm, "  生平  有限公司 ", role="SALES_REP", email="Info@Life.example", tax_number="9131 0000 x1")
    assert (made.name, made.email, made.tax_number, made.lifecycle, made.version) == (
        "生平 有限公司",
        "info@life.example",
        "91310000X1",
        1,
        1,
    )
    assert (made.owner_id, made.team_id, made.department_id) == (crm.people["SALES_REP"], crm.units["sales-team"], crm.units["sales"])
    changed = await crm.ask(
        "UpdateCustomer", role="SALES_REP", customer_id=made.id, version=1, update_mask=mask("level", "email"), level=1
    )  # a masked field that is not sent is cleared
    assert (changed.customer.level, changed.customer.HasField("email"), changed.customer.version) == (1, False, 2)
    moved = await crm.ask("MoveCustomerLifecycle", role="SALES_REP", customer_id=made.id, lifecycle=2, reason="demo")
    assert (moved.customer.lifecycle, moved.customer.lifecycle_reason) == (2, "demo")
    await refused(
        crm,
        CUSTOMERS,
        crm.ask("MoveCustomerLifecycle", customer_id=made.id, lifecycle=2, reason="x"),
        "LIFECYCLE_NOT_ALLOWED",
        record_id=made.id,
    )
    archived = await crm.ask("ArchiveCustomer", role="SALES_REP", customer_id=made.id, version=3)
    assert archived.customer.HasField("archive_time")
    for action in (
        crm.ask("ArchiveCustomer", customer_id=made.id),
        crm.ask("UpdateCustomer", customer_id=made.id, version=4, update_mask=mask("level"), level=2),
        crm.ask("MoveCustomerLifecycle", customer_id=made.id, lifecycle=3, reason="x"),
        crm.ask("AssignCustomer", customer_id=made.id, owner_id=crm.people["SALES_LEAD"]),
    ):
        await refused(crm, CUSTOMERS, action, "ARCHIVED", record_id=made.id)
    assert not (await crm.ask("ListCustomers", filter=equals("tax_number", "91310000X1"))).customers
    assert not (await crm.ask("SearchCustomers", query="生平")).customers
    restored = await crm.ask("RestoreCustomer", role="SALES_REP", customer_id=made.id)
    assert (restored.customer.HasField("archive_time"), restored.customer.version) == (False, 5)
    assert [hit.id for hit in (await crm.ask("SearchCustomers", role="SALES_REP", query="shengping")).customers] == [made.id]
    _, facts = await trace(crm, *CUSTOMERS.split("."), made.id)
    assert facts == 5


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"name": "   "}, "INVALID_ARGUMENT", "name"),
        ({"name": ""}, "INVALID_ARGUMENT", "name"),
        ({"name": "x" * 201}, "INVALID_ARGUMENT", "name"),
        ({"kind": 0}, "INVALID_ARGUMENT", "kind"),
        ({"kind": 9}, "INVALID_ARGUMENT", "kind"),
        ({"parent_id": "nobody"}, "REFERENCE_NOT_FOUND", "parent_id"),
        ({"parent_id": "NOT AN ID"}, "INVALID_ARGUMENT", "parent_id"),
        ({"owner_id": "nobody"}, "REFERENCE_NOT_FOUND", "owner_id"),
        ({"email": "no address"}, "INVALID_ARGUMENT", "email"),
        ({"country_code": "cn"}, "INVALID_ARGUMENT", "country_code"),
        ({"request_id": "short"}, "INVALID_ARGUMENT", "request_id"),
        ({"annual_revenue": {"currency_code": "CNY", "amount_micros": -1}}, "INVALID_ARGUMENT", "annual_revenue"),
    ],
)
async def test_a_customer_that_cannot_be_is_refused(crm: Installation, values: dict[str, Any], code: str, field: str) -> None:
    await refused(crm, CUSTOMERS, make(crm, **values), code, field=field)


async def test_a_lost_update_is_refused(crm: Installation) -> None:
    made = await make(crm)
    for method, more in (
        ("UpdateCustomer", {"update_mask": mask("level"), "level": 1}),
        ("ArchiveCustomer", {}),
        ("RestoreCustomer", {}),
        ("AssignCustomer", {"owner_id": crm.people["SALES_LEAD"]}),
        ("MoveCustomerLifecycle", {"lifecycle": 2, "reason": "r"}),
    ):
        await refused(crm, CUSTOMERS, crm.ask(method, customer_id=made.id, version=7, **more), "VERSION_CONFLICT", record_id=made.id)
    for path in ("lifecycle", "owner_id", "id", "nonsense"):
        await refused(
            crm,
            CUSTOMERS,
            crm.ask("UpdateCustomer", customer_id=made.id, version=1, update_mask=mask(path)),
            "INVALID_ARGUMENT",
            field="update_mask",
            record_id=made.id,
        )


async def test_a_repeated_request_gives_the_first_answer_and_other_content_is_refused(crm: Installation) -> None:
    first = await make(crm, "重复", request_id="customer-request-1")
    assert (await make(crm, "重复", request_id="customer-request-1")).id == first.id
    await refused(crm, CUSTOMERS, make(crm, "其他", request_id="customer-request-1"), "REQUEST_ID_REUSED", field="request_id")


async def test_two_customers_never_share_a_tax_number(crm: Installation) -> None:
    await make(crm, tax_number="TAX-1")
    await refused(crm, CUSTOMERS, make(crm, tax_number=" tax-1"), "TAX_NUMBER_TAKEN", field="tax_number")


async def test_a_hierarchy_makes_no_circle_and_a_parent_stays(crm: Installation) -> None:
    top = await make(crm, "上级")
    below = await make(crm, "下级", parent_id=top.id)
    await refused(crm, CUSTOMERS, crm.ask("ArchiveCustomer", customer_id=top.id), "CUSTOMER_IN_USE", record_id=top.id)
    for parent in (top.id, below.id):
        await refused(
            crm,
            CUSTOMERS,
            crm.ask("UpdateCustomer", customer_id=top.id, version=1, update_mask=mask("parent_id"), parent_id=parent),
            "HIERARCHY_CYCLE",
            field="parent_id",
            record_id=top.id,
        )
    groups = (await crm.ask("BatchListChildCustomers", parent_ids=[top.id, below.id])).groups
    assert [(group.key, [one.id for one in group.customers]) for group in groups] == [(top.id, [below.id]), (below.id, [])]


async def test_two_moves_at_the_same_moment_make_no_circle_either(crm: Installation) -> None:
    for number in range(5):
        one, two = await make(crm, f"甲{number}"), await make(crm, f"乙{number}")
        await asyncio.gather(
            *(
                crm.ask("UpdateCustomer", customer_id=child.id, version=1, update_mask=mask("parent_id"), parent_id=parent.id)
                for child, parent in ((one, two), (two, one))
            ),
            return_exceptions=True,
        )
        found = (await crm.ask("BatchGetCustomers", ids=[one.id, two.id])).customers
        assert sum(customer.HasField("parent_id") for customer in found) == 1


async def test_a_hierarchy_does_not_grow_too_deep_from_below(crm: Installation) -> None:
    upper = [await make(crm, "u")]
    lower = [await make(crm, "l")]
    for line in (upper, lower):
        for _ in range(6):
            line.append(await make(crm, "x", parent_id=line[-1].id))
    await refused(
        crm,
        CUSTOMERS,
        crm.ask("UpdateCustomer", customer_id=lower[0].id, version=1, update_mask=mask("parent_id"), parent_id=upper[-1].id),
        "HIERARCHY_TOO_DEEP",
        record_id=lower[0].id,
    )


async def test_a_rep_changes_the_own_customer_below_a_parent_of_somebody_else(others: Installation) -> None:
    top = await make(others, "别人的集团", owner_id=others.people["other rep"])
    mine = await make(others, "我的子公司", parent_id=top.id, owner_id=others.people["SALES_REP"])
    changed = await others.ask("UpdateCustomer", role="SALES_REP", customer_id=mine.id, version=1, update_mask=mask("phone"), phone="021-1")
    assert (changed.customer.phone, changed.customer.parent_id) == ("021-1", top.id)


async def test_nothing_new_is_attached_to_an_archived_customer(crm: Installation) -> None:
    made = await make(crm)
    await crm.ask("ArchiveCustomer", customer_id=made.id)
    for where, method, more in (
        (CONTACTS, "CreateContact", {"name": "x"}),
        (NOTES, "CreateNote", {"text": "x"}),
        ("sales.opportunities", "CreateOpportunity", {"name": "x"}),
    ):
        with pytest.raises(CrmError):
            await crm.ask(method, customer_id=made.id, **more)
        assert where


async def test_who_sees_whose_customer(others: Installation) -> None:
    crm = others
    mine = await make(crm, "金丝雀甲", owner_id=crm.people["SALES_REP"])
    theirs = await make(crm, "金丝雀乙", owner_id=crm.people["other rep"], parent_id=mine.id)
    contact = (await crm.ask("CreateContact", customer_id=theirs.id, name="金丝雀")).contact
    note = (await crm.ask("CreateNote", customer_id=theirs.id, text="金丝雀")).note
    await crm.settled()
    sees = {"SALES_REP": {mine.id}, "second rep": set(), "SALES_LEAD": {mine.id}, "other rep": {theirs.id}, "other lead": {theirs.id}}
    sees |= {key: {mine.id, theirs.id} for key in ("COORDINATOR", "MARKETER", "SUPPORT_AGENT")}
    both = [mine.id, theirs.id]
    for role, visible in sees.items():
        batch = await crm.ask("BatchGetCustomers", role=role, ids=both)
        assert {one.id for one in batch.customers} == visible, role
        assert set(batch.missing_ids) == set(both) - visible, role
        listed = await crm.ask("ListCustomers", role=role, page_size=100, filter=equals("name", "金丝雀甲", "金丝雀乙"))
        assert {one.id for one in listed.customers} == visible, role
        for query in ("金丝雀", "jinsique", "jsq"):
            assert {one.id for one in (await crm.ask("SearchCustomers", role=role, query=query)).customers} & set(both) == visible, (
                role,
                query,
            )
        children = (await crm.ask("BatchListChildCustomers", role=role, parent_ids=both)).groups
        assert {one.id for group in children for one in group.customers} == visible & {theirs.id}, role
        timeline = (await crm.ask("BatchListTimelineEntries", role=role, customer_ids=both)).groups
        assert {group.key for group in timeline if group.timeline_entries} == visible, role
        contacts = (await crm.ask("BatchListContacts", role=role, customer_ids=both)).groups
        assert {one.id for group in contacts for one in group.contacts} == ({contact.id} if theirs.id in visible else set()), role
        assert {one.id for one in (await crm.ask("ListContacts", role=role, filter=equals("name", "金丝雀"))).contacts} == (
            {contact.id} if theirs.id in visible else set()
        )
        if role != "MARKETER":
            notes = (await crm.ask("BatchListNotes", role=role, customer_ids=both)).groups
            assert {one.id for group in notes for one in group.notes} == ({note.id} if theirs.id in visible else set()), role
        for identity in set(both) - visible:
            await refused(crm, CUSTOMERS, crm.ask("GetCustomer", role=role, customer_id=identity), "NOT_FOUND", record_id=identity)
    for role in ("SALES_REP", "SALES_LEAD", "second rep"):
        await refused(crm, CONTACTS, crm.ask("GetContact", role=role, contact_id=contact.id), "NOT_FOUND", record_id=contact.id)
        await refused(crm, NOTES, crm.ask("GetNote", role=role, note_id=note.id), "NOT_FOUND", record_id=note.id)
        await refused(
            crm, CONTACTS, crm.ask("CreateContact", role=role, customer_id=theirs.id, name="x"), "REFERENCE_NOT_FOUND", field="customer_id"
        )
        for method, more in (("UpdateCustomer", {"version": 1, "update_mask": mask("level"), "level": 1}), ("ArchiveCustomer", {})):
            await refused(crm, CUSTOMERS, crm.ask(method, role=role, customer_id=theirs.id, **more), "NOT_FOUND", record_id=theirs.id)
    for role in ("MARKETER", "SUPPORT_AGENT"):
        await refused(
            crm,
            CUSTOMERS,
            crm.ask("UpdateCustomer", role=role, customer_id=mine.id, version=1, update_mask=mask("level"), level=1),
            "NOT_ALLOWED",
            record_id=mine.id,
        )
    for method, more in (("GetCustomer", {"customer_id": mine.id}), ("ListCustomers", {}), ("SearchCustomers", {"query": "金丝雀"})):
        await refused(crm, CUSTOMERS, crm.ask(method, role="ADMINISTRATOR", **more), "NOT_ALLOWED")


async def test_a_rep_makes_customers_for_nobody_else_and_a_lead_for_the_team(others: Installation) -> None:
    await refused(others, CUSTOMERS, make(others, role="SALES_REP", owner_id=others.people["other rep"]), "NOT_ALLOWED")
    await refused(others, CUSTOMERS, make(others, role="SALES_LEAD", owner_id=others.people["other rep"]), "NOT_ALLOWED")
    assert (await make(others, role="SALES_LEAD", owner_id=others.people["second rep"])).owner_id == others.people["second rep"]
    await refused(others, CUSTOMERS, make(others, role="SUPPORT_AGENT"), "NOT_ALLOWED")


async def test_contacts_notes_and_timeline_follow_the_customers_owner(others: Installation) -> None:
    crm = others
    made = await make(crm, "换手", owner_id=crm.people["SALES_REP"])
    contact = (await crm.ask("CreateContact", role="SALES_REP", customer_id=made.id, name="李雷")).contact
    note = (await crm.ask("CreateNote", role="SALES_REP", customer_id=made.id, text="记下")).note
    await refused(
        crm, CUSTOMERS, crm.ask("AssignCustomer", role="SALES_REP", customer_id=made.id, owner_id=crm.people["other rep"]), "NOT_ALLOWED"
    )
    await refused(
        crm, CUSTOMERS, crm.ask("AssignCustomer", customer_id=made.id, owner_id="nobody"), "REFERENCE_NOT_FOUND", record_id=made.id
    )
    await crm.ask("AssignCustomer", role="SALES_LEAD", customer_id=made.id, owner_id=crm.people["other rep"])
    await crm.settled()
    assert (await crm.ask("GetContact", role="other rep", contact_id=contact.id)).contact.name == "李雷"
    assert (await crm.ask("GetNote", role="other rep", note_id=note.id)).note.text == "记下"
    groups = (await crm.ask("BatchListTimelineEntries", role="other rep", customer_ids=[made.id])).groups
    assert len(groups[0].timeline_entries) == 4
    for role in ("SALES_REP", "SALES_LEAD"):
        await refused(crm, CONTACTS, crm.ask("GetContact", role=role, contact_id=contact.id), "NOT_FOUND", record_id=contact.id)
        assert not (await crm.ask("BatchListTimelineEntries", role=role, customer_ids=[made.id])).groups[0].timeline_entries


async def test_contacts_and_notes_live_through_every_verb(crm: Installation) -> None:
    made = await make(crm)
    contact = (await crm.ask("CreateContact", role="SUPPORT_AGENT", customer_id=made.id, name=" 韩 梅梅 ", email="Han@Example.com")).contact
    assert (contact.name, contact.email, contact.version) == ("韩 梅梅", "han@example.com", 1)
    changed = await crm.ask(
        "UpdateContact", contact_id=contact.id, version=1, update_mask=mask("do_not_contact", "title"), do_not_contact=True
    )
    assert (changed.contact.do_not_contact, changed.contact.version) == (True, 2)
    note = (await crm.ask("CreateNote", customer_id=made.id, text="a", pinned=True)).note
    assert (await crm.ask("UpdateNote", note_id=note.id, version=1, update_mask=mask("text"), text="b")).note.text == "b"
    for noun, identity, where, more in (
        ("Contact", contact.id, CONTACTS, {"name": "x"}),
        ("Note", note.id, NOTES, {"text": "x"}),
    ):
        key = {f"{noun.lower()}_id": identity}
        field = next(iter(more))
        await refused(
            crm, where, crm.ask(f"Update{noun}", **key, version=1, update_mask=mask(field), **more), "VERSION_CONFLICT", record_id=identity
        )
        await refused(
            crm,
            where,
            crm.ask(f"Update{noun}", **key, version=2, update_mask=mask(field), **{field: "  "}),
            "INVALID_ARGUMENT",
            field=field,
            record_id=identity,
        )
        await refused(crm, where, crm.ask(f"Create{noun}", customer_id="nobody", **more), "REFERENCE_NOT_FOUND", field="customer_id")
        await refused(crm, where, crm.ask(f"Create{noun}", role="MARKETER", customer_id=made.id, **more), "NOT_ALLOWED")
        await crm.ask(f"Archive{noun}", **key)
        await refused(crm, where, crm.ask(f"Archive{noun}", **key), "ARCHIVED", record_id=identity)
        await refused(
            crm, where, crm.ask(f"Update{noun}", **key, version=3, update_mask=mask(field), **more), "ARCHIVED", record_id=identity
        )
        group = (await crm.ask(f"BatchList{noun}s", customer_ids=[made.id])).groups[0]
        assert not list(getattr(group, f"{noun.lower()}s"))
        await crm.ask(f"Restore{noun}", **key)
        assert list((await crm.ask(f"BatchGet{noun}s", ids=[identity, "x"])).missing_ids) == ["x"]


async def test_an_exact_name_comes_first_however_many_begin_like_it(crm: Installation) -> None:
    rows = [{"source_key": f"acme:{number}", "kind": 1, "name": f"Acme Corp Branch {number:03}"} for number in range(250)]
    await crm.ask("BatchUpsertCustomers", customers=rows)
    exact = await make(crm, "Acme Corp")
    found = (await crm.ask("SearchCustomers", query="Acme Corp")).customers
    assert len(found) == 20
    assert found[0].id == exact.id


async def test_pages_hold_every_row_once(crm: Installation) -> None:
    names = {f"分页{number:02}" for number in range(7)}
    await crm.ask("BatchUpsertCustomers", customers=[{"source_key": f"page:{name}", "kind": 2, "name": name} for name in names])
    for order in (0, 1, 2, 3, 4):
        found: list[str] = []
        token = ""
        while True:
            page = await crm.ask("ListCustomers", filter=equals("name", *sorted(names)), order_by=order, page_size=3, page_token=token)
            found += [one.name for one in page.customers]
            token = page.next_page_token
            if not token:
                break
        assert sorted(found) == sorted(names)
        if order == 4:
            assert found == sorted(names)
    page = await crm.ask("ListCustomers", filter=equals("name", *sorted(names)), page_size=3)
    with pytest.raises(CrmError) as wrong:
        await crm.ask("ListCustomers", page_token=page.next_page_token)
    assert wrong.value.code == "PAGE_TOKEN_INVALID"
