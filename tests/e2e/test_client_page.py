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
    assert len(OPERATIONS) == 5
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


async def test_what_may_be_done_is_told_as_the_page_says(crm: Installation) -> None:
    await crm.data(OPERATIONS[0], role="SALES_REP", input={"kind": "COMPANY", "name": f"页面 {new_id()}"})
    body: Any = await crm.data(OPERATIONS[2], role="SALES_REP", first=1)
    (customer,) = body["customers"]["nodes"]
    assert [{name: one[name] for name in ("action", "allowed", "code")} for one in customer["can"]] == VALUES[3]
    assert all(one["message"] for one in customer["can"] if not one["allowed"])
    assert body["viewer"]["can"] == [{"allowed": True, "code": None}]


async def test_a_command_is_tried_as_the_page_says(crm: Installation) -> None:
    name = f"页面 {new_id()}"
    body: Any = await crm.data(OPERATIONS[3], role="SALES_REP", input={"kind": "COMPANY", "name": name})
    assert body["customerCreate"] == {"customer": {"name": name, "version": 1}, "errors": []}
    listed: Any = await crm.data("query($n: String!) { customers(filter: {name: {eq: $n}}) { nodes { id } } }", role="SALES_REP", n=name)
    assert listed["customers"]["nodes"] == []


async def test_many_are_done_as_the_page_says(crm: Installation) -> None:
    made = [await crm.data(OPERATIONS[0], input={"kind": "COMPANY", "name": f"页面 {new_id()}"}) for _ in range(2)]
    ids = [one["customerCreate"]["customer"]["id"] for one in made]
    for only in (True, False):
        body: Any = await crm.data(OPERATIONS[4], input={"ids": ids, "versions": [1, 9]}, only=only)
        told = body["customersBulkArchive"]
        assert [(one["id"], one["ok"], one["version"]) for one in told["outcomes"]] == [(ids[0], True, 2), (ids[1], False, None)]
        assert told["outcomes"][1]["errors"][0]["details"] == {"version": 1, "changedFields": []}
