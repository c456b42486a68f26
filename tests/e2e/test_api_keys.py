"""An integration works through the graph with a key of its own: its rights, its end, and never the key itself anywhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chassis.kernel.clock import now
from gateway.graph.contract import to_global
from tests.support.installation import Installation

CREATE = """mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret apiKey { id name roles } errors { code path message } } }"""
CUSTOMERS = "{ customers(first: 1) { nodes { id } } }"


def values(**more: Any) -> dict[str, Any]:
    return {"name": "ERP", "roles": ["COORDINATOR"], "expireTime": (now() + timedelta(days=30)).isoformat(), **more}


async def make(crm: Installation, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await crm.data(CREATE, "ADMINISTRATOR", input=values(**more)))["apiKeyCreate"]
    return found


async def code(crm: Installation, secret: str, query: str = CUSTOMERS) -> str:
    body = await crm.graph(query, secret)
    return str(body["errors"][0]["extensions"]["code"]) if "errors" in body else ""


async def test_a_key_works_within_its_roles_until_it_is_revoked(crm: Installation) -> None:
    made = await make(crm)
    assert made["errors"] == []
    secret = made["secret"]
    await crm.data(CUSTOMERS, secret)
    created = await crm.data(
        'mutation { customerCreate(input: {kind: COMPANY, name: "来自ERP"}) { customer { id } errors { code } } }', secret
    )
    assert created["customerCreate"]["errors"] == []
    history = await crm.data(
        "query($id: ID!) { recordHistory(id: $id) { nodes { actorId } } }", id=created["customerCreate"]["customer"]["id"]
    )
    key_id = made["apiKey"]["id"]
    actor = history["recordHistory"]["nodes"][0]["actorId"]
    assert actor == to_global(
        "Person", (await crm.suite["organization"].database["api_keys"].find_one({"name": "ERP"}, sort=[("_id", -1)]))["_id"]
    )  # type: ignore[index]
    refused = "mutation($input: PersonCreateInput!) { personCreate(input: $input) { errors { code } } }"
    person = {"name": "x", "email": "x@example.com", "roles": ["MANAGER"], "homeDepartmentId": to_global("Department", crm.units["sales"])}
    assert (await crm.data(refused, secret, input=person))["personCreate"]["errors"][0]["code"] == "NOT_ALLOWED"
    await crm.data("mutation($id: ID!) { apiKeyRevoke(input: {apiKeyId: $id}) { errors { code } } }", "ADMINISTRATOR", id=key_id)

    async def ended() -> bool:
        return await code(crm, secret) == "UNAUTHENTICATED"

    await crm.until(ended, 5)


async def test_the_key_is_stored_nowhere(crm: Installation) -> None:
    secret = (await make(crm))["secret"]
    await crm.data(CUSTOMERS, secret)
    await crm.settled()
    database = crm.suite["organization"].database
    for name in await database.list_collection_names():
        async for row in database[name].find({}):
            assert secret not in str(row), name


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"expireTime": "2020-01-01T00:00:00Z"}, "expireTime"),
        ({"expireTime": "2100-01-01T00:00:00Z"}, "expireTime"),
        ({"roles": []}, "roles"),
        ({"roleDefinitionIds": ["Um9sZURlZmluaXRpb246bm93aGVyZQ"]}, "roleDefinitionIds"),
        ({"homeDepartmentId": "RGVwYXJ0bWVudDpub3doZXJl"}, "homeDepartmentId"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(crm: Installation, change: dict[str, Any], path: str) -> None:
    answer = await make(crm, **change)
    assert answer["apiKey"] is None
    assert answer["errors"][0]["path"][:2] == ["input", path]


async def test_only_administrators_make_and_see_keys(crm: Installation) -> None:
    assert (await crm.data(CREATE, "COORDINATOR", input=values()))["apiKeyCreate"]["errors"][0]["code"] == "NOT_ALLOWED"
    assert await code(crm, "COORDINATOR", "{ apiKeys { nodes { id } } }") == "NOT_ALLOWED"
    assert (await crm.data("{ apiKeys(first: 1) { nodes { name } } }", "ADMINISTRATOR"))["apiKeys"]["nodes"]


@pytest.mark.parametrize("secret", ["crm_" + "A" * 43, "crm_", "crm_x y"])
async def test_a_key_that_is_none_is_refused(crm: Installation, secret: str) -> None:
    assert await code(crm, secret) == "UNAUTHENTICATED"
