"""The graph over graphql-transport-ws and SSE: the protocol's rules, and facts only for those who may see the record."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chassis.access.tokens import LIFETIME_SECONDS, Signer
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from services.organization.sessions.keys import SigningKeys
from tests.support.installation import PASSWORD, Installation

TICKETS = "subscription { ticketChanged { eventType department record { __typename ... on Ticket { subject } } } }"
RECORD = "subscription($id: ID!) { recordChanged(id: $id) { eventType record { __typename id } } }"
ACTIVITY = "subscription($id: ID!) { customerActivity(customerId: $id) { eventType record { __typename } } }"


@asynccontextmanager
async def socket(crm: Installation, role: str | None = "COORDINATOR") -> AsyncIterator[ClientConnection]:
    """A connection, initialised as a role; not initialised for None. Facts of before are out by then."""
    await crm.published()
    address = f"ws://127.0.0.1:{crm.plan.gateway_port}/graphql"
    async with connect(address, subprotocols=["graphql-transport-ws"]) as connection:  # type: ignore[list-item]
        if role is not None:
            await send(connection, type="connection_init", payload={"Authorization": crm.bearer(role)["Authorization"]} if role else {})
            assert await heard(connection) == {"type": "connection_ack"}
        yield connection


async def send(connection: ClientConnection, **message: Any) -> None:
    await connection.send(json.dumps(message))


async def ask(connection: ClientConnection, identity: str, query: str, **variables: Any) -> None:
    await send(connection, id=identity, type="subscribe", payload={"query": query, "variables": variables})


async def heard(connection: ClientConnection, seconds: float = 5) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(await asyncio.wait_for(connection.recv(), seconds))
    return found


async def closed_with(connection: ClientConnection, seconds: float = 8) -> tuple[int, str]:
    """Code and reason of the server's close; what it says before is passed over."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await asyncio.wait_for(connection.recv(), seconds)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def listeners(crm: Installation) -> int:
    """Subscriptions that the gateway holds."""
    return len(crm.suite.running["gateway"].live._listeners)


async def listening(crm: Installation, count: int = 1) -> None:
    """Wait until subscriptions stand: facts from now on are delivered."""
    await crm.until(lambda: listeners(crm) >= count)


async def new_customer(crm: Installation, role: str = "COORDINATOR") -> str:
    made = await crm.data('mutation { customerCreate(input: {kind: COMPANY, name: "听众"}) { customer { id } } }', role)
    return str(made["customerCreate"]["customer"]["id"])


async def new_ticket(crm: Installation, subject: str) -> str:
    made = await crm.data(
        "mutation($s: String!) { ticketCreate(input: {subject: $s, channel: PHONE}) { ticket { id } errors { message } } }", s=subject
    )
    return str(made["ticketCreate"]["ticket"]["id"])


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def alone(crm: Installation) -> None:
    """Each test counts its own subscriptions only."""
    crm.suite.running["gateway"].live._listeners.clear()


async def new_opportunity(crm: Installation, customer: str, role: str = "COORDINATOR") -> str:
    """An opportunity in a pipeline of its own."""
    made = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    answer = await crm.data(
        """mutation($id: ID!, $pipeline: ID!) { opportunityCreate(input: {customerId: $id, name: "年框", pipelineId: $pipeline}) {
             opportunity { id } errors { message } } }""",
        role, id=customer, pipeline=to_global("Pipeline", made.pipeline.id),
    )  # fmt: skip
    assert answer["opportunityCreate"]["errors"] == []
    return str(answer["opportunityCreate"]["opportunity"]["id"])


# ---- the protocol


async def test_a_client_that_does_not_speak_the_protocol_is_closed_with_4406(crm: Installation) -> None:
    async with connect(f"ws://127.0.0.1:{crm.plan.gateway_port}/graphql") as connection:
        assert await closed_with(connection) == (4406, "Subprotocol not acceptable")


async def test_a_client_that_never_initialises_is_closed_with_4408(crm: Installation) -> None:
    async with socket(crm, None) as connection:
        assert await closed_with(connection) == (4408, "Connection initialisation timeout")


async def test_a_second_initialisation_is_closed_with_4429(crm: Installation) -> None:
    async with socket(crm) as connection:
        await send(connection, type="connection_init")
        assert await closed_with(connection) == (4429, "Too many initialisation requests")


