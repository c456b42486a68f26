"""A department that is away takes only its own fields with it, within its deadline, and comes back without a restart."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from chassis.kernel.clock import to_milliseconds
from chassis.rpc.channels import Channel
from tests.support.installation import Installation

FIELDS = {
    "organization": ("owner",), "sales": ("opportunities", "openOpportunities", "orders", "orderTotals"), "marketing": ("messages",),
    "support": ("tickets",), "customer": ("contacts", "notes", "timeline", "segments", "children"),
}  # fmt: skip
QUERY = """query($id: ID!) { customer(id: $id) { name owner { name } opportunities { nodes { name } } openOpportunities { nodes { name } }
    orders { nodes { number } } orderTotals { saleCount } messages { nodes { state } } tickets { nodes { subject } }
    contacts { nodes { name } } notes { nodes { text } } timeline { nodes { id } } segments { nodes { enterTime } }
    children { nodes { name } } }
    viewer { name } products { nodes { name } } campaigns { nodes { name } } ticketList: tickets { nodes { subject } } }"""
ROOTS = {"organization": ["viewer"], "sales": ["products"], "marketing": ["campaigns"], "support": ["ticketList"], "customer": ["customer"]}
SECONDS = 0.3 * 2 + 0.7  # a root and a level below it, each with its deadline of 300 ms; the rest is for a busy machine


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def customer(file_crm: Installation) -> str:
    """A customer with something in every department that people can give it at once."""
    made = await file_crm.data("""mutation { customerCreate(input: {kind: COMPANY, name: "远景"}) { customer { id } } }""")
    identity = str(made["customerCreate"]["customer"]["id"])
    await file_crm.data(
        """mutation($id: ID!) { noteCreate(input: {customerId: $id, text: "见过"}) { errors { message } }
             opportunityCreate(input: {customerId: $id, name: "年框"}) { errors { message } }
             ticketCreate(input: {customerId: $id, subject: "坏了", channel: PHONE}) { errors { message } } }""",
        id=identity,
    )
    await file_crm.settled()
    return identity


async def ask(file_crm: Installation, customer: str) -> tuple[dict[str, Any], float]:
    """The body and the seconds that it took."""
    started = time.perf_counter()
    body = await file_crm.graph(QUERY, id=customer)
    return body, time.perf_counter() - started


async def answered(file_crm: Installation, customer: str) -> dict[str, Any]:
    """The body without errors, asked until connections and plans are warm: within 300 ms a cold installation may be late."""
    found: dict[str, Any] = {}

    async def whole() -> bool:
        nonlocal found
        found, _ = await ask(file_crm, customer)
        return "errors" not in found

    await file_crm.until(whole, 5)
    return found


def expected_paths(department: str) -> list[list[str]]:
    """Where errors must stand when a department is away."""
    if department == "customer":
        return [["customer"]]
    return sorted([*([name] for name in ROOTS[department]), *(["customer", name] for name in FIELDS[department])])


def assert_only_its_fields_are_null(whole: dict[str, Any], body: dict[str, Any], department: str, code: str) -> None:
    errors = body["errors"]
    assert sorted(error["path"] for error in errors) == expected_paths(department)
    assert {(error["extensions"]["code"], error["extensions"]["department"]) for error in errors} == {(code, department)}
    assert all(error["extensions"]["retryable"] for error in errors)
    assert all(department in error["message"] for error in errors)
    awaited: dict[str, Any] = dict(whole["data"]) | dict.fromkeys(ROOTS[department])
    if department != "customer":
        awaited["customer"] = {**whole["data"]["customer"], **dict.fromkeys(FIELDS[department])}
    assert body["data"] == awaited


async def standings(file_crm: Installation) -> dict[str, tuple[str, datetime]]:
    """State and since when, by department, as whoever is not signed in is told too."""
    found = (await file_crm.data("{ suite { department state since } }", ""))["suite"]
    return {one["department"]: (one["state"], datetime.fromisoformat(one["since"])) for one in found}


async def pass_on(port: int, flowing: asyncio.Event, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    """A line to a department that stays open but carries nothing while it is not flowing."""
    far, forth = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await flowing.wait()
            target.write(data)
        target.close()

    await asyncio.gather(carry(near, forth), carry(far, back), return_exceptions=True)


@pytest.mark.parametrize("department", ["sales", "marketing", "support", "organization", "customer"])
async def test_a_stopped_department_takes_only_its_fields_and_comes_back(file_crm: Installation, customer: str, department: str) -> None:
    whole = await answered(file_crm, customer)
    assert {state for state, _ in (await standings(file_crm)).values()} == {"UP"}
    stopped = to_milliseconds(datetime.now(UTC))
    await file_crm.suite.stop(department)
    try:
        body, seconds = await ask(file_crm, customer)
        assert_only_its_fields_are_null(whole, body, department, "UNAVAILABLE")
        assert seconds < SECONDS
        calls = file_crm.calls()
        found = await standings(file_crm)
        assert {name for name, (state, _) in found.items() if state == "AWAY"} == {department}
        assert stopped <= found[department][1] <= datetime.now(UTC)
        assert await standings(file_crm) == found
        assert file_crm.calls() == calls
    finally:
        await file_crm.suite.start([department])
    ready = asyncio.get_running_loop().time()

    async def answers_again() -> bool:
        return (await ask(file_crm, customer))[0] == whole

    await file_crm.until(answers_again, 10)
    again = (await standings(file_crm))[department]
    assert again[0] == "UP"
    assert again[1] > found[department][1]
    assert asyncio.get_running_loop().time() - ready < 5


@pytest.mark.parametrize("department", ["sales", "organization", "customer"])
async def test_a_department_that_says_nothing_is_given_up_at_its_deadline(file_crm: Installation, customer: str, department: str) -> None:
    whole = await answered(file_crm, customer)
    clients = file_crm.suite.running["gateway"].clients
    flowing = asyncio.Event()
    flowing.set()
    line = await asyncio.start_server(partial(pass_on, file_crm.plan.grpc[department], flowing), "127.0.0.1", 0)
    port = line.sockets[0].getsockname()[1]
    before, clients.channels[department] = clients.channels[department], Channel(department, f"127.0.0.1:{port}")
    assert await answered(file_crm, customer) == whole
    flowing.clear()
    try:
        body, seconds = await ask(file_crm, customer)
    finally:
        await clients.channels[department].close()
        clients.channels[department] = before
        flowing.set()
        line.close()
    assert_only_its_fields_are_null(whole, body, department, "DEADLINE_EXCEEDED")
    assert 0.25 < seconds < SECONDS


async def test_a_command_to_a_stopped_department_is_a_retryable_refusal(file_crm: Installation, customer: str) -> None:
    await file_crm.suite.stop("support")
    try:
        body = await file_crm.data(
            """mutation($id: ID!) { ticketCreate(input: {customerId: $id, subject: "坏了", channel: PHONE}) {
                 ticket { id } errors { code message path retryable } } }""",
            id=customer,
        )
    finally:
        await file_crm.suite.start(["support"])
    assert body["ticketCreate"] == {
        "ticket": None,
        "errors": [
            {
                "code": "UNAVAILABLE", "message": "the support department cannot be reached; try again", "path": ["input"],
                "retryable": True,
            }
        ],
    }  # fmt: skip
