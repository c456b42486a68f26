"""The operations of docs/how-to/build-a-client.md, run as they stand there, and compared with what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
from graphql import parse, validate

from chassis.kernel.ids import new_id
from gateway.bootstrap import shared_schema
from tests.support.installation import Installation

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "build-a-client.md").read_text()
OPERATIONS = re.findall(r"```graphql\n(.*?)```", PAGE, re.DOTALL)
VALUES = [orjson.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_every_operation_of_the_page_fits_the_schema() -> None:
    assert len(OPERATIONS) == 3
    assert [error.message for text in OPERATIONS for error in validate(shared_schema()._schema, parse(text))] == []


async def test_what_is_refused_is_told_as_the_page_says(crm: Installation) -> None:
    given, told, *_ = VALUES
    body = await crm.graph(OPERATIONS[0], headers={"accept-language": "zh-CN"}, **given)
    found = body["data"]["customerCreate"]["errors"]
    shown = [{name: one[name] for name in ("code", "path", "message", "params")} for one in found]
    assert sorted(shown, key=str) == sorted(told, key=str)


async def test_a_conflict_is_told_as_the_page_says(crm: Installation) -> None:
    made: Any = (await crm.data(OPERATIONS[0], input={"kind": "COMPANY", "name": f"页面 {new_id()}"}))["customerCreate"]["customer"]
    for number in (1, 2):
        change = {"customerId": made["id"], "version": 1, "employeeCount": number}
        found = (await crm.data(OPERATIONS[1], input=change))["customerUpdate"]["errors"]
    (one,) = found
    assert {"code": one["code"], "details": one["details"]} == VALUES[2]


async def test_a_search_finds_as_the_page_says(crm: Installation) -> None:
    told = VALUES[3]
    made = {"name": told["card"]["title"], "region": "陕西", "industry": "茶叶", "phone": told["matched"][0]["match"]}
    await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, **made)
    found = (await crm.data(OPERATIONS[2], words="0916 2522345", kinds=["CUSTOMER"]))["search"]
    assert found["missingDepartments"] == []
    hits = [{**hit, "card": {name: hit["card"][name] for name in told["card"]}} for hit in found["hits"]]
    assert told in [{name: hit[name] for name in told} for hit in hits]