async def test_an_operation_before_the_initialisation_is_closed_with_4401(crm: Installation) -> None:
    async with socket(crm, None) as connection:
        await ask(connection, "1", "{ __typename }")
        assert await closed_with(connection) == (4401, "Unauthorized")


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"type": 5}', '{"type": "start"}', '{"type": "subscribe", "id": "1"}', '{"type": "subscribe"}', b"\x00"]
)
async def test_a_message_that_is_none_is_closed_with_4400(crm: Installation, text: str | bytes) -> None:
    async with socket(crm) as connection:
        await connection.send(text)
        assert await closed_with(connection) == (4400, "Invalid message received")


async def test_a_ping_is_answered_before_and_after_the_initialisation(crm: Installation) -> None:
    async with socket(crm, None) as connection:
        await send(connection, type="ping")
        assert await heard(connection) == {"type": "pong"}
        await send(connection, type="connection_init")
        assert await heard(connection) == {"type": "connection_ack"}
        await send(connection, type="pong")
        await send(connection, type="ping", payload={})
        assert (await heard(connection))["type"] == "pong"


async def test_a_query_is_answered_once_and_completed(crm: Installation) -> None:
    async with socket(crm) as connection:
        await ask(connection, "q", "{ viewer { name } }")
        assert await heard(connection) == {"id": "q", "type": "next", "payload": {"data": {"viewer": {"name": "人 COORDINATOR"}}}}
        assert await heard(connection) == {"id": "q", "type": "complete"}
        await ask(connection, "q", "{ __typename }")
        assert (await heard(connection))["payload"] == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("query", ["{ nothing }", "{", "subscription { ticketChanged { nothing } }", "{ " + "a: __typename " * 61 + "}"])
async def test_a_document_that_may_not_run_is_an_error_message_and_the_connection_stays(crm: Installation, query: str) -> None:
    async with socket(crm) as connection:
        await ask(connection, "1", query)
        message = await heard(connection)
        assert (message["type"], message["id"]) == ("error", "1")
        assert isinstance(message["payload"], list)
        await send(connection, type="ping")
        assert await heard(connection) == {"type": "pong"}


async def test_an_id_that_is_in_use_is_closed_with_4409(crm: Installation) -> None:
    async with socket(crm) as connection:
        await ask(connection, "1", TICKETS)
        await ask(connection, "1", TICKETS)
        assert await closed_with(connection) == (4409, "Subscriber for 1 already exists")
    await crm.until(lambda: listeners(crm) == 0)


async def test_a_completed_id_may_be_used_again_and_belongs_to_the_new_subscription(crm: Installation) -> None:
    async with socket(crm) as connection:
        await ask(connection, "1", TICKETS)
        await listening(crm)
        await send(connection, id="1", type="complete")
        await ask(connection, "1", TICKETS)
        await asyncio.sleep(0.1)
        await ask(connection, "1", TICKETS)
        assert await closed_with(connection, 2) == (4409, "Subscriber for 1 already exists")
    await crm.until(lambda: listeners(crm) == 0, 2)


async def test_nothing_is_left_behind_when_a_client_goes_away(crm: Installation) -> None:
    async with socket(crm) as connection:
        for identity in "abc":
            await ask(connection, identity, TICKETS)
        await listening(crm, 3)
    await crm.until(lambda: listeners(crm) == 0, 3)


async def test_a_message_beyond_the_limit_of_a_body_is_refused(crm: Installation) -> None:
    async with socket(crm) as connection:
        await ask(connection, "1", "{ __typename }" + " " * 200_000)
        try:
            message = await heard(connection)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            assert closed.rcvd.code in (1009, 4400)
        else:
            assert message["type"] == "error"
            assert "body" in message["payload"][0]["message"]


# ---- facts


async def test_tickets_are_told_of_until_the_client_completes(crm: Installation) -> None:
    async with socket(crm) as connection:
        await ask(connection, "t", TICKETS)
        await listening(crm)
        await new_ticket(crm, "打印机坏了")
        assert await heard(connection) == {"id": "t", "type": "next", "payload": {"data": {"ticketChanged": {
            "eventType": "crm.support.v1.TicketCreated", "department": "support", "record": {"__typename": "Ticket", "subject": "打印机坏了"},
        }}}}  # fmt: skip
        await send(connection, id="t", type="complete")
        await crm.until(lambda: listeners(crm) == 0, 3)
        await new_ticket(crm, "没人听")
        await send(connection, type="ping")
        assert await heard(connection) == {"type": "pong"}


