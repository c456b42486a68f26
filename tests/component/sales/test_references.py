"""What a record names is judged together: of one customer, there, in use; and its days and amounts can be."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest_asyncio

from tests.support.checks import cny, mask, refused
from tests.support.installation import Installation

DEALS, ORDERS, TICKETS, CUSTOMERS = "sales.opportunities", "sales.orders", "support.tickets", "customer.customers"
ELSEWHERE = "REFERENCE_OF_ANOTHER_CUSTOMER"
LINE = {"quantity": 1, "unit_price": cny(5)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(crm: Installation) -> dict[str, str]:
    """Two customers with a contact, an opportunity and an order each."""
    await crm.ask("CreatePipeline", role="SALES_LEAD", name="together", stages=[{"key": "a", "name": "A", "probability": 10.0}])
    pipeline = next(one for one in (await crm.ask("ListPipelines", page_size=100)).pipelines if one.name == "together").id
    found = {"pipeline": pipeline}
    for name in ("own", "other"):
        customer = (await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name=f"together {name}")).customer.id
        found |= {name: customer, f"{name} contact": (await crm.ask("CreateContact", customer_id=customer, name="x")).contact.id}
        deal = await crm.ask("CreateOpportunity", role="COORDINATOR", name="x", pipeline_id=pipeline, customer_id=customer)
        order = await crm.ask("CreateOrder", role="COORDINATOR", customer_id=customer, lines=[LINE])
        found |= {f"{name} deal": deal.opportunity.id, f"{name} order": order.order.id}
    return found


async def test_contacts_opportunities_and_orders_of_another_customer_are_refused(crm: Installation, world: dict[str, str]) -> None:
    own = {"role": "COORDINATOR", "customer_id": world["own"]}
    ticket = {**own, "subject": "x", "channel": 1}
    for method, resource, field, values in (
        (
            "CreateOpportunity",
            DEALS,
            "contact_id",
            {**own, "name": "x", "pipeline_id": world["pipeline"], "contact_id": world["other contact"]},
        ),
        ("CreateOrder", ORDERS, "opportunity_id", {**own, "lines": [LINE], "opportunity_id": world["other deal"]}),
        ("CreateTicket", TICKETS, "contact_id", {**ticket, "contact_id": world["other contact"]}),
        ("CreateTicket", TICKETS, "order_id", {**ticket, "order_id": world["other order"]}),
    ):
        await refused(crm, resource, crm.ask(method, **values), ELSEWHERE, field=field)
        await crm.ask(method, **values | {field: values[field].replace(values[field], world[_own(field)])})


def _own(field: str) -> str:
    return {"contact_id": "own contact", "opportunity_id": "own deal", "order_id": "own order"}[field]


async def test_a_record_that_goes_to_another_customer_takes_no_contact_along(crm: Installation, world: dict[str, str]) -> None:
    values = {
        "role": "COORDINATOR",
        "name": "x",
        "pipeline_id": world["pipeline"],
        "customer_id": world["own"],
        "contact_id": world["own contact"],
    }
    made = (await crm.ask("CreateOpportunity", **values)).opportunity
    change = {"opportunity_id": made.id, "version": 1, "customer_id": world["other"]}
    moving = crm.ask("UpdateOpportunity", **change, update_mask=mask("customer_id"))
    await refused(crm, DEALS, moving, ELSEWHERE, field="contact_id", record_id=made.id)
    both = crm.ask("UpdateOpportunity", **change, contact_id=world["other contact"], update_mask=mask("customer_id", "contact_id"))
    assert (await both).opportunity.contact_id == world["other contact"]


async def test_people_who_are_not_there_work_with_nobody(crm: Installation) -> None:
    values = {"role": "COORDINATOR", "kind": 1, "name": "collaborators"}
    nobody = crm.ask("CreateCustomer", **values, collaborator_ids=["01nobody"])
    await refused(crm, CUSTOMERS, nobody, "REFERENCE_NOT_FOUND", field="collaborator_ids")
    made = (await crm.ask("CreateCustomer", **values, collaborator_ids=[crm.people["SUPPORT_AGENT"]])).customer
    assert list(made.collaborator_ids) == [crm.people["SUPPORT_AGENT"]]


async def test_products_that_are_archived_or_unknown_are_not_sold_any_more(crm: Installation, world: dict[str, str]) -> None:
    product = (await crm.ask("CreateProduct", role="SALES_LEAD", code="TOGETHER-1", name="x")).product
    values = {"role": "COORDINATOR", "customer_id": world["own"]}
    made = (await crm.ask("CreateOrder", **values, lines=[LINE, {**LINE, "product_code": "TOGETHER-1"}])).order
    assert made.lines[1].product_id == product.id, "a code of the catalogue names its product"
    unknown = crm.ask("CreateOrder", **values, lines=[LINE, {**LINE, "product_code": "TOGETHER-2"}])
    await refused(crm, ORDERS, unknown, "REFERENCE_NOT_FOUND", field="lines[1].product_code")
    await crm.ask("ArchiveProduct", product_id=product.id)
    for line in ({"product_id": product.id}, {"product_code": "TOGETHER-1"}):
        await refused(crm, ORDERS, crm.ask("CreateOrder", **values, lines=[{**LINE, **line}]), "ARCHIVED", field="lines[0].product_id")
    row = {"source_key": "together:old", "customer_id": world["own"], "number": "TOG-1", "lines": [{**LINE, "product_code": "OF-1999"}]}
    assert (await crm.ask("BatchUpsertOrders", orders=[row])).outcomes[0].error_code == "", "history may name what is no longer sold"


async def test_nothing_is_ordered_or_decided_in_the_future(crm: Installation, world: dict[str, str]) -> None:
    values = {"role": "COORDINATOR", "customer_id": world["own"], "lines": [LINE]}
    for seconds in (4_070_908_800, int(time.time()) + 2 * 86400):
        await refused(crm, ORDERS, crm.ask("CreateOrder", **values, order_time={"seconds": seconds}), "TIME_IN_FUTURE", field="order_time")
    losing = crm.ask("LoseOpportunity", opportunity_id=world["own deal"], reason="x", close_date="2030-01-01")
    await refused(crm, DEALS, losing, "TIME_IN_FUTURE", field="close_date", record_id=world["own deal"])
    row = {"source_key": "together:deal", "name": "x", "pipeline_id": world["pipeline"], "state": 2, "close_date": "2030-01-01"}
    assert (await crm.ask("BatchUpsertOpportunities", opportunities=[row])).outcomes[0].error_code == "TIME_IN_FUTURE"


async def test_a_return_says_which_line_comes_back(crm: Installation, world: dict[str, str]) -> None:
    made = (await crm.ask("CreateOrder", role="COORDINATOR", customer_id=world["own"], lines=[LINE, LINE])).order
    await crm.ask("FulfillOrder", order_id=made.id)
    back = crm.ask("ReturnOrder", order_id=made.id, reason="x", lines=[{"quantity": 1}])
    await refused(crm, ORDERS, back, "INVALID_ARGUMENT", field="lines[0].line_index", record_id=made.id)


async def test_five_returns_of_one_sale_at_once_are_five_returns(crm: Installation, world: dict[str, str]) -> None:
    line = {**LINE, "quantity": 5, "unit_price": cny(20)}
    made = (await crm.ask("CreateOrder", role="COORDINATOR", customer_id=world["own"], lines=[line])).order
    await crm.ask("FulfillOrder", order_id=made.id)
    one = {"order_id": made.id, "reason": "x", "lines": [{"line_index": 0, "quantity": 1}]}
    found = await asyncio.gather(*[crm.ask("ReturnOrder", **one) for _ in range(5)])
    assert len({answer.order.number for answer in found}) == 5
    assert [answer.order.total.amount_micros for answer in found] == [20_000_000] * 5
    await refused(crm, ORDERS, crm.ask("ReturnOrder", **one), "RETURN_EXCEEDS_SALE", record_id=made.id)


async def test_amounts_are_compared_in_one_currency_and_listed_by_currency(crm: Installation, world: dict[str, str]) -> None:
    made: dict[str, Any] = {}
    for code, units in (("JPY", 5000), ("CNY", 3000), ("USD", 900), ("CNY", 200)):
        amount = {"currency_code": code, "amount_micros": units * 1_000_000}
        values = {"role": "COORDINATOR", "name": "compared", "pipeline_id": world["pipeline"], "customer_id": world["own"]}
        made[f"{code} {units}"] = (await crm.ask("CreateOpportunity", **values, amount=amount)).opportunity.id

    async def listed(**asked: Any) -> list[str]:
        named = {"condition": {"field": "name", "operator": 1, "values": [{"text": "compared"}]}}
        both = {"all": {"items": [named, *([asked.pop("filter")] if "filter" in asked else [])]}}
        rows = (await crm.ask("ListOpportunities", page_size=100, filter=both, **asked)).opportunities
        return [name for row in rows for name, identity in made.items() if identity == row.id]

    def above(units: int, **more: Any) -> dict[str, Any]:
        return {"condition": {"field": "amount", "operator": 5, "values": [{"number": units * 1_000_000}], **more}}

    assert await listed(filter=above(1000)) == ["CNY 3000"]
    assert await listed(filter=above(500, currency_code="USD")) == ["USD 900"]
    assert await listed(filter=above(5000, currency_code="JPY")) == []
    assert await listed(order_by=3) == ["CNY 3000", "CNY 200", "USD 900", "JPY 5000"]
    wrong = crm.ask("ListOpportunities", filter=above(1, currency_code="RMB"))
    await refused(crm, DEALS, wrong, "INVALID_ARGUMENT", field="filter.condition.currency_code")
