"""Orders of one or two fields: in both directions, over pages, by amounts of several currencies, and refused where they are too wide."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from chassis.storage import orders
from tests.support.installation import Installation

QUERY = """query($m: String!, $sort: [CustomerSort!], $first: Int, $after: String, $last: Int, $before: String) {
    customers(first: $first, after: $after, last: $last, before: $before, sortBy: $sort, filter: {region: {eq: $m}, sourceKey: {startsWith: $m}}) {
      edges { cursor node { name level employeeCount industry annualRevenue { currencyCode amount } } } pageInfo { hasNextPage } } }"""
# name, level, employees, revenue
ROWS = [
    ("a", 1, 5, ("CNY", 700)), ("b", 4, 3, ("NOK", 200)), ("c", None, 3, ("HUF", 5000)), ("d", 2, None, None), ("e", 3, 5, ("CNY", 50)),
    ("f", 2, 1, ("NOK", 90)),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mark(crm: Installation) -> str:
    """A word by which this module's customers are found; a krone is 7 yuan, a hundred forint are 5."""
    from tests.e2e.world import message

    found = new_id()
    rows = [
        message(
            "BatchUpsertCustomers", source_key=f"{found}:{name}", kind=1, name=name, region=found, level=level, employee_count=employees,
            annual_revenue={"currency_code": revenue[0], "amount_micros": revenue[1] * 1_000_000} if revenue else None,
        )
        for name, level, employees, revenue in ROWS
    ]  # fmt: skip
    answer = await crm.ask("BatchUpsertCustomers", customers=rows)
    assert all(outcome.id for outcome in answer.outcomes)
    for source, rate in (("NOK", "7"), ("HUF", "0.05")):
        await crm.ask("CreateExchangeRate", from_currency=source, to_currency="CNY", rate=rate, first_date="2020-01-01")
    directory = crm.suite["customer"].authority
    await crm.until(lambda: {"NOK", "HUF"} <= set(directory.directory.parts.get(_rates()).currencies), 10)
    return found


def _rates() -> Any:
    from chassis.access.parts import RATES

    return RATES


async def names(crm: Installation, mark: str, *keys: str, **more: Any) -> str:
    page = (await crm.data(QUERY, m=mark, sort=[_key(key) for key in keys], **{"first": 100, **more}))["customers"]
    return "".join(edge["node"]["name"] for edge in page["edges"])


def _key(text: str) -> dict[str, str]:
    field, direction, *code = text.split()
    return {"field": field, "direction": direction} | ({"currencyCode": code[0]} if code else {})


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (["NAME ASC"], "abcdef"),
        (["NAME DESC"], "fedcba"),
        (["EMPLOYEE_COUNT ASC", "NAME DESC"], "dfcbea"),
        (["EMPLOYEE_COUNT DESC", "NAME ASC"], "aebcfd"),
        (["LEVEL ASC", "NAME ASC"], "cadfeb"),
        (["LEVEL DESC", "NAME DESC"], "befdac"),
        (["ANNUAL_REVENUE DESC"], "bafced"),
        (["ANNUAL_REVENUE ASC"], "decfab"),
        (["ANNUAL_REVENUE DESC NOK", "NAME ASC"], "bfacde"),
        (["ANNUAL_REVENUE DESC CNY", "NAME ASC"], "aebcdf"),
    ],
)
async def test_any_field_orders_a_list_in_both_directions(crm: Installation, mark: str, keys: list[str], found: str) -> None:
    assert await names(crm, mark, *keys) == found


@pytest.mark.parametrize(
    "keys",
    [["EMPLOYEE_COUNT ASC", "NAME DESC"], ["LEVEL DESC", "NAME ASC"], ["ANNUAL_REVENUE DESC"], ["ANNUAL_REVENUE ASC NOK", "NAME DESC"]],
)
@pytest.mark.parametrize("size", [1, 2, 4])
async def test_pages_of_an_order_show_every_record_once_on_either_way(crm: Installation, mark: str, keys: list[str], size: int) -> None:
    whole = await names(crm, mark, *keys)
    for ahead in (True, False):
        found, place = "", None
        while len(found) < len(ROWS):
            way = {"first": size, "after": place} if ahead else {"first": None, "last": size, "before": place}
            edges = (await crm.data(QUERY, m=mark, sort=[_key(key) for key in keys], **way))["customers"]["edges"]
            part = "".join(edge["node"]["name"] for edge in edges)
            found = found + part if ahead else part + found
            place = edges[-1 if ahead else 0]["cursor"]
        assert found == whole


async def test_a_cursor_of_another_order_is_refused(crm: Installation, mark: str) -> None:
    page = (await crm.data(QUERY, m=mark, first=2, sort=[_key("NAME ASC")]))["customers"]
    for other in (["NAME DESC"], ["NAME ASC", "LEVEL ASC"]):
        body = await crm.graph(QUERY, m=mark, first=2, sort=[_key(key) for key in other], after=page["edges"][0]["cursor"])
        assert body["errors"][0]["extensions"]["code"] == "PAGE_TOKEN_INVALID"


async def test_an_order_that_no_index_has_is_refused_where_too_many_are_left(
    crm: Installation, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MOST_SORTED", 5)
    wide = await crm.graph(QUERY, m=mark, sort=[_key("EMPLOYEE_COUNT ASC")])
    told = wide["errors"][0]["extensions"]
    assert (told["code"], told["field"], told["params"]) == ("ORDER_TOO_WIDE", "sortBy", {"rule": "order.wide", "most": "5"})
    assert await names(crm, mark, "NAME DESC") == "fedcba"  # served by an index, whatever the number
    monkeypatch.setattr(orders, "MOST_SORTED", 6)  # the key of the source leaves six, by its index
    assert await names(crm, mark, "EMPLOYEE_COUNT ASC", "NAME DESC") == "dfcbea"


@pytest.mark.parametrize(
    "keys",
    [["NAME ASC", "NAME DESC"], ["NAME ASC", "LEVEL ASC", "INDUSTRY ASC"]],
)
async def test_an_order_that_makes_no_sense_is_refused(crm: Installation, mark: str, keys: list[str]) -> None:
    error = (await crm.graph(QUERY, m=mark, sort=[_key(key) for key in keys]))["errors"][0]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("INVALID_ARGUMENT", "sortBy")


async def test_two_arguments_for_one_order_are_refused(crm: Installation) -> None:
    body = await crm.graph("{ customers(orderBy: NAME_ASC, sortBy: [{field: NAME}]) { nodes { id } } }")
    assert body["errors"][0]["extensions"]["field"] == "sortBy"


async def test_what_hangs_on_many_is_ordered_in_one_call_a_level(crm: Installation) -> None:
    region = new_id()
    for number in range(2):
        made = (await crm.ask("CreateCustomer", name=f"客户 {number}", kind=1, region=region)).customer
        for name in ("b", "a", "c"):
            await crm.ask("CreateContact", customer_id=made.id, name=name)
    query = """query($m: String!) { customers(filter: {region: {eq: $m}}) { nodes {
        contacts(sortBy: [{field: NAME, direction: DESC}]) { nodes { name } } } } }"""
    before = sum(crm.calls().values())
    found = (await crm.data(query, m=region))["customers"]["nodes"]
    assert sum(crm.calls().values()) - before == 2
    assert [[one["name"] for one in node["contacts"]["nodes"]] for node in found] == [["c", "b", "a"]] * 2
