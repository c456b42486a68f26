"""Imports by people whose reach ends at their own records or their team: an outcome for each row, the same in a dry run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.ids import new_id
from tests.e2e.test_access_roles import holder, role
from tests.support.installation import Installation

CREATED, UPDATED, UNCHANGED, REFUSED = range(1, 5)
NOUNS = ("customers", "contacts", "orders", "tickets")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scoped(crm: Installation) -> AsyncIterator[Installation]:
    """People who may import as far as their own records and their team, with and without the right to assign."""
    for key, scope, more in (("own importer", "OWN", ()), ("team importer", "TEAM", ()), ("team assigner", "TEAM", ("assign",))):
        actions = ("read", "create", "update", "import", *more)
        lines = [(noun, action, scope) for noun in NOUNS for action in actions if action != "assign" or noun in ("customers", "tickets")]
        await holder(crm, key, (await role(crm, f"{key} {new_id()}", lines, []))["id"])
    await crm.person("stranger to imports", "SALES_REP", unit="other")
    await crm.until(
        lambda: all(
            crm.people["stranger to imports"] in crm.suite[name].authority.directory.members for name in ("customer", "sales", "support")
        )
    )
    yield crm


async def outcomes(crm: Installation, method: str, rows: str, key: str, records: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """What a person's import comes to; a dry run just before it must say the same."""
    tried = await crm.ask(method, role=key, validate_only=True, **{rows: records})
    done = await crm.ask(method, role=key, **{rows: records})
    found = [[(one.result, one.error_code, one.error_field) for one in answer.outcomes] for answer in (tried, done)]
    assert found[0] == found[1]
    return found[1]


@pytest.mark.parametrize("key", ["own importer", "team importer"])
async def test_a_row_with_a_key_out_of_reach_is_refused_alone_and_as_if_it_were_absent(scoped: Installation, key: str) -> None:
    mark = new_id()
    foreign = {"source_key": f"{mark}:foreign", "name": "外", "kind": 1, "owner_id": scoped.people["stranger to imports"]}
    await scoped.ask("BatchUpsertCustomers", customers=[foreign])
    rows = [{"source_key": f"{mark}:{name}", "name": name, "kind": 1} for name in ("a", "foreign", "b")]
    expected = [(CREATED, "", ""), (REFUSED, "NOT_FOUND", "source_key"), (CREATED, "", "")]
    assert await outcomes(scoped, "BatchUpsertCustomers", "customers", key, rows) == expected
    stored = await scoped.suite["customer"].database["customers"].find_one({"source_key": foreign["source_key"]})
    assert (stored["name"], stored["version"]) == ("外", 1)
    again = [(UNCHANGED, "", ""), expected[1], (UNCHANGED, "", "")]
    assert await outcomes(scoped, "BatchUpsertCustomers", "customers", key, rows) == again


async def test_an_order_of_a_customer_out_of_reach_is_refused_as_if_there_were_none(scoped: Installation) -> None:
    theirs = (await scoped.ask("CreateCustomer", role="stranger to imports", name="别人", kind=1)).customer.id
    line = {"description": "x", "quantity": 1, "unit_price": {"currency_code": "CNY", "amount_micros": 1}}
    rows = [
        {"source_key": f"{new_id()}:{name}", "customer_id": name, "number": new_id(), "state": 1, "kind": 1, "lines": [line]}
        for name in (theirs, "nobody")
    ]
    found = await outcomes(scoped, "BatchUpsertOrders", "orders", "team importer", rows)
    assert found == [(REFUSED, "REFERENCE_NOT_FOUND", "customer_id")] * 2


@pytest.mark.parametrize(
    ("key", "changed", "expected"),
    [
        ("team importer", {"owner_id": "stranger to imports"}, (REFUSED, "NOT_ALLOWED", "")),
        ("team importer", {"owner_id": "SALES_REP"}, (REFUSED, "NOT_ALLOWED", "")),
        ("team importer", {"team_id": "other-team"}, (UNCHANGED, "", "")),
        ("team assigner", {"owner_id": "stranger to imports"}, (UPDATED, "", "")),
        ("team assigner", {"owner_id": "SALES_REP"}, (UPDATED, "", "")),
    ],
)
async def test_a_row_gives_a_record_away_only_with_the_right_to_assign(
    scoped: Installation, key: str, changed: dict[str, str], expected: tuple[int, str, str]
) -> None:
    row = {"source_key": f"{new_id()}:mine", "name": "我", "kind": 1}
    assert await outcomes(scoped, "BatchUpsertCustomers", "customers", key, [row]) == [(CREATED, "", "")]
    values = {name: scoped.people.get(value, value) for name, value in changed.items()}
    assert await outcomes(scoped, "BatchUpsertCustomers", "customers", key, [{**row, **values}]) == [expected]
    stored = await scoped.suite["customer"].database["customers"].find_one({"source_key": row["source_key"]})
    moved = scoped.people[changed["owner_id"]] if expected[0] == UPDATED else scoped.people[key]
    team = scoped.suite["customer"].authority.directory.members[moved].team_id
    assert (stored["owner_id"], stored["team_id"]) == (moved, team)


async def test_a_contact_does_not_follow_a_row_to_a_customer_out_of_reach(scoped: Installation) -> None:
    mine = {"source_key": f"{new_id()}:c", "name": "我", "kind": 1}
    await scoped.ask("BatchUpsertCustomers", role="team importer", customers=[mine])
    theirs = (await scoped.ask("CreateCustomer", role="stranger to imports", name="别人", kind=1)).customer.id
    stored = await scoped.suite["customer"].database["customers"].find_one({"source_key": mine["source_key"]})
    row = {"source_key": f"{new_id()}:p", "name": "李", "customer_id": stored["_id"]}
    assert await outcomes(scoped, "BatchUpsertContacts", "contacts", "team importer", [row]) == [(CREATED, "", "")]
    moved = await outcomes(scoped, "BatchUpsertContacts", "contacts", "team importer", [{**row, "customer_id": theirs}])
    assert moved == [(REFUSED, "INVALID_ARGUMENT", "customer_id")]


async def test_an_erased_contacts_key_is_refused_and_not_tried_for_ever(scoped: Installation) -> None:
    customer = {"source_key": f"{new_id()}:e", "name": "忘", "kind": 2}
    identity = (await scoped.ask("BatchUpsertCustomers", customers=[customer])).outcomes[0].id
    row = {"source_key": f"{new_id()}:e", "name": "忘", "customer_id": identity}
    contact = (await scoped.ask("BatchUpsertContacts", contacts=[row])).outcomes[0].id
    await scoped.suite["customer"].database["contacts"].update_one({"_id": contact}, {"$unset": {"source_key": ""}})  # as erasure does
    assert await outcomes(scoped, "BatchUpsertContacts", "contacts", "cli", [row]) == [(REFUSED, "NOT_FOUND", "source_key")]
