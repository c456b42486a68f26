"""What a list shows, live: changes of many records and of a whole resource, resumable, and only to who may see them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.graph.contract import from_global, to_global
from tests.e2e.test_graph_websocket import alone, ask, heard, listening, new_customer, new_opportunity, send, socket
from tests.e2e.test_subscription_cursor import refusal, told
from tests.support.installation import Installation

__all__ = ["alone"]  # a fixture of each test
RECORDS = """subscription($ids: [ID!]!, $after: String) { recordsChanged(ids: $ids, after: $after) {
    eventId cursor department record { id __typename } } }"""
RESOURCE = """subscription($resource: String!, $after: String) { resourceChanged(resource: $resource, after: $after) {
    eventId eventType cursor record { id __typename } } }"""
RECORD = "subscription($id: ID!, $after: String) { recordChanged(id: $id, after: $after) { eventType cursor record { id } } }"
ACTIVITY = "subscription($id: ID!, $after: String) { customerActivity(customerId: $id, after: $after) { eventType cursor record { id } } }"


async def touch(crm: Installation, record: str) -> None:
    """A change of a customer or of an opportunity."""
    note = 'mutation($id: ID!) { customerMoveLifecycle(input: {customerId: $id, lifecycle: %s, reason: "看看"}) { errors { message } } }'
    move = 'mutation($id: ID!) { opportunityLose(input: {opportunityId: $id, reason: "价格"}) { errors { message } } }'
    found = await crm.data("query($id: ID!) { node(id: $id) { __typename ... on Customer { lifecycle } } }", id=record)
    if found["node"]["__typename"] == "Customer":
        following = "CONVERT" if found["node"]["lifecycle"] != "CONVERT" else "MAINTAIN"
        done = await crm.data(note % following, id=record)
    else:
        done = await crm.data(move, id=record)
    assert [payload["errors"] for payload in done.values()] == [[]]


async def nothing_more(connection: Any) -> None:
    """Nothing was told between: an answer to a ping comes first."""
    await send(connection, type="ping")
    assert await heard(connection) == {"type": "pong"}


async def test_changes_of_the_records_of_a_list_are_told_and_no_others(crm: Installation) -> None:
    shown, hidden = await new_customer(crm), await new_customer(crm)
    opportunity = await new_opportunity(crm, hidden)
    await crm.settled()
    async with socket(crm) as connection:
        await ask(connection, "1", RECORDS, ids=[shown, opportunity])
        await listening(crm)
        await touch(crm, hidden)
        await touch(crm, shown)
        first = await told(connection, "recordsChanged")
        await touch(crm, opportunity)
        second = await told(connection, "recordsChanged")
        await nothing_more(connection)
    assert [first["record"]["id"], second["record"]["id"]] == [shown, opportunity]
    assert [first["department"], second["department"]] == ["customer", "sales"]


async def test_a_list_goes_on_where_it_ended(crm: Installation) -> None:
    shown, later = [await new_customer(crm) for _ in range(3)], await new_customer(crm)
    await crm.settled()
    async with socket(crm) as connection:
        await ask(connection, "1", RECORDS, ids=shown)
        await listening(crm)
        await touch(crm, shown[0])
        first = await told(connection, "recordsChanged")
        assert first["record"]["id"] == shown[0]
    for record in (shown[1], later, shown[2]):
        await touch(crm, record)
    await crm.settled()
    async with socket(crm) as connection:
        await ask(connection, "2", RECORDS, ids=shown, after=first["cursor"])
        caught = [await told(connection, "recordsChanged") for _ in range(2)]
        await nothing_more(connection)
        assert [change["record"]["id"] for change in caught] == shown[1:]
        # The list shows one more: the same departments, so the cursor holds.
        await ask(connection, "3", RECORDS, ids=[*shown, later], after=caught[0]["cursor"])
        assert {(await told(connection, "recordsChanged"))["record"]["id"] for _ in range(2)} == {later, shown[2]}


async def test_changes_of_a_whole_resource_are_told_to_who_may_see_each(crm: Installation) -> None:
    await crm.person("board one", "SALES_REP")
    own = await new_customer(crm, "board one")
    async with socket(crm, "board one") as connection:
        await ask(connection, "1", RESOURCE, resource="opportunities")
        await listening(crm)
        foreign = await new_opportunity(crm, await new_customer(crm))
        mine = await new_opportunity(crm, own, "board one")
        change = await told(connection, "resourceChanged")
        await nothing_more(connection)
    assert (change["record"], change["eventType"]) == ({"id": mine, "__typename": "Opportunity"}, "crm.sales.v1.OpportunityCreated")
    assert foreign != mine
    third = await new_opportunity(crm, own, "board one")
    async with socket(crm, "board one") as connection:
        await ask(connection, "2", RESOURCE, resource="opportunities", after=change["cursor"])
        assert (await told(connection, "resourceChanged"))["record"]["id"] == third


async def test_who_asks_by_id_for_records_out_of_reach_hears_nothing(crm: Installation) -> None:
    """Neither live nor what was missed, in silence: no word tells whether there is such a record."""
    await crm.person("board two", "SALES_REP")
    own, foreign = await new_customer(crm, "board two"), await new_customer(crm)
    ids = [foreign, to_global("Customer", "none"), own]
    await crm.settled()
    async with socket(crm, "board two") as connection:
        await ask(connection, "1", RECORDS, ids=ids)
        await listening(crm)
        await touch(crm, foreign)
        await touch(crm, own)
        change = await told(connection, "recordsChanged")
        assert change["record"]["id"] == own
        await nothing_more(connection)
    await touch(crm, foreign)
    await touch(crm, own)
    async with socket(crm, "board two") as connection:
        await ask(connection, "2", RECORDS, ids=ids, after=change["cursor"])
        assert (await told(connection, "recordsChanged"))["record"]["id"] == own
        await nothing_more(connection)


@pytest.mark.parametrize("resource", ["", "Customer", "nothing", "customers.read", "histories"])
async def test_a_resource_that_is_none_is_refused(crm: Installation, resource: str) -> None:
    async with socket(crm) as connection:
        found = await refusal(connection, RESOURCE, resource=resource)
    assert (found["code"], found["field"]) == ("INVALID_ARGUMENT", "resource")


@pytest.mark.parametrize("count", [0, 101])
async def test_no_more_than_a_page_of_records_is_followed(crm: Installation, count: int) -> None:
    async with socket(crm) as connection:
        found = await refusal(connection, RECORDS, ids=[to_global("Customer", f"c{number}") for number in range(count)])
    assert (found["code"], found["field"]) == ("INVALID_ARGUMENT", "ids")


async def test_a_cursor_of_other_departments_is_refused(crm: Installation) -> None:
    customer = await new_customer(crm)
    await crm.settled()
    async with socket(crm) as connection:
        await ask(connection, "1", RECORDS, ids=[customer])
        await listening(crm)
        await touch(crm, customer)
        cursor = (await told(connection, "recordsChanged"))["cursor"]
        await send(connection, id="1", type="complete")
        found = await refusal(connection, RECORDS, ids=[customer, to_global("Order", "none")], after=cursor)
    assert (found["code"], found["field"]) == ("INVALID_ARGUMENT", "after")


async def test_who_follows_a_merged_customer_hears_of_the_one_that_stayed(crm: Installation) -> None:
    """Whether the merge came while it listened or before; and of its own again, when the merge was undone."""
    survivor, loser = await new_customer(crm), await new_customer(crm)
    await crm.settled()
    boss, names = {"role": "COORDINATOR"}, {"survivor_id": from_global(survivor)[1], "loser_id": from_global(loser)[1]}
    async with socket(crm) as early, socket(crm) as late:
        await ask(early, "1", RECORDS, ids=[loser])
        await listening(crm)
        merge = (await crm.ask("MergeCustomers", **boss, **names)).customer_merge
        absorbed = await told(early, "recordsChanged")
        assert absorbed["record"]["id"] == survivor
        await ask(late, "1", RECORD, id=loser)
        await ask(late, "2", ACTIVITY, id=loser)
        await listening(crm, 3)
        await touch(crm, survivor)
        assert (await told(early, "recordsChanged"))["record"]["id"] == survivor
        both = [(await heard(late))["payload"]["data"] for _ in range(2)]
        found = {name: change for one in both for name, change in one.items()}
        assert {name: change["record"]["id"] for name, change in found.items()} == {"recordChanged": survivor, "customerActivity": survivor}
        await nothing_more(early)
    opportunity = await new_opportunity(crm, survivor)
    await touch(crm, survivor)
    await crm.settled()
    async with socket(crm) as connection:  # what was missed is told too
        await ask(connection, "1", RECORDS, ids=[loser], after=absorbed["cursor"])
        assert [(await told(connection, "recordsChanged"))["record"]["id"] for _ in range(2)] == [survivor, survivor]
        await ask(connection, "2", ACTIVITY, id=loser, after=found["customerActivity"]["cursor"])
        assert {(await told(connection, "customerActivity"))["record"]["id"] for _ in range(2)} == {survivor, opportunity}
        await crm.ask("UnmergeCustomer", **boss, customer_merge_id=merge.id)
        await new_opportunity(crm, survivor)
        await touch(crm, loser)
        heard_by: dict[str, list[str]] = {"1": [], "2": []}
        while not all(one and one[-1] == loser and len(one) >= 2 for one in heard_by.values()):
            message = await heard(connection)
            heard_by[message["id"]] += [change["record"]["id"] for change in message["payload"]["data"].values()]
    assert heard_by["1"] == [loser, loser], "restored, then touched"
    assert survivor not in heard_by["2"]
