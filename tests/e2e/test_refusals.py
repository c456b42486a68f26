"""What somebody is told who is refused: in the graph's names, in the language of the person or the client, with what is needed to go on."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from websockets.asyncio.client import connect

from chassis.access.caller import Caller
from chassis.access.tokens import Signer
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.support.installation import Installation

CREATE = "mutation($i: CustomerCreateInput!) { customerCreate(input: $i) { customer { id version } errors { code message path params details } } }"
UPDATE = (
    "mutation($i: CustomerUpdateInput!) { customerUpdate(input: $i) { customer { id version } errors { code message params details } } }"
)
SNAKE = re.compile(r"\b[a-z]+_[a-z_]+\b")
HAN = re.compile(r"[一-鿿]")
CHINESE = {"accept-language": "zh-CN,zh;q=0.9"}


async def payload(
    crm: Installation, text: str, values: dict[str, Any], headers: dict[str, str] | None = None, role: str = "COORDINATOR"
) -> Any:
    """What became of a command."""
    body = await crm.graph(text, role, headers=headers, i=values)
    (found,) = body["data"].values()
    return found


async def refused(crm: Installation, text: str, values: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The refusals of a command."""
    found: list[dict[str, Any]] = (await payload(crm, text, values, headers))["errors"]
    return found


async def test_all_that_is_wrong_with_an_input_is_told_at_once_in_the_names_of_the_graph(crm: Installation) -> None:
    values = {"kind": "COMPANY", "name": "长" * 201, "countryCode": "china", "email": "a@@b", "employeeCount": -1}
    found = await refused(crm, CREATE, values)
    assert {tuple(one["path"]) for one in found} == {("input", name) for name in values if name != "kind"}
    assert all(one["code"] == "INVALID_ARGUMENT" and one["params"]["rule"] for one in found)
    assert not any(SNAKE.search(one["message"]) or "^" in one["message"] for one in found)


async def test_what_is_not_there_is_named_by_the_id_that_the_client_gave(crm: Installation) -> None:
    nobody = to_global("Customer", "nobody")
    (one,) = await refused(crm, CREATE, {"kind": "COMPANY", "name": "好", "parentId": nobody})
    assert (one["code"], one["path"], one["params"]) == (
        "REFERENCE_NOT_FOUND", ["input", "parentId"], {"rule": "reference.absent", "id": nobody},
    )  # fmt: skip
    assert nobody in one["message"]
    assert "«nobody»" not in one["message"]


async def test_ids_that_cannot_be_read_are_told_together_in_the_names_of_the_graph(crm: Installation) -> None:
    values = {"kind": "COMPANY", "name": "好", "parentId": to_global("Person", "lin"), "ownerId": "zzz"}
    found = await refused(crm, CREATE, values, CHINESE)
    told = {one["path"][1]: (one["params"]["rule"], one["message"]) for one in found}
    assert told == {
        "parentId": ("id.kind", "parentId：这是 Person 的编号；请给出 Customer 的编号"),
        "ownerId": ("pattern.id", "ownerId：不是记录编号；请使用系统给出的编号"),
    }
    assert not any(SNAKE.search(one["message"]) for one in await refused(crm, CREATE, values))


async def test_a_stale_version_brings_the_present_one_and_what_changed(crm: Installation) -> None:
    made = await payload(crm, CREATE, {"kind": "COMPANY", "name": f"过时 {new_id()}"})
    customer = made["customer"]
    await payload(crm, UPDATE, {"customerId": customer["id"], "version": 1, "industry": "SOFTWARE", "employeeCount": 7})
    (one,) = await refused(crm, UPDATE, {"customerId": customer["id"], "version": 1, "name": "anders"}, CHINESE)
    assert one["code"] == "VERSION_CONFLICT"
    assert one["details"]["version"] == 2
    assert {"employeeCount"} <= set(one["details"]["changedFields"])
    assert "name" not in one["details"]["changedFields"]
    assert "版本 1" in one["message"]
    assert "版本 2" in one["message"]


