"""Access follows work: collaborators and holders of open work see exactly the customer they work for, as long as they do; deputies
see what the absent would, and stand in the audit as deputies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest_asyncio

from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import from_global, to_global
from tests.support.installation import Installation

SEEN = """query($id: ID!) { customer(id: $id) { name
    contacts { nodes { name } } notes { nodes { text } } opportunities { nodes { name } } timeline { nodes { subject } } } }"""
PIPELINE: dict[str, str] = {}
EXPLAIN = """query($id: ID!, $action: String!, $field: String, $person: ID) { accessExplain(id: $id, action: $action, field: $field, personId: $person) {
    allowed fieldAccess reasons { rule role scope absentPersonId text } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reps(crm: Installation) -> list[str]:
    """Two sales reps of different teams; each sees nothing of the other's."""
    found = [await crm.person("holder", "SALES_REP"), await crm.person("guest", "SALES_REP", unit="other")]
    for name in ("organization", "customer", "sales", "marketing", "support"):
        await crm.until(lambda name=name: set(found) <= set(crm.suite[name].authority.directory.members), 5)  # type: ignore[misc]
    made = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    PIPELINE["pipeline_id"] = made.pipeline.id
    return found


async def customer_of(crm: Installation, role: str) -> str:
    """A customer of a rep, with a contact, a note and an opportunity."""
    made = (await crm.ask("CreateCustomer", role=role, name=f"合作 {new_id()}", kind=1)).customer
    await crm.ask("CreateContact", role=role, customer_id=made.id, name="联系人")
    await crm.ask("CreateNote", role=role, customer_id=made.id, text="记录")
    await crm.ask("CreateOpportunity", role=role, customer_id=made.id, name="商机", **PIPELINE)
    await crm.settled()
    return str(made.id)


async def sees(crm: Installation, role: str, customer: str) -> bool:
    found = (await crm.data(SEEN, role, id=to_global("Customer", customer)))["customer"]
    if found is None:
        return False
    return all(found[name]["nodes"] for name in ("contacts", "notes", "opportunities", "timeline"))


async def test_a_collaborator_sees_the_customer_and_what_hangs_on_it_until_taken_off(crm: Installation, reps: list[str]) -> None:
    customer, other = await customer_of(crm, "holder"), await customer_of(crm, "holder")
    assert not await sees(crm, "guest", customer)
    await crm.ask(
        "UpdateCustomer",
        role="holder",
        customer_id=customer,
        version=1,
        update_mask={"paths": ["collaborator_ids"]},
        collaborator_ids=[reps[1]],
    )
    await crm.until(lambda: sees(crm, "guest", customer), 5)
    assert not await sees(crm, "guest", other)
    await crm.ask("CreateNote", role="guest", customer_id=customer, text="von Gast")
    assert await refusal(crm.ask("ArchiveCustomer", role="guest", customer_id=customer)) == "NOT_ALLOWED"
    await crm.ask("UpdateCustomer", role="holder", customer_id=customer, version=2, update_mask={"paths": ["collaborator_ids"]})
    await crm.until(lambda: unseen(crm, "guest", customer), 5)


async def unseen(crm: Installation, role: str, customer: str) -> bool:
    return (await crm.data(SEEN, role, id=to_global("Customer", customer)))["customer"] is None


async def refusal(action: Any) -> str:
    try:
        await action
    except CrmError as error:
        return error.code
    return ""


async def test_the_holder_of_an_open_opportunity_sees_the_customer_until_it_closes(crm: Installation, reps: list[str]) -> None:
    customer = await customer_of(crm, "holder")
    made = await crm.ask(
        "CreateOpportunity",
        role="COORDINATOR",
        customer_id=customer,
        name="为客人",
        owner_id=reps[1],
        **PIPELINE,
    )
    await crm.until(lambda: sees(crm, "guest", customer), 5)
    asked = await crm.data(EXPLAIN, "guest", id=to_global("Customer", customer), action="read")
    reason = asked["accessExplain"]["reasons"][0]
    assert (asked["accessExplain"]["allowed"], reason["rule"], reason["role"], reason["scope"]) == (
        True,
        "COLLABORATION",
        "SALES_REP",
        "OWN",
    )
    await crm.ask("LoseOpportunity", role="guest", opportunity_id=made.opportunity.id, reason="zu teuer")
    await crm.until(lambda: unseen(crm, "guest", customer), 5)


async def test_work_that_moves_to_another_person_takes_the_access_along(crm: Installation, reps: list[str]) -> None:
    customer = await customer_of(crm, "holder")
    ticket = await crm.ask("CreateTicket", role="COORDINATOR", customer_id=customer, subject="坏了", channel=1, owner_id=reps[1])
    await crm.until(lambda: sees(crm, "guest", customer), 5)
    await crm.ask("AssignTicket", role="COORDINATOR", ticket_id=ticket.ticket.id, owner_id=reps[0])
    await crm.until(lambda: unseen(crm, "guest", customer), 5)


async def test_a_deputy_acts_in_the_reach_of_the_absent_and_is_named(crm: Installation, reps: list[str]) -> None:
    customer = await customer_of(crm, "holder")
    mutation = """mutation($input: PersonSetAbsenceInput!) { personSetAbsence(input: $input) { person { deputyId } errors { code path message } } }"""
    me, deputy = to_global("Person", reps[0]), to_global("Person", reps[1])
    wrong = await crm.data(mutation, "holder", input={"personId": me, "deputyId": me})
    assert wrong["personSetAbsence"]["errors"][0]["path"] == ["input", "deputyId"]
    foreign = await crm.data(mutation, "guest", input={"personId": me, "deputyId": deputy})
    assert foreign["personSetAbsence"]["errors"][0]["code"] == "NOT_ALLOWED"
    done = await crm.data(mutation, "holder", input={"personId": me, "deputyId": deputy})
    assert done["personSetAbsence"]["errors"] == []
    await crm.until(lambda: sees(crm, "guest", customer), 5)
    await crm.ask("UpdateCustomer", role="guest", customer_id=customer, version=1, update_mask={"paths": ["industry"]}, industry="代理")
    history = "query($id: ID!) { recordHistory(id: $id, first: 1) { nodes { actorId deputyForId action } } }"
    entry = (await crm.data(history, "holder", id=to_global("Customer", customer)))["recordHistory"]["nodes"][0]
    assert entry == {"actorId": deputy, "deputyForId": me, "action": "CustomerUpdated"}
    why = (await crm.data(EXPLAIN, "guest", id=to_global("Customer", customer), action="update"))["accessExplain"]["reasons"][0]
    assert (why["rule"], why["absentPersonId"]) == ("DEPUTY", reps[0])
    assert await refusal(crm.ask("SetPassword", role="guest", person_id=reps[0], password="four other words")) == "NOT_ALLOWED"
    back = await crm.data(mutation, "holder", input={"personId": me})
    assert back["personSetAbsence"] == {"person": {"deputyId": None}, "errors": []}
    await crm.until(lambda: unseen(crm, "guest", customer), 5)


async def test_an_absence_that_is_over_opens_nothing(crm: Installation, reps: list[str]) -> None:
    customer = await customer_of(crm, "holder")
    await crm.ask("SetAbsence", role="holder", person_id=reps[0], deputy_id=reps[1], absence_end_time=now() + timedelta(seconds=4))
    await crm.until(lambda: sees(crm, "guest", customer), 4)
    await crm.until(lambda: unseen(crm, "guest", customer), 8)


async def test_why_not_is_told_without_telling_whether_there_is_such_a_record(crm: Installation, reps: list[str]) -> None:
    customer = await customer_of(crm, "holder")
    ids = (to_global("Customer", customer), to_global("Customer", new_id()))
    answers = [(await crm.data(EXPLAIN, "guest", id=one, action="read"))["accessExplain"] for one in ids]
    assert answers[0] == answers[1]
    assert answers[0]["allowed"] is False
    assert answers[0]["reasons"][0]["rule"] == "NONE"


async def test_an_administrator_asks_for_somebody_else_and_nobody_else_does(crm: Installation, reps: list[str]) -> None:
    customer = to_global("Customer", await customer_of(crm, "holder"))
    guest, holder = to_global("Person", reps[1]), to_global("Person", reps[0])
    found = [
        (await crm.data(EXPLAIN, "ADMINISTRATOR", id=customer, action="read", person=one))["accessExplain"]["allowed"]
        for one in (holder, guest)
    ]
    assert found == [True, False]
    body = await crm.graph(EXPLAIN, "guest", id=customer, action="read", person=holder)
    assert body["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    field = (await crm.data(EXPLAIN, "holder", id=customer, action="update", field="phone"))["accessExplain"]
    assert (field["allowed"], field["fieldAccess"]) == (True, "WRITE")
    for wrong in ({"action": "read", "field": "nonsense"}, {"action": "READ"}):
        assert (await crm.graph(EXPLAIN, "holder", id=customer, **wrong))["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"
    assert from_global(customer)[0] == "Customer"


async def test_a_history_is_for_those_who_see_the_record(crm: Installation, reps: list[str]) -> None:
    customer = to_global("Customer", await customer_of(crm, "holder"))
    query = "query($id: ID!) { recordHistory(id: $id) { nodes { action } } }"
    assert (await crm.data(query, "holder", id=customer))["recordHistory"]["nodes"] == [{"action": "CustomerCreated"}]
    codes = [
        (await crm.graph(query, role, id=one))["errors"][0]["extensions"]["code"]
        for role, one in (("guest", customer), ("guest", to_global("Customer", new_id())))
    ]
    assert codes == ["NOT_FOUND", "NOT_FOUND"]
