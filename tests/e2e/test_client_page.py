"""The operations of docs/how-to/build-a-client.md, run as they stand there, and compared with what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
from graphql import parse, validate

from chassis.kernel.ids import new_id
from gateway.bootstrap import shared_schema
from gateway.graph.contract import to_global
from tests.support.installation import Installation

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "build-a-client.md").read_text()
OPERATIONS = {name: text for text, name in re.findall(r"```graphql\n(\w+ (\w+).*?)```", PAGE, re.DOTALL)}
VALUES = [orjson.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_every_operation_of_the_page_fits_the_schema() -> None:
    assert len(OPERATIONS) == 10
    assert [error.message for text in OPERATIONS.values() for error in validate(shared_schema()._schema, parse(text))] == []


async def test_what_is_refused_is_told_as_the_page_says(crm: Installation) -> None:
    given, told, *_ = VALUES
    body = await crm.graph(OPERATIONS["CustomerAdd"], headers={"accept-language": "zh-CN"}, **given)
    found = body["data"]["customerCreate"]["errors"]
    shown = [{name: one[name] for name in ("code", "path", "message", "params")} for one in found]
    assert sorted(shown, key=str) == sorted(told, key=str)


async def test_a_conflict_is_told_as_the_page_says(crm: Installation) -> None:
    made: Any = (await crm.data(OPERATIONS["CustomerAdd"], input={"kind": "COMPANY", "name": f"页面 {new_id()}"}))["customerCreate"][
        "customer"
    ]
    for number in (1, 2):
        change = {"customerId": made["id"], "version": 1, "employeeCount": number}
        found = (await crm.data(OPERATIONS["CustomerChange"], input=change))["customerUpdate"]["errors"]
    (one,) = found
    assert {"code": one["code"], "details": one["details"]} == VALUES[2]


async def test_customers_are_found_as_the_page_says(crm: Installation) -> None:
    mark = new_id()
    made: Any = (await crm.data(OPERATIONS["CustomerAdd"], input={"kind": "COMPANY", "name": f"臺灣 {mark} 電子"}))["customerCreate"][
        "customer"
    ]
    found = (await crm.data(OPERATIONS["CustomersFound"], part=f"湾 {mark.upper()} 电"))["customers"]["nodes"]
    assert [one["id"] for one in found] == [made["id"]]
    assert (await crm.data(OPERATIONS["Pinned"], ids=[made["id"]]))["nodes"] == [{"id": made["id"], "name": f"臺灣 {mark} 電子"}]


async def test_a_search_finds_as_the_page_says(crm: Installation) -> None:
    told = VALUES[4]
    made = {"name": told["card"]["title"], "region": "陕西", "industry": "茶叶", "phone": told["matched"][0]["match"]}
    await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, **made)
    found = (await crm.data(OPERATIONS["Find"], words="0916 2522345", kinds=["CUSTOMER"]))["search"]
    assert found["missingDepartments"] == []
    hits = [{**hit, "card": {name: hit["card"][name] for name in told["card"]}} for hit in found["hits"]]
    assert told in [{name: hit[name] for name in told} for hit in hits]


async def test_what_may_be_done_is_told_as_the_page_says(crm: Installation) -> None:
    await crm.data(OPERATIONS["CustomerAdd"], role="SALES_REP", input={"kind": "COMPANY", "name": f"页面 {new_id()}"})
    body: Any = await crm.data(OPERATIONS["CustomersWithRights"], role="SALES_REP", first=1)
    (customer,) = body["customers"]["nodes"]
    assert [{name: one[name] for name in ("action", "allowed", "code")} for one in customer["can"]] == VALUES[5]
    assert all(one["message"] for one in customer["can"] if not one["allowed"])
    assert body["viewer"]["can"] == [{"allowed": True, "code": None}]


async def test_a_command_is_tried_as_the_page_says(crm: Installation) -> None:
    name = f"页面 {new_id()}"
    body: Any = await crm.data(OPERATIONS["CustomerTry"], role="SALES_REP", input={"kind": "COMPANY", "name": name})
    assert body["customerCreate"] == {"customer": {"name": name, "version": 1}, "errors": []}
    listed: Any = await crm.data("query($n: String!) { customers(filter: {name: {eq: $n}}) { nodes { id } } }", role="SALES_REP", n=name)
    assert listed["customers"]["nodes"] == []


async def test_a_list_is_counted_and_leafed_as_the_page_says(crm: Installation) -> None:
    mark = new_id()
    for _ in range(3):
        made: Any = (await crm.data(OPERATIONS["CustomerAdd"], input={"kind": "COMPANY", "name": f"页 {mark}"}))["customerCreate"][
            "customer"
        ]
    page = (await crm.data(OPERATIONS["CustomerPage"], part=mark, first=2))["customers"]
    assert (page["totalCount"], page["nodes"][0]["id"]) == ({"count": 3, "exact": True}, made["id"])
    assert page["nodes"][0]["tickets"]["totalCount"] == {"count": 0, "exact": True}
    info = page["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    rest = (await crm.data(OPERATIONS["CustomerPage"], part=mark, first=2, after=info["endCursor"]))["customers"]
    assert (len(rest["nodes"]), rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (1, False, True)
    back = (await crm.data(OPERATIONS["CustomerPage"], part=mark, last=2, before=rest["pageInfo"]["startCursor"]))["customers"]
    assert back["nodes"] == page["nodes"]


async def test_opportunities_are_sorted_as_the_page_says(crm: Installation) -> None:
    pipeline = (await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "a", "name": "一", "probability": 10}])).pipeline
    for name, amount, day in (("小", 5, "2026-12-01"), ("后", 9, "2026-12-31"), ("先", 9, "2026-12-02")):
        money = {"currency_code": "CNY", "amount_micros": amount * 1_000_000}
        await crm.ask("CreateOpportunity", role="COORDINATOR", name=name, pipeline_id=pipeline.id, amount=money, expected_close_date=day)
    found = (await crm.data(OPERATIONS["OpportunitiesSorted"], pipeline=to_global("Pipeline", pipeline.id), sort=VALUES[3]))[
        "opportunities"
    ]
    assert [one["name"] for one in found["nodes"]] == ["先", "后", "小"]
    assert found["totalCount"] == {"count": 3, "exact": True}


async def test_many_are_done_as_the_page_says(crm: Installation) -> None:
    made = [await crm.data(OPERATIONS["CustomerAdd"], input={"kind": "COMPANY", "name": f"页面 {new_id()}"}) for _ in range(2)]
    ids = [one["customerCreate"]["customer"]["id"] for one in made]
    for only in (True, False):
        body: Any = await crm.data(OPERATIONS["CustomersArchive"], input={"ids": ids, "versions": [1, 9]}, only=only)
        told = body["customersBulkArchive"]
        assert [(one["id"], one["ok"], one["version"]) for one in told["outcomes"]] == [(ids[0], True, 2), (ids[1], False, None)]
        assert told["outcomes"][1]["errors"][0]["details"] == {"version": 1, "changedFields": []}