async def test_two_at_once_with_the_same_version_leave_one_that_is_told_what_changed(crm: Installation) -> None:
    customer = (await payload(crm, CREATE, {"kind": "COMPANY", "name": f"同时 {new_id()}"}))["customer"]
    tries = [{"customerId": customer["id"], "version": 1, "employeeCount": 10 + number} for number in range(4)]
    done = await asyncio.gather(*(refused(crm, UPDATE, values) for values in tries))
    late = [found[0] for found in done if found]
    assert len(late) == 3
    assert all(one["details"]["version"] == 2 and one["details"]["changedFields"] for one in late)


@pytest.mark.parametrize(("header", "han"), [("zh-CN", True), ("en", False), ("", False)])
async def test_the_client_says_in_which_language_where_the_person_does_not(crm: Installation, header: str, han: bool) -> None:
    found = await refused(crm, CREATE, {"kind": "COMPANY", "name": ""}, {"accept-language": header} if header else None)
    assert ("必须填写" in found[0]["message"]) is han
    body = await crm.graph('{ customers(after: "zzz") { nodes { id } } }', headers={"accept-language": header} if header else None)
    assert ("游标" in body["errors"][0]["message"]) is han
    assert body["errors"][0]["extensions"]["code"] == "PAGE_TOKEN_INVALID"
    assert body["errors"][0]["extensions"]["field"] == "after"


async def test_what_the_gateway_refuses_itself_is_told_in_chinese_too(crm: Installation) -> None:
    """At every door: a body that is none, a type that is not read, a batch that is none, and over WebSocket."""
    headers = {**crm.bearer("COORDINATOR"), **CHINESE, "Content-Type": "application/json"}
    for content, more in ((b"{", {}), (b"{}", {}), (b"[]", {}), (b"{}", {"Content-Type": "text/plain"}), (b"{}", {"Accept": "image/png"})):
        answer = await crm.http.post("/graphql", content=content, headers={**headers, **more})
        (error,) = answer.json()["errors"]
        assert answer.status_code >= 400
        assert HAN.search(error["message"]), error
        assert (
            HAN.search((await crm.http.post("/graphql", content=content, headers={**headers, **more, "accept-language": "en"})).text)
            is None
        )
    address = f"ws://127.0.0.1:{crm.plan.gateway_port}/graphql"
    async with connect(address, subprotocols=["graphql-transport-ws"], additional_headers=CHINESE) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init"}))
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": ""}}))
        assert HAN.search(json.loads(await socket.recv())["payload"][0]["message"])


async def test_a_forged_token_does_not_change_in_which_language_its_person_is_told(crm: Installation) -> None:
    person_id = await crm.person(f"forged {new_id()}", "COORDINATOR")
    key = next(key for key, identity in crm.people.items() if identity == person_id)
    person = (await crm.ask("GetPerson", person_id=person_id)).person
    await crm.ask("UpdatePerson", person_id=person_id, version=person.version, locale="zh-CN", update_mask={"paths": ["locale"]})
    forged = Signer("forged", OKPKey.generate_key("Ed25519")).sign(Caller(person_id, frozenset({"COORDINATOR"})))[0]
    body = await crm.graph("{ customers { nodes { id } } }", headers={"Authorization": f"Bearer {forged}"})
    assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    (one,) = (await payload(crm, CREATE, {"kind": "COMPANY", "name": ""}, None, key))["errors"]
    assert one["message"] == "name：必须填写"


async def test_the_language_of_the_person_goes_before_that_of_the_client(crm: Installation) -> None:
    person_id = await crm.person(f"sprache {new_id()}", "COORDINATOR")
    key = next(key for key, identity in crm.people.items() if identity == person_id)
    person = (await crm.ask("GetPerson", person_id=person_id)).person
    await crm.ask("UpdatePerson", person_id=person_id, version=person.version, locale="zh-CN", update_mask={"paths": ["locale"]})
    (one,) = (await payload(crm, CREATE, {"kind": "COMPANY", "name": ""}, {"accept-language": "en"}, key))["errors"]
    assert one["message"] == "name：必须填写"
