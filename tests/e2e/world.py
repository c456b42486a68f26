"""A hundred customers with something of every noun at each, for tests of the graph; put in by the departments' own batch RPCs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chassis.rpc.service import request_class
from cli.engines import free_port, start_nats
from gateway.graph.contract import to_global
from gateway.graph.noun import NOUNS
from tests.support.files import PDF, attach
from tests.support.installation import Engines, Installation

MANY = 100


@asynccontextmanager
async def installation(engines: Engines, folder: Path) -> AsyncIterator[Installation]:
    """An installation with a broker of its own, whose gateway waits long: its tests count calls, they do not measure time."""
    nats, url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
    made = Installation(engines, url)
    await made.start()
    made.suite.running["gateway"].clients.read_seconds = 10
    yield made
    await made.stop()
    await nats.stop()


def message(rpc: str, **fields: Any) -> Any:
    """A record as the BatchUpsert of its noun takes it."""
    method = next(noun.service.methods_by_name[rpc] for noun in NOUNS.values() if rpc in noun.service.methods_by_name)
    rows = next(field for field in method.input_type.fields if field.is_repeated and field.message_type)
    return getattr(request_class(method)(), rows.name).add(**fields)


async def upsert(crm: Installation, rpc: str, rows: str, records: list[dict[str, Any]], key: str = "") -> list[str]:
    """The ids of the records put in; every one must have been taken."""
    messages = [message(rpc, source_key=f"world:{key or rows}:{index}", **record) for index, record in enumerate(records)]
    answer = await crm.ask(rpc, **{rows: messages})
    refused = [f"{outcome.error_field}: {outcome.error_message}" for outcome in answer.outcomes if outcome.error_message]
    assert not refused, refused[0]
    return [str(outcome.id) for outcome in answer.outcomes]


async def people_and_units(crm: Installation) -> tuple[list[str], list[str]]:
    """A hundred units below the company, and a hundred people who work there, by a calendar of theirs."""
    week = [{"weekday": weekday, "start": "09:00", "end": "18:00"} for weekday in range(1, 6)]
    (calendar,) = await upsert(
        crm, "BatchUpsertWorkCalendars", "work_calendars", [{"name": "工厂日历", "time_zone": "Asia/Shanghai", "shifts": week}]
    )
    units = await upsert(
        crm, "BatchUpsertDepartments", "departments",
        [
            {
                "name": f"部门 {index}", "kind": 5, "parent_id": crm.units["sales"], "lead_id": crm.people["SALES_LEAD"],
                "own_work_calendar_id": calendar,
            }
            for index in range(MANY)
        ],
    )  # fmt: skip
    people = await upsert(
        crm, "BatchUpsertPeople", "people",
        [
            {
                "name": f"员工 {index}", "email": f"world{index}@example.com", "roles": [1], "home_department_id": crm.units["sales"],
                "home_team_id": unit, "manager_id": crm.people["SALES_LEAD"], "own_work_calendar_id": calendar,
            }
            for index, unit in enumerate(units)
        ],
    )  # fmt: skip
    names = ("customer", "sales", "marketing", "support")
    await crm.until(lambda: all(set(people) <= set(crm.suite[name].authority.directory.members) for name in names))
    return units, people


async def fill(crm: Installation) -> list[str]:
    """Everything; the graph's ids of the customers."""
    _, people = await people_and_units(crm)
    (top,) = await upsert(crm, "BatchUpsertCustomers", "customers", [{"name": "总公司", "kind": 1}])
    described = [{"name": f"客户 {i:03}", "kind": 1, "owner_id": people[i], "parent_id": top} for i in range(MANY)]
    customers = await upsert(crm, "BatchUpsertCustomers", "customers", described, key="below")
    both = list(zip(customers, people, strict=True))
    contacts = await upsert(crm, "BatchUpsertContacts", "contacts", [
        {"customer_id": customer, "name": f"联系人 {i}", "email": f"c{i}@example.com"} for i, customer in enumerate(customers)
    ])  # fmt: skip
    products = await upsert(crm, "BatchUpsertProducts", "products", [{"code": f"P{i}", "name": f"产品 {i}"} for i in range(MANY)])
    (pipeline,) = await upsert(crm, "BatchUpsertPipelines", "pipelines", [{"name": "标准", "stages": [
        {"key": "first", "name": "第一", "probability": 10}, {"key": "second", "name": "第二", "probability": 60},
    ]}])  # fmt: skip
    opportunities = await upsert(crm, "BatchUpsertOpportunities", "opportunities", [
        {
            "customer_id": customer, "owner_id": person, "name": f"商机 {i}", "pipeline_id": pipeline, "stage_key": "first", "state": 1,
            "product_id": products[i], "contact_id": contacts[i], "amount": {"currency_code": "CNY", "amount_micros": (i + 1) * 1_000_000},
        }
        for i, (customer, person) in enumerate(both)
    ])  # fmt: skip
    line = {"quantity": 2, "unit_price": {"currency_code": "CNY", "amount_micros": 5_000_000}, "description": "P"}
    sales = await upsert(crm, "BatchUpsertOrders", "orders", [
        {
            "customer_id": customer, "owner_id": person, "number": f"S{i}", "kind": 1, "state": 3, "lines": [{**line, "product_id": products[i]}],
            "opportunity_id": opportunities[i], "order_time": {"seconds": 1_790_000_000 + i},
        }
        for i, (customer, person) in enumerate(both)
    ])  # fmt: skip
    await _returns(crm, both, sales, line)
    await _marketing(crm, people, customers, contacts)
    tickets = await upsert(crm, "BatchUpsertTickets", "tickets", [
        {
            "customer_id": customer, "owner_id": person, "contact_id": contacts[i], "order_id": sales[i], "number": f"T{i}",
            "subject": f"工单 {i}", "channel": 1, "kind": 1, "priority": 1, "state": 1,
        }
        for i, (customer, person) in enumerate(both)
    ])  # fmt: skip
    await crm.settled()  # memberships of segments first: the newest line of every timeline shall be one that has a record
    await asyncio.gather(
        upsert(crm, "BatchUpsertNotes", "notes", [{"customer_id": customer, "text": f"备注 {i}"} for i, customer in enumerate(customers)]),
        upsert(crm, "BatchUpsertTicketReplies", "ticket_replies", [{"ticket_id": ticket, "text": "答", "author": 1} for ticket in tickets]),
        _imports(crm),
    )
    for start in range(0, MANY, 20):  # as many at once as a tool may have under way
        await asyncio.gather(*[attach(crm, "customer", "customers", one, "a.pdf", PDF) for one in customers[start : start + 20]])
    await crm.settled()
    return [to_global("Customer", customer) for customer in customers]


