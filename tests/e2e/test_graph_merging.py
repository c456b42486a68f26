"""Merged calls give every caller exactly their own rows: not one too many, however the operations meet."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.installation import Installation

QUERY = """query($id: ID!, $n: Int!) { customer(id: $id) { name owner { name } opportunities(first: $n) { nodes { name } }
  contacts(first: 3) { nodes { name } } tickets(first: 3) { nodes { subject } } } }"""
ROLES = ("SALES_REP", "COORDINATOR", "MARKETER", "SUPPORT_AGENT", "ADMINISTRATOR", "")


async def customers(crm: Installation) -> list[str]:
    """Six customers with an opportunity and a contact: two of the sales rep's, the others of the coordinator's."""
    found = []
    for number in range(6):
        role = "SALES_REP" if number < 2 else "COORDINATOR"
        made = await crm.data(f'mutation {{ customerCreate(input: {{kind: COMPANY, name: "并 {number}"}}) {{ customer {{ id }} }} }}', role)
        identity = str(made["customerCreate"]["customer"]["id"])
        await crm.data(
            f"""mutation($id: ID!) {{ opportunityCreate(input: {{customerId: $id, name: "机会 {number}"}}) {{ errors {{ code }} }}
              contactCreate(input: {{customerId: $id, name: "人 {number}"}}) {{ errors {{ code }} }} }}""",
            role,
            id=identity,
        )
        found.append(identity)
    return found


def shown(body: dict[str, Any]) -> dict[str, Any]:
    """An answer without the ids of its requests."""
    for error in body.get("errors", ()):
        error["extensions"].pop("requestId", None)
    return {**body, "errors": sorted(body.get("errors", ()), key=str)}


async def test_callers_of_every_role_at_once_get_what_each_gets_alone(crm: Installation) -> None:
    ids = await customers(crm)
    await crm.settled()
    asked = [(role, identity, n) for role in ROLES for identity in ids for n in (1, 2)]
    alone = [shown(await crm.graph(QUERY, role, id=identity, n=n)) for role, identity, n in asked]
    for begin in range(0, len(asked), 12):  # each wave mixes roles, customers and page sizes
        wave = [number % len(asked) for number in range(begin, begin + 12 * 7, 7)]
        together = await asyncio.gather(*[crm.graph(QUERY, asked[n][0], id=asked[n][1], n=asked[n][2]) for n in wave])
        assert [shown(body) for body in together] == [alone[n] for n in wave]
    names = [body["data"]["customer"] for body, (role, _, n) in zip(alone, asked, strict=True) if (role, n) == ("SALES_REP", 1)]
    assert [bool(customer) for customer in names] == [True, True, False, False, False, False]


async def test_one_callers_operations_share_calls_and_each_gets_its_own_answer(crm: Installation) -> None:
    ids = await customers(crm)
    before = crm.calls()
    together = await asyncio.gather(*[crm.graph("query($id: ID!) { customer(id: $id) { id name } }", id=ids[n % 6]) for n in range(48)])
    sent = crm.calls()["BatchGetCustomers"] - before["BatchGetCustomers"]
    assert [body["data"]["customer"] for body in together] == [{"id": ids[n % 6], "name": f"并 {n % 6}"} for n in range(48)]
    assert sent < 48


async def test_an_operation_sees_what_its_caller_wrote_before(crm: Installation) -> None:
    (identity, *_) = await customers(crm)

    async def noise() -> None:
        for _ in range(30):
            await crm.graph("query($id: ID!) { customer(id: $id) { name } }", id=identity)

    busy = asyncio.gather(*[noise() for _ in range(3)])
    for number in range(10):
        name = f"改名 {number}"
        await crm.data(
            "mutation($i: CustomerUpdateInput!) { customerUpdate(input: $i) { errors { message } } }",
            i={"customerId": identity, "version": number + 1, "name": name},
        )
        assert (await crm.data("query($id: ID!) { customer(id: $id) { name } }", id=identity))["customer"]["name"] == name
    await busy