async def test_what_any_department_does_with_a_customer_is_told(crm: Installation) -> None:
    customer = await new_customer(crm)
    async with socket(crm) as connection:
        await ask(connection, "c", ACTIVITY, id=customer)
        await listening(crm)
        await new_opportunity(crm, customer)
        await crm.data(
            """mutation($id: ID!) { ticketCreate(input: {customerId: $id, subject: "坏", channel: PHONE}) { errors { message } } }""",
            id=customer,
        )
        told = [(await heard(connection))["payload"]["data"]["customerActivity"] for _ in range(2)]
    assert sorted(told, key=lambda fact: fact["eventType"]) == [
        {"eventType": "crm.sales.v1.OpportunityCreated", "record": {"__typename": "Opportunity"}},
        {"eventType": "crm.support.v1.TicketCreated", "record": {"__typename": "Ticket"}},
    ]


async def test_a_sales_rep_is_not_told_of_an_opportunity_of_somebody_else(crm: Installation) -> None:
    own, other = await new_customer(crm, "SALES_REP"), await new_customer(crm, "COORDINATOR")
    theirs, mine = await new_opportunity(crm, other), await new_opportunity(crm, own, "SALES_REP")
    lose = 'mutation($id: ID!) { opportunityLose(input: {opportunityId: $id, reason: "价格"}) { errors { message } } }'
    async with socket(crm, "SALES_REP") as connection:
        await ask(connection, "theirs", RECORD, id=theirs)
        await ask(connection, "mine", RECORD, id=mine)
        await listening(crm, 2)
        assert (await crm.data(lose, id=theirs))["opportunityLose"] == {"errors": []}
        assert (await crm.data(lose, "SALES_REP", id=mine))["opportunityLose"] == {"errors": []}
        message = await heard(connection)
        assert message["id"] == "mine"
        assert message["payload"]["data"]["recordChanged"] == {
            "eventType": "crm.sales.v1.OpportunityLost", "record": {"__typename": "Opportunity", "id": mine},
        }  # fmt: skip
        await send(connection, type="ping")
        assert await heard(connection) == {"type": "pong"}


async def test_a_fact_of_a_noun_that_a_role_may_not_read_does_not_end_its_subscription(crm: Installation) -> None:
    customer = await new_customer(crm)
    async with socket(crm, "MARKETER") as connection:
        await ask(connection, "1", ACTIVITY, id=customer)
        await listening(crm)
        await new_opportunity(crm, customer)
        await crm.data(
            'mutation($id: ID!) { ticketCreate(input: {customerId: $id, subject: "坏", channel: PHONE}) { errors { message } } }',
            id=customer,
        )
        assert await heard(connection) == {"id": "1", "type": "next", "payload": {"data": {"customerActivity": {
            "eventType": "crm.support.v1.TicketCreated", "record": {"__typename": "Ticket"},
        }}}}  # fmt: skip


# ---- tokens


async def short_token(crm: Installation, seconds: float) -> str:
    """A token of the coordinator that ends soon, signed with the organization's own key."""
    signer = Signer()
    await SigningKeys(crm.suite["organization"].database, crm.suite["organization"].vault, signer, timedelta(days=7)).load()
    assert signer.key is not None
    caller = await crm.suite["organization"].authority.verify(crm.tokens["COORDINATOR"])
    return signer.sign(caller, time.time() - LIFETIME_SECONDS + seconds)[0]