async def _imports(crm: Installation) -> None:
    """A hundred imports that a person has opened."""
    command = (
        """mutation($label: String!) { importStart(input: {resource: "customers", label: $label}) { job { id } errors { message } } }"""
    )
    for number in range(MANY):
        made = await crm.data(command, label=f"导入 {number}")
        assert made["importStart"]["errors"] == []


async def _returns(crm: Installation, both: list[tuple[str, str]], sales: list[str], line: dict[str, Any]) -> None:
    back = {**line, "quantity": 1}
    records = [
        {
            "customer_id": customer, "owner_id": person, "number": f"R{i}", "kind": 2, "state": 3, "lines": [back],
            "returned_order_id": sales[i], "order_time": {"seconds": 1_790_100_000 + i},
        }
        for i, (customer, person) in enumerate(both)
    ]  # fmt: skip
    await upsert(crm, "BatchUpsertOrders", "orders", records, key="returns")


async def _marketing(crm: Installation, people: list[str], customers: list[str], contacts: list[str]) -> None:
    """A hundred segments with all the customers in the first, a hundred campaigns, a message to each contact."""
    filters = [{"lifecycle": {"eq": "CONTACT"}} if index == 0 else {"level": {"eq": "KEY"}} for index in range(MANY)]
    query = """mutation($input: SegmentCreateInput!) { segmentCreate(input: $input) { segment { id } errors { message } } }"""
    segments: list[str] = []
    for start in range(0, MANY, 20):
        made = await asyncio.gather(*[
            crm.data(query, input={"name": f"人群 {i}", "criteria": filters[i]}) for i in range(start, start + 20)
        ])  # fmt: skip
        segments += [answer["segmentCreate"]["segment"]["id"] for answer in made]
    from gateway.graph.contract import from_global

    campaigns = await upsert(crm, "BatchUpsertCampaigns", "campaigns", [
        {"name": f"活动 {i}", "channel": 1, "state": 3, "owner_id": person, "segment_id": from_global(segments[i])[1]}
        for i, person in enumerate(people)
    ])  # fmt: skip
    await upsert(crm, "BatchUpsertCampaignMessages", "campaign_messages", [
        {
            "campaign_id": campaigns[i], "customer_id": customers[i], "contact_id": contacts[i], "state": 2, "address": f"c{i}@example.com",
            "planned_time": {"seconds": 1_790_000_000 + i}, "sent_time": {"seconds": 1_790_000_100 + i},
        }
        for i in range(MANY)
    ])  # fmt: skip
