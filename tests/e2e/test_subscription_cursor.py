"""A subscription goes on where an earlier one ended: what happened meanwhile is told once, in order, and only to who may see it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from crm.common.v1 import history_service_pb2 as contract

from cli.engines import Child, free_port, start_nats
from gateway.graph.contract import to_global
from tests.e2e.test_graph_websocket import ask, heard, listening, new_customer, new_opportunity, new_ticket, send, socket
from tests.e2e.test_merges import BOSS, customer, merged, swept
from tests.support.installation import Engines, Installation

TICKETS = "subscription($after: String) { ticketChanged(after: $after) { eventId cursor record { ... on Ticket { subject } } } }"
ACTIVITY = """subscription($id: ID!, $after: String) { customerActivity(customerId: $id, after: $after) {
    eventId eventType cursor record { __typename } } }"""
SERVICE = contract.DESCRIPTOR.services_by_name["HistoryService"]


async def told(connection: Any, field: str, seconds: float = 8) -> dict[str, Any]:
    """The next change; fails on an error."""
    message = await heard(connection, seconds)
    assert message["type"] == "next", message
    found: dict[str, Any] = message["payload"]["data"][field]
    return found


async def refusal(connection: Any, query: str, **variables: Any) -> dict[str, Any]:
    """The extensions of the error with which a subscription ends at once."""
    await ask(connection, "refused", query, **variables)
    message = await heard(connection)
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    if message["type"] == "next":
        assert (await heard(connection))["type"] == "complete"
    found: dict[str, Any] = errors[0]["extensions"]
    return found


async def test_by_the_id_of_a_merged_customer_is_told_what_happens_to_the_one_that_stayed(crm: Installation) -> None:
    survivor, loser = await customer(crm, "听一"), await customer(crm, "听二")
    await crm.ask("CreateNote", **BOSS, customer_id=survivor, text="之前")
    await merged(crm, survivor, loser)
    await swept(crm, loser)
    async with socket(crm) as connection:
        await ask(connection, "1", ACTIVITY, id=to_global("Customer", loser))
        await listening(crm)
        await crm.ask("CreateNote", **BOSS, customer_id=survivor, text="现在")
        first = await told(connection, "customerActivity")
    assert first["eventType"] == "crm.customer.v1.NoteCreated"
    await crm.ask("CreateNote", **BOSS, customer_id=loser, text="错过")
    async with socket(crm) as connection:
        await ask(connection, "2", ACTIVITY, id=to_global("Customer", loser), after=first["cursor"])
        missed = await told(connection, "customerActivity")
    assert (missed["eventType"], missed["eventId"] == first["eventId"]) == ("crm.customer.v1.NoteCreated", False)


async def test_what_happened_while_nobody_listened_is_told_once_and_in_order(crm: Installation) -> None:
    async with socket(crm) as connection:
        await ask(connection, "1", TICKETS)
        await listening(crm)
        await new_ticket(crm, "第一")
        first = await told(connection, "ticketChanged")
    assert first["record"] == {"subject": "第一"}
    missed = [f"错过 {number}" for number in range(30)]
    for subject in missed:
        await new_ticket(crm, subject)
    async with socket(crm) as connection:
        await ask(connection, "2", TICKETS, after=first["cursor"])
        caught = [await told(connection, "ticketChanged") for _ in missed]
        await new_ticket(crm, "之后")
        last = await told(connection, "ticketChanged")
        await send(connection, type="ping")
        assert await heard(connection) == {"type": "pong"}
    assert [change["record"]["subject"] for change in caught] == missed
    assert len({change["eventId"] for change in (first, *caught, last)}) == len(missed) + 2
    async with socket(crm) as connection:  # and from any cursor in between
        await ask(connection, "3", TICKETS, after=caught[10]["cursor"])
        again = [await told(connection, "ticketChanged") for _ in range(20)]
    assert [change["eventId"] for change in again] == [change["eventId"] for change in (*caught[11:], last)]


async def test_what_all_departments_did_meanwhile_is_told(crm: Installation) -> None:
    customer = await new_customer(crm)
    async with socket(crm) as connection:
        await ask(connection, "1", ACTIVITY, id=customer)
        await listening(crm)
        await new_opportunity(crm, customer)
        while (first := await told(connection, "customerActivity"))["eventType"] != "crm.sales.v1.OpportunityCreated":
            pass  # that the customer was made may be told first
    assert first["cursor"]
    create = 'mutation($id: ID!) { ticketCreate(input: {customerId: $id, subject: "坏", channel: PHONE}) { errors { code } } }'
    await crm.data(create, id=customer)
    await crm.data('mutation($id: ID!) { noteCreate(input: {customerId: $id, text: "来电"}) { errors { code } } }', id=customer)
    await crm.data(create, id=await new_customer(crm))  # somebody else's
    async with socket(crm) as connection:
        await ask(connection, "2", ACTIVITY, id=customer, after=first["cursor"])
        caught = []
        while not {"crm.customer.v1.NoteCreated", "crm.support.v1.TicketCreated"} <= set(caught):
            caught.append((await told(connection, "customerActivity"))["eventType"])
        await send(connection, type="ping")
        assert await heard(connection) == {"type": "pong"}
    # A department of which nothing was heard tells again what happened in the minute before: that the customer was made.
    assert sorted(set(caught) - {"crm.customer.v1.CustomerCreated"}) == ["crm.customer.v1.NoteCreated", "crm.support.v1.TicketCreated"]
    assert len(caught) == len(set(caught))


async def test_records_that_one_may_not_see_stay_untold_behind_a_cursor_too(crm: Installation) -> None:
    own, other = await new_customer(crm, "SALES_REP"), await new_customer(crm)
    mine, theirs = await new_opportunity(crm, own, "SALES_REP"), await new_opportunity(crm, other)
    for role, expected in (("SALES_REP", {mine}), ("COORDINATOR", {mine, theirs}), ("MARKETER", set())):
        request, found, more = contract.ListFactsRequest(after_id="@0", noun="Opportunity"), set(), True
        while more:
            answer = await crm.channels["sales"].call(SERVICE, "ListFacts", request, token=crm.tokens[role])
            found |= {to_global("Opportunity", fact.record_id) for fact in answer.facts}
            request.after_id, more = answer.position or request.after_id, answer.more
        assert found & {mine, theirs} == expected, role


async def test_facts_are_listed_by_an_index_and_by_stretches(crm: Installation) -> None:
    database = crm.suite["support"].database
    plan = await database.command(
        "explain",
        {
            "find": "outbox",
            "filter": {"position": {"$gte": 1}},
            "sort": {"position": 1, "_id": 1},
            "hint": "position",
            "limit": 1000,
        },
    )
    assert "COLLSCAN" not in str(plan)
    assert "'stage': 'SORT'" not in str(plan)


@pytest.mark.parametrize("cursor", ["x", "", "e30", base64.urlsafe_b64encode(json.dumps({"sales": "abc"}).encode()).decode(), "字" * 10])
async def test_a_text_that_is_no_cursor_of_this_subscription_is_refused(crm: Installation, cursor: str) -> None:
    async with socket(crm) as connection:
        if not cursor:
            await ask(connection, "1", TICKETS, after=cursor)  # none at all: from now on
            await listening(crm)
            return
        found = await refusal(connection, TICKETS, after=cursor)
    assert (found["code"], found["field"]) == ("INVALID_ARGUMENT", "after")


async def test_a_cursor_whose_facts_are_not_kept_any_more_is_refused(crm: Installation) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps({"support": "0123456789abcdefghjkmnpqrs"}).encode()).decode()
    async with socket(crm) as connection:
        found = await refusal(connection, TICKETS, after=cursor)
    assert found["code"] == "CURSOR_EXPIRED"


@pytest_asyncio.fixture(loop_scope="session")
async def own(engines: Engines, tmp_path: Path) -> AsyncIterator[tuple[Installation, Child, int]]:
    """An installation with a broker of its own that the test may stop."""
    port = free_port()
    nats, url = await start_nats(tmp_path / "nats", port, tmp_path / "nats.log")
    installation = Installation(engines, url)
    await installation.start()
    yield installation, nats, port
    await installation.stop()


async def _one_department_is_away(crm: Installation) -> None:
    """It cannot say what was missed; what the others tell is not held up by that more than once."""
    create = 'mutation($id: ID!) { ticketCreate(input: {customerId: $id, subject: "坏", channel: PHONE}) { errors { code } } }'
    customer = await new_customer(crm)
    await crm.settled()  # departments tell in no order among each other: the customer's own fact is not to come among the tickets'
    async with socket(crm) as connection:
        await ask(connection, "1", ACTIVITY, id=customer)
        await listening(crm)
        await crm.data(create, id=customer)
        cursor = (await told(connection, "customerActivity"))["cursor"]
    await crm.suite.stop("marketing")
    await crm.data(create, id=customer)
    async with socket(crm) as connection:
        await ask(connection, "2", ACTIVITY, id=customer, after=cursor)
        while (await told(connection, "customerActivity", 20))["eventType"] != "crm.support.v1.TicketCreated":
            pass
        await crm.until(lambda: crm.suite.running["gateway"].live._listeners)
        begun = asyncio.get_running_loop().time()
        for _ in range(3):
            await crm.data(create, id=customer)
            assert (await told(connection, "customerActivity"))["eventType"] == "crm.support.v1.TicketCreated"
        assert asyncio.get_running_loop().time() - begun < 5


async def test_a_gateway_that_is_replaced_and_a_broker_that_goes_away_lose_no_change(
    own: tuple[Installation, Child, int], tmp_path: Path
) -> None:
    crm, nats, port = own
    async with socket(crm) as connection:
        await ask(connection, "1", TICKETS)
        await listening(crm)
        await new_ticket(crm, "一")
        seen = [await told(connection, "ticketChanged")]
    await crm.suite.stop("gateway")
    await crm.ask("CreateTicket", role="COORDINATOR", subject="二", channel=1)
    await crm.suite.start(["gateway"])
    async with socket(crm) as connection:
        await ask(connection, "2", TICKETS, after=seen[-1]["cursor"])
        seen.append(await told(connection, "ticketChanged"))
        await nats.stop()
        await new_ticket(crm, "三")  # committed: it waits in the outbox
        await asyncio.sleep(0.5)
        again, _ = await start_nats(tmp_path / "nats", port, tmp_path / "nats.log")
        try:
            seen.append(await told(connection, "ticketChanged", 20))
            await new_ticket(crm, "四")
            seen.append(await told(connection, "ticketChanged", 20))
            assert [change["record"]["subject"] for change in seen] == ["一", "二", "三", "四"]
            assert len({change["eventId"] for change in seen}) == 4
            await _one_department_is_away(crm)
        finally:
            await again.stop()