async def test_a_subscription_without_a_token_is_refused_at_once(crm: Installation) -> None:
    async with socket(crm, "") as connection:
        await ask(connection, "1", TICKETS)
        message = await heard(connection, 2)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_subscription_with_a_forged_token_is_refused_at_once(crm: Installation) -> None:
    forged = ".".join((*crm.tokens["COORDINATOR"].split(".")[:2], "A" * 86))
    async with socket(crm, forged) as connection:
        await ask(connection, "1", TICKETS)
        message = await heard(connection, 2)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_silent_subscription_ends_within_five_seconds_of_its_session(crm: Installation) -> None:
    await crm.person("signs out", "COORDINATOR", password=True)
    session = await crm.ask("CreateSession", role="", email="signs.out@example.com", password=PASSWORD)
    crm.tokens["gone"] = session.tokens.access_token
    async with socket(crm, "gone") as connection:
        await ask(connection, "1", TICKETS)
        await listening(crm)
        await crm.ask("RevokeSession", role="gone", session_id=session.session.id)
        told = await heard(connection, 5)
        assert told["type"] in ("error", "next")
        assert "UNAUTHENTICATED" in str(told)


async def test_a_subscription_ends_with_its_token(crm: Installation) -> None:
    async with socket(crm, await short_token(crm, 2)) as connection:
        await ask(connection, "1", TICKETS)
        await listening(crm)
        message = await heard(connection, 4)
        assert message["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert await heard(connection, 2) == {"id": "1", "type": "complete"}
    assert listeners(crm) == 0


# ---- SSE


async def events_of(crm: Installation, query: str, count: int, act: Any = None) -> list[str]:
    """The first events of a stream."""
    headers = {**crm.bearer("COORDINATOR"), "Accept": "text/event-stream"}
    found: list[str] = []
    await crm.published()
    async with crm.http.stream("POST", "/graphql", json={"query": query}, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        if act:
            await listening(crm)
            await act()
        text = ""
        async for part in response.aiter_text():
            text += part
            found = [event for event in text.split("\n\n") if event.startswith("event:")]
            if len(found) >= count:
                break
    return found


async def test_facts_come_over_sse(crm: Installation) -> None:
    (event,) = await events_of(crm, TICKETS, 1, lambda: new_ticket(crm, "流"))
    assert event.startswith("event: next\ndata: ")
    assert orjson.loads(event.partition("data: ")[2])["data"]["ticketChanged"]["record"]["subject"] == "流"
    await crm.until(lambda: listeners(crm) == 0, 3)


async def test_a_query_over_sse_is_one_answer_and_an_end(crm: Installation) -> None:
    assert await events_of(crm, "{ __typename }", 2) == ['event: next\ndata: {"data":{"__typename":"Query"}}', "event: complete\ndata:"]


async def test_a_command_is_never_run_by_a_get_even_as_a_stream(crm: Installation) -> None:
    query = 'mutation { customerCreate(input: {kind: COMPANY, name: "经由 GET"}) { customer { id } } }'
    for accept in ("text/event-stream", "application/json", "application/graphql-response+json"):
        response = await crm.http.get("/graphql", params={"query": query}, headers={**crm.bearer("COORDINATOR"), "Accept": accept})
        assert "METHOD_NOT_ALLOWED" in response.text
    assert await crm.data('{ customers(filter: {name: {eq: "经由 GET"}}) { nodes { id } } }') == {"customers": {"nodes": []}}


async def test_a_fact_that_a_relay_publishes_twice_is_told_once(crm: Installation) -> None:
    customer = await new_customer(crm)
    change = (
        "mutation($id: ID!, $v: Long!, $n: String!) { customerUpdate(input: {customerId: $id, version: $v, name: $n}) { errors { code } } }"
    )
    query = "subscription($id: ID!) { recordChanged(id: $id) { eventId record { ... on Customer { name } } } }"
    async with socket(crm) as connection:
        await crm.settled()
        before = listeners(crm)
        await ask(connection, "1", query, id=customer)
        await listening(crm, before + 1)
        await crm.data(change, id=customer, v=1, n="一")
        first = (await heard(connection))["payload"]["data"]["recordChanged"]
        department = crm.suite["customer"]
        row = await department.database["outbox"].find_one({"_id": first["eventId"]})
        assert row is not None
        headers = {key: value for key, value in row["headers"].items() if value}
        await department.nats.publish(row["subject"], row["payload"], headers=headers)
        await crm.data(change, id=customer, v=2, n="二")
        second = (await heard(connection))["payload"]["data"]["recordChanged"]
    assert (first["record"]["name"], second["record"]["name"]) == ("一", "二")
    assert second["eventId"] != first["eventId"]
