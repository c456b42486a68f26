"""A client that cannot know whether its command arrived sends it again under the same Idempotency-Key: it happened once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.kernel.ids import new_id
from tests.support.installation import Installation

CREATE = """mutation($a: CustomerCreateInput!, $b: CustomerCreateInput!) {
    first: customerCreate(input: $a) { customer { id name } errors { code path } }
    second: customerCreate(input: $b) { customer { id } errors { code path } } }"""


async def send(crm: Installation, key: str, name: str) -> dict[str, Any]:
    names = {"a": {"name": f"{name} 一", "kind": "COMPANY"}, "b": {"name": f"{name} 二", "kind": "COMPANY"}}
    return await crm.graph(CREATE, headers={"Idempotency-Key": key}, **names)


async def test_a_repeated_request_is_answered_alike_and_done_once(crm: Installation) -> None:
    name, key = new_id(), new_id()
    answers = await asyncio.gather(*(send(crm, key, name) for _ in range(4)))
    answers.append(await send(crm, key, name))
    assert answers[1:] == answers[:1] * 4
    assert answers[0]["data"]["first"]["customer"]["id"] != answers[0]["data"]["second"]["customer"]["id"]
    assert await crm.suite["customer"].database["customers"].count_documents({"name": {"$regex": f"^{name}"}}) == 2


async def test_the_same_key_with_another_content_is_refused(crm: Installation) -> None:
    key = new_id()
    await send(crm, key, new_id())
    again = (await send(crm, key, new_id()))["data"]
    assert {again[name]["errors"][0]["code"] for name in ("first", "second")} == {"REQUEST_ID_REUSED"}


async def test_operations_of_a_batch_are_commands_of_their_own(crm: Installation) -> None:
    name, headers = new_id(), {**crm.bearer("COORDINATOR"), "Idempotency-Key": new_id()}
    body = {"query": "mutation($i: CustomerCreateInput!) { customerCreate(input: $i) { customer { id } errors { code } } }"}
    batch = [{**body, "variables": {"i": {"name": f"{name} {number}", "kind": "COMPANY"}}} for number in range(2)]
    answers = [(await crm.http.post("/graphql", json=batch, headers=headers)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert await crm.suite["customer"].database["customers"].count_documents({"name": {"$regex": f"^{name}"}}) == 2


@pytest.mark.parametrize("key", ["short", "x" * 256, "with\ttab in it"])
async def test_a_key_that_is_none_is_refused_before_anything_runs(crm: Installation, key: str) -> None:
    name = new_id()
    body = {"query": CREATE, "variables": {"a": {"name": name, "kind": "COMPANY"}, "b": {"name": name, "kind": "COMPANY"}}}
    answer = await crm.http.post("/graphql", json=body, headers={**crm.bearer("COORDINATOR"), "Idempotency-Key": key})
    assert answer.status_code == 400
    assert "8 to 255 printable" in answer.text
    assert await crm.suite["customer"].database["customers"].count_documents({"name": name}) == 0
