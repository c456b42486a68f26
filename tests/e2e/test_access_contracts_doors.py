"""Sharing contracts at the doors beside reading: sealed terms, orders, sums, segments, deputies, hand over, open subscriptions, and what for."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.e2e.test_access_contracts import agreed, ended
from tests.e2e.test_access_handover import HAND_OVER
from tests.e2e.test_access_roles import departments, holder, role
from tests.e2e.test_graph_websocket import ask, heard, listening, socket
from tests.support.checks import cny, equals, mask
from tests.support.installation import Installation

PHONE, MAIL, TAX = "13855556666", "door.canary@door.example", "DOORTAX55"
TEXT, PRICE = "door canary words", 876543


def silent(answer: Any) -> None:
    """Nothing of what is not agreed is in the answer."""
    for secret in (PHONE, MAIL, "door.example", TAX, TEXT, str(PRICE)):
        assert secret not in str(answer), secret


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(crm: Installation) -> dict[str, str]:
    """In the other department a representative and somebody without rights; a customer of sales with an order, tickets and a segment."""
    await crm.person("reader", "SALES_REP", unit="other")
    made = await role(crm, "没有业务权 d", [("articles", "read", "ALL"), ("explanations", "read", "OWN")], [])
    plain = await holder(crm, "plain", made["id"])
    units = {"home_department_id": crm.units["other"], "home_team_id": crm.units["other-team"]}
    await crm.ask("UpdatePerson", person_id=plain, version=2, update_mask=mask(*units), **units)
    await crm.until(
        lambda: all(one.authority.directory.members[plain].department_id == units["home_department_id"] for _, one in departments(crm)), 5
    )
    secret = {"phone": PHONE, "email": MAIL, "tax_number": TAX}
    theirs = (await crm.ask("CreateCustomer", role="SALES_REP", name="门口甲公司", kind=1, industry="门口", **secret)).customer.id
    own = (await crm.ask("CreateCustomer", role="reader", name="门口乙公司", kind=1, industry="门口")).customer
    await crm.ask(
        "UpdateCustomer", role="COORDINATOR", customer_id=own.id, version=own.version, update_mask=mask("parent_id"), parent_id=theirs
    )
    return {"theirs": theirs, "own": own.id, "plain": plain}


async def refusal(action: Any) -> str:
    with pytest.raises(CrmError) as found:
        await action
    return str(found.value.code)


async def customers(crm: Installation, who: str, **asked: Any) -> list[str]:
    try:
        return [one.id for one in (await crm.ask("ListCustomers", role=who, page_size=100, **asked)).customers]
    except CrmError as error:
        assert error.code == "NOT_ALLOWED", error.code
        return []


async def hits(crm: Installation, who: str, question: str) -> list[Any]:
    return list((await crm.ask("SearchCustomers", role=who, query=question)).customers)


@pytest.mark.parametrize("who", ["reader", "plain"])
async def test_a_sealed_field_is_shown_found_and_asked_for_exactly_where_it_is_agreed(
    crm: Installation, world: dict[str, str], who: str
) -> None:
    made, theirs = await agreed(crm, display_name="给电话", fields=["name", "phone"]), world["theirs"]
    is_set = {"condition": {"field": "tax_number", "operator": 7, "values": [{"flag": True}]}}
    try:
        for question in (PHONE, PHONE[-4:], PHONE[-8:]):
            found = {one.id: one for one in await hits(crm, who, question)}
            assert (found[theirs].phone, found[theirs].email, found[theirs].tax_number) == (PHONE, "", ""), question
        for question in (MAIL, "door.example", TAX, f"门口 {TAX}"):
            assert theirs not in [one.id for one in await hits(crm, who, question)], question
        for criteria in (equals("tax_number", TAX), is_set, {"negated": equals("tax_number", "another")}):
            assert theirs not in await customers(crm, who, filter=criteria), criteria
            either = {"any": {"items": [criteria, equals("name", "门口甲公司")]}}
            assert theirs not in await customers(crm, who, filter=either), criteria
        for part in (["phone"], ["email", "tax_number"], []):
            row = (await crm.ask("GetCustomer", role=who, customer_id=theirs, read_mask=mask(*part))).customer
            assert (row.phone, row.email, row.tax_number) == (PHONE if part != ["email", "tax_number"] else "", "", "")
    finally:
        await ended(crm, made)


@pytest.mark.parametrize("who", ["reader", "plain"])
async def test_criteria_on_a_sealed_field_find_by_a_contract_that_shows_it(crm: Installation, world: dict[str, str], who: str) -> None:
    made, theirs = await agreed(crm, display_name="给税号", fields=["name", "tax_number"]), world["theirs"]
    try:
        assert theirs in await customers(crm, who, filter=equals("tax_number", TAX))
        assert theirs not in await customers(crm, who, filter=equals("tax_number", "another"))
        assert [(one.tax_number, one.phone) for one in await hits(crm, who, TAX) if one.id == theirs] == [(TAX, "")]
        assert theirs not in [one.id for one in await hits(crm, who, PHONE)]
    finally:
        await ended(crm, made)


async def test_a_search_finds_by_exactly_the_fields_that_a_contract_shows(crm: Installation, world: dict[str, str]) -> None:
    for field in ("phone", "name"):
        made = await agreed(crm, display_name="只给一个", fields=[field])
        try:
            for who in ("reader", "plain"):
                for asked in (PHONE, PHONE[-4:], "门口甲公司", "mkjgs"):
                    found = [one for one in await hits(crm, who, asked) if one.id == world["theirs"]]
                    assert bool(found) is ((field == "phone") is (asked in PHONE)), (field, who, asked)
                    assert [(one.name, one.phone) for one in found] in ([], [("", PHONE)] if field == "phone" else [("门口甲公司", "")])
                    assert not any(secret in str(found) for secret in (MAIL, TAX))
        finally:
            await ended(crm, made)


async def test_pages_by_an_order_that_only_the_store_keeps_lose_and_repeat_nothing(crm: Installation, world: dict[str, str]) -> None:
    owner = crm.people["SUPPORT_AGENT"]
    ids = [
        (
            await crm.ask("CreateTicket", role="COORDINATOR", subject="门口", description=TEXT, channel=1, priority=rank, owner_id=owner)
        ).ticket.id
        for rank in (1, 4, 3)
    ]
    for fields, seen in ((["subject", "priority"], True), (["subject"], False)):
        made = await agreed(crm, display_name="工单", resource="tickets", fields=fields)
        try:
            found, token = [], ""
            while True:
                page = await crm.ask(
                    "ListTickets", role="plain", order_by=3, page_size=2, page_token=token, filter=equals("subject", "门口")
                )
                silent(page)
                found += [one.id for one in page.tickets]
                if not (token := page.next_page_token):
                    break
            assert len(found) == len(set(found))
            assert [one for one in found if one in ids] == ([ids[1], ids[2], ids[0]] if seen else [])
            assert set(ids) <= {one.id for one in (await crm.ask("BatchGetTickets", role="plain", ids=ids)).tickets}
        finally:
            await ended(crm, made)


async def test_no_sum_counts_what_a_contract_shows_in_part(crm: Installation, world: dict[str, str]) -> None:
    line = {"quantity": 1, "unit_price": cny(PRICE), "description": "P"}
    order = (await crm.ask("CreateOrder", role="SALES_REP", customer_id=world["theirs"], lines=[line])).order
    made = await agreed(crm, display_name="订单号", resource="orders", fields=["number"])
    try:
        for who in ("reader", "plain"):
            found = (await crm.ask("GetOrder", role=who, order_id=order.id)).order
            assert (found.number, found.HasField("total"), list(found.lines)) == (order.number, False, [])
            listed = await crm.ask("BatchListOrders", role=who, customer_ids=[world["theirs"]])
            assert [one.id for one in listed.groups[0].orders] == [order.id]
            silent(listed)
            assert order.id not in str(await crm.ask("ListOrders", role=who, order_by=3, page_size=100))
        assert list((await crm.ask("BatchGetOrderTotals", role="reader", customer_ids=[world["theirs"]])).order_totals) == []
        assert await refusal(crm.ask("BatchGetOrderTotals", role="plain", customer_ids=[world["theirs"]])) == "NOT_ALLOWED"
        assert await refusal(crm.ask("GetCustomer", role="reader", customer_id=world["theirs"])) == "NOT_FOUND"  # one resource, no other
    finally:
        await ended(crm, made)


async def test_who_is_in_a_segment_is_not_told_by_a_contract_without_its_criteria(crm: Installation, world: dict[str, str]) -> None:
    criteria = {"criteria": equals("industry", "门口")}
    segment = (await crm.ask("CreateSegment", role="COORDINATOR", name=f"门口 {new_id()}", description=TEXT, **criteria)).segment
    await crm.settled()
    made = await agreed(crm, display_name="分群", resource="segments", fields=["name"])
    try:
        for who in ("reader", "plain"):
            found = (await crm.ask("GetSegment", role=who, segment_id=segment.id)).segment
            assert (found.name, found.HasField("criteria"), found.member_count) == (segment.name, False, 0)
            silent(found)
        rows = await crm.ask("BatchListSegmentMembers", role="reader", segment_ids=[segment.id])
        assert list(rows.groups[0].segment_members) == [], rows
        assert await refusal(crm.ask("BatchListSegmentMembers", role="plain", segment_ids=[segment.id])) == "NOT_ALLOWED"
    finally:
        await ended(crm, made)


async def test_neither_a_deputy_nor_a_successor_inherits_it(crm: Installation, world: dict[str, str]) -> None:
    standin, leaver = await crm.person("standin", "SALES_REP"), await crm.person("leaving", "SALES_REP", unit="other")
    await crm.until(lambda: all({standin, leaver} <= set(one.authority.directory.members) for _, one in departments(crm)), 5)
    left = (await crm.ask("CreateCustomer", role="leaving", name="门口丙公司", kind=1)).customer.id
    made = await agreed(crm, display_name="不外传", fields=["name"])
    try:
        await crm.until(lambda: _sees(crm, "leaving", world["theirs"]), 5)
        await crm.ask("SetAbsence", role="reader", person_id=crm.people["reader"], deputy_id=standin)
        await crm.until(lambda: _sees(crm, "standin", world["own"]), 5)
        assert not await _sees(crm, "standin", world["theirs"])
        await crm.ask("SetAbsence", role="reader", person_id=crm.people["reader"])
        given = {"personId": to_global("Person", leaver), "successorId": to_global("Person", standin)}
        assert (await crm.data(HAND_OVER, "ADMINISTRATOR", input=given))["personHandOver"]["errors"] == []
        await crm.until(lambda: _sees(crm, "standin", left), 10)
        assert not await _sees(crm, "standin", world["theirs"])
    finally:
        await ended(crm, made)


async def _sees(crm: Installation, who: str, customer_id: str) -> bool:
    return bool((await crm.ask("BatchGetCustomers", role=who, ids=[customer_id])).customers)


async def test_both_sides_read_what_it_is_for_and_nobody_else_does(crm: Installation, world: dict[str, str]) -> None:
    third = (await crm.ask("CreateDepartment", name="第三部", kind=4)).department.id
    outside = await crm.person("outside", "SALES_REP")
    await crm.ask(
        "UpdatePerson", person_id=outside, version=1, update_mask=mask("home_department_id", "home_team_id"), home_department_id=third
    )
    await crm.until(lambda: all(one.authority.directory.members[outside].department_id == third for _, one in departments(crm)), 5)
    made = await agreed(crm, display_name="看得见用途", fields=["name"])
    query, one = (
        "{ sharingContracts(first: 50) { nodes { id purpose fields resource displayName } } }",
        to_global("SharingContract", made.id),
    )
    want = {"id": one, "purpose": "老客户联合回访", "fields": ["name"], "resource": "customers", "displayName": "看得见用途"}
    try:
        for who in ("reader", "plain", "SALES_REP", "SALES_LEAD"):
            assert want in (await crm.data(query, who))["sharingContracts"]["nodes"], who
        assert await refusal(crm.ask("ListSharingContracts", role="outside")) == "NOT_ALLOWED"
        told = (await crm.data("query($id: ID!) { accessExplain(id: $id) { reasons { rule sharingContractId } } }", "plain", id=one))[
            "accessExplain"
        ]
        assert told["reasons"] == [{"rule": "CONTRACT", "sharingContractId": made.id}]
        for who in ("plain", "SALES_REP"):
            assert await refusal(crm.ask("ArchiveSharingContract", role=who, sharing_contract_id=made.id)) == "NOT_ALLOWED"
    finally:
        await ended(crm, made)
    for who in ("plain", "SALES_REP"):
        assert made.id not in await _contracts(crm, who), who
    assert (await crm.data("query($id: ID!) { sharingContract(id: $id) { purpose } }", "SALES_LEAD", id=one))["sharingContract"]


async def _contracts(crm: Installation, who: str) -> list[str]:
    try:
        return [one.id for one in (await crm.ask("ListSharingContracts", role=who, page_size=100)).sharing_contracts]
    except CrmError as error:
        assert error.code == "NOT_ALLOWED", error.code
        return []


async def test_the_audit_of_reads_names_the_contract(crm: Installation, world: dict[str, str]) -> None:
    made, one = await agreed(crm, display_name="记下来", fields=["name", "phone"]), to_global("Customer", world["theirs"])
    reads = "query($id: ID!) { personalDataReads(id: $id, first: 50) { nodes { actorId fields purpose sharingContractIds } } }"
    why = {"X-Purpose": "%E5%9B%9E%E8%AE%BF"}
    try:
        for who in ("plain", "SALES_REP"):
            await crm.graph("query($id: ID!) { customer(id: $id) { name phone } }", who, headers=why, id=one)

        async def noted() -> bool:
            lines = (await crm.data(reads, "COORDINATOR", id=one))["personalDataReads"]["nodes"]
            found = {line["actorId"]: (line["fields"], line["purpose"], line["sharingContractIds"]) for line in reversed(lines)}
            people = [to_global("Person", world["plain"]), to_global("Person", crm.people["SALES_REP"])]
            return [found.get(person) for person in people] == [(["phone"], "回访", [made.id]), (["phone"], "回访", [])]

        await crm.until(noted, 5)
    finally:
        await ended(crm, made)


async def test_an_archived_contract_closes_in_an_open_subscription_too(crm: Installation, world: dict[str, str]) -> None:
    query = "subscription($id: ID!) { customerActivity(customerId: $id) { record { ... on Customer { id parent { name phone } } } } }"
    made = await agreed(crm, display_name="开着的订阅", fields=["name"])
    async with socket(crm, "reader") as connection:
        await ask(connection, "1", query, id=to_global("Customer", world["own"]))
        await listening(crm)
        for number, seen in ((2, {"name": "门口甲公司", "phone": None}), (3, None)):
            await crm.ask("MoveCustomerLifecycle", role="COORDINATOR", customer_id=world["own"], lifecycle=number, reason="x")
            event = await heard(connection)
            assert event["payload"]["data"]["customerActivity"]["record"]["parent"] == seen, event
            if seen:
                await ended(crm, made)
