"""`can`, `fieldAccess` and `validateOnly` through the graph: what a client may offer, in one call a level, without doing anything."""

from __future__ import annotations

from collections import Counter
from typing import Any

from chassis.kernel.ids import new_id
from tests.support.installation import Installation

MANY = 40
MAKE = """mutation M($input: CustomerCreateInput!, $only: Boolean! = false) {
  customerCreate(input: $input, validateOnly: $only) { customer { id version name owner { id } } errors { code path } } }"""


async def made(crm: Installation, role: str = "SALES_REP", count: int = 1) -> list[str]:
    """Ids of new customers of a role, as the graph names them."""
    found = []
    for _ in range(count):
        body: Any = await crm.data(MAKE, role=role, input={"kind": "COMPANY", "name": f"权限 {new_id()}"})
        found.append(body["customerCreate"]["customer"]["id"])
    return found


async def test_a_list_with_rights_costs_one_call_more(crm: Installation) -> None:
    await made(crm, count=MANY)
    query = "query($first: Int!) { customers(first: $first) { nodes { name @ } } }"
    calls = []
    for asked, first in (
        ("", MANY),
        ('can(actions: ["update", "archive", "assign"]) { action allowed code }', 1),
        ("can { action allowed code message }", MANY),
    ):
        before = Counter(crm.calls())
        body: Any = await crm.data(query.replace("@", asked), role="SALES_REP", first=first)
        calls.append(Counter(crm.calls()) - before)
    assert [each["CheckRights"] for each in calls] == [0, 1, 1]
    nodes = body["customers"]["nodes"]
    assert len(nodes) == MANY
    rights = {one["action"]: one for one in nodes[0]["can"]}
    assert rights["update"]["allowed"] is True
    assert rights["erase"] == {"action": "erase", "allowed": False, "code": "NOT_ALLOWED", "message": rights["erase"]["message"]}
    assert {"read", "update", "archive", "restore", "assign", "moveLifecycle", "erase"} <= set(rights)


async def test_a_refusal_is_told_in_the_language_of_the_reader(crm: Installation) -> None:
    (identity,) = await made(crm)
    query = 'query($id: ID!) { customer(id: $id) { can(actions: ["erase"]) { allowed code message } } }'
    for language, words in (("zh-CN", "客户"), ("en", "customers")):
        body = await crm.graph(query, "SALES_REP", headers={"accept-language": language}, id=identity)
        (one,) = body["data"]["customer"]["can"]
        assert (one["allowed"], one["code"]) == (False, "NOT_ALLOWED")
        assert words in one["message"], one


async def test_a_state_is_told_by_its_code(crm: Installation) -> None:
    (identity,) = await made(crm)
    await crm.data("mutation($id: ID!) { customerArchive(input: {customerId: $id}) { errors { code } } }", role="SALES_LEAD", id=identity)
    query = 'query($id: ID!) { customer(id: $id) { can(actions: ["update", "restore"]) { action allowed code } } }'
    body: Any = await crm.data(query, role="COORDINATOR", id=identity)
    codes = {one["action"]: one["code"] for one in body["customer"]["can"]}
    assert codes["update"] in ("ARCHIVED", None)


async def test_what_is_no_command_is_refused_with_those_that_are(crm: Installation) -> None:
    (identity,) = await made(crm)
    for query in ('query($id: ID!) { customer(id: $id) { can(actions: ["win"]) { allowed } } }',):
        body = await crm.graph(query, "SALES_REP", id=identity)
        (error,) = body["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert "«win»" in error["message"]
        assert "update" in error["message"]
    body = await crm.graph('{ viewer { can(action: "create", resource: "nothing") { allowed } } }', "SALES_REP")
    assert "«nothing»" in body["errors"][0]["message"]


async def test_whoever_is_signed_in_asks_for_records_of_a_kind(crm: Installation) -> None:
    query = """{ viewer { a: can(action: "create", resource: "customers") { allowed code }
                          b: can(actions: ["create", "update"], resource: "products") { action allowed code }
                          c: can(actions: ["update"]) { allowed code } } }"""
    body: Any = await crm.data(query, role="SALES_REP")
    assert body["viewer"]["a"] == [{"allowed": True, "code": None}]
    assert [one["code"] for one in body["viewer"]["b"]] == ["NOT_ALLOWED", "NOT_ALLOWED"]
    assert [one["code"] for one in body["viewer"]["c"]] == ["NOT_ALLOWED"]
    other = await crm.graph(
        'query($id: ID!) { person(id: $id) { can(action: "create", resource: "customers") { allowed } } }',
        "SALES_REP",
        id=await person(crm),
    )
    assert other["errors"][0]["extensions"]["field"] == "resource"


async def person(crm: Installation) -> str:
    """Somebody else, as the graph names them."""
    body: Any = await crm.data("{ viewer { id } }", role="SALES_LEAD")
    return str(body["viewer"]["id"])


async def test_a_command_is_judged_and_not_done(crm: Installation) -> None:
    name = f"试 {new_id()}"
    given = {"kind": "COMPANY", "name": name}
    body: Any = await crm.data(MAKE, role="SALES_REP", input=given, only=True)
    tried = body["customerCreate"]["customer"]
    assert (tried["name"], tried["version"], body["customerCreate"]["errors"]) == (name, 1, [])
    again: Any = await crm.data("query($id: ID!) { customer(id: $id) { id } }", role="SALES_REP", id=tried["id"])
    assert again["customer"] is None
    body = await crm.data(MAKE, role="SALES_REP", input={"kind": "COMPANY", "name": ""}, only=True)
    assert body["customerCreate"]["errors"] == [{"code": "INVALID_ARGUMENT", "path": ["input", "name"]}]


async def test_what_cannot_be_tried_takes_no_such_argument(crm: Installation) -> None:
    body = await crm.graph(
        'mutation { sessionCreate(input: {email: "x@example.com", password: "x"}, validateOnly: true) { errors { code } } }'
    )
    assert "validateOnly" in body["errors"][0]["message"]


async def test_how_much_of_a_field_is_given_is_told(crm: Installation) -> None:
    query = (
        "{ contacts(first: 1) { nodes { fieldAccess { field access } } } customers(first: 1) { nodes { fieldAccess { field access } } } }"
    )
    body: Any = await crm.data(query, role="MARKETER")
    for one in (each for rows in body.values() for node in rows["nodes"] for each in node["fieldAccess"]):
        assert one["access"] in ("HIDDEN", "MASKED", "READ")


async def test_grants_are_ones_own_unless_the_whole_policy_is_asked_for(crm: Installation) -> None:
    query = '{ own: grants { role resource } some: grants(resource: "customers") { role resource } all: grants(everybody: true) { role } }'
    body: Any = await crm.data(query, role="SALES_REP")
    assert {one["role"] for one in body["own"]} == {"SALES_REP"}
    assert {(one["role"], one["resource"]) for one in body["some"]} == {("SALES_REP", "customers")}
    assert len(body["all"]) > 5 * len(body["own"])
