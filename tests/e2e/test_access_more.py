"""Hunt: imports of people, replies of field engineers, collaborators by themselves, losing skew, segments."""

from __future__ import annotations

import pytest

from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import from_global, to_global
from services.customer.accesses.store import Accesses
from tests.e2e.test_access_roles import departments, holder, role
from tests.e2e.test_access_works import access, work
from tests.e2e.world import message
from tests.support.installation import Installation


async def code(request: object) -> str:
    try:
        await request  # type: ignore[misc]
    except CrmError as error:
        return f"{error.code}: {error.message}"
    return ""


async def test_import_sets_a_deputy(crm: Installation) -> None:
    found = await role(crm, f"入 {new_id()}", [("people", "read", "ALL"), ("people", "import", "ALL"), ("departments", "read", "ALL")], [])
    me = await holder(crm, "importer", found["id"])
    row = {
        "source_key": f"v{new_id()}",
        "name": "v",
        "email": f"{new_id()}@example.com",
        "roles": [5],
        "home_department_id": crm.units["sales"],
        "home_team_id": crm.units["sales-team"],
    }
    await crm.ask("BatchUpsertPeople", people=[message("BatchUpsertPeople", **row)])
    out = await crm.ask("BatchUpsertPeople", role="importer", people=[message("BatchUpsertPeople", **row, deputy_id=me)])
    victim = await crm.suite["organization"].database["people"].find_one({"source_key": row["source_key"]})
    assert victim and victim.get("deputy_id") != me, out
    # and a deputy of oneself or of nobody


async def test_field_engineer_answers_own_ticket(crm: Installation) -> None:
    await crm.person("engineer", "FIELD_ENGINEER")
    await crm.until(lambda: all(crm.people["engineer"] in d.authority.directory.members for _, d in departments(crm)), 5)
    ticket = (await crm.ask("CreateTicket", role="COORDINATOR", subject="s", channel=1, owner_id=crm.people["engineer"])).ticket
    got = await code(crm.ask("CreateTicketReply", role="engineer", ticket_id=ticket.id, text="x", author=2))
    await crm.ask("CreateTicketReply", role="COORDINATOR", ticket_id=ticket.id, text="x", author=2)
    seen = await crm.ask("BatchListTicketReplies", role="engineer", ticket_ids=[ticket.id])
    assert (got, len(seen.groups[0].ticket_replies)) == ("", 2)


async def test_field_engineer_loses_the_conversation_with_the_end(crm: Installation) -> None:
    await crm.person("engineer2", "FIELD_ENGINEER")
    await crm.until(lambda: all(crm.people["engineer2"] in d.authority.directory.members for _, d in departments(crm)), 5)
    customer = (await crm.ask("CreateCustomer", name="工", kind=1)).customer.id
    ticket = (
        await crm.ask("CreateTicket", role="COORDINATOR", customer_id=customer, subject="s", channel=1, owner_id=crm.people["engineer2"])
    ).ticket
    await crm.settled()
    import asyncio

    await asyncio.sleep(1.2)
    assert not await code(crm.ask("CreateTicketReply", role="engineer2", ticket_id=ticket.id, text="x", author=2))
    got = await code(crm.ask("ResolveTicket", role="engineer2", ticket_id=ticket.id, resolution="ok"))
    await crm.settled()
    await asyncio.sleep(1.2)
    seen = await crm.ask("BatchListTicketReplies", role="engineer2", ticket_ids=[ticket.id])
    assert (got, len(seen.groups[0].ticket_replies)) == ("", 1)


async def test_guest_makes_the_access_last(crm: Installation) -> None:
    """Somebody who only holds work names themselves collaborator; the access outlives the work."""
    me = crm.people["SALES_REP"]
    customer = (await crm.ask("CreateCustomer", name="客", kind=1, owner_id=crm.people["SALES_LEAD"])).customer.id
    await crm.ask("CreateTicket", role="COORDINATOR", customer_id=customer, subject="s", channel=1, owner_id=me)
    await crm.settled()
    import asyncio

    await asyncio.sleep(1.2)
    got = await code(
        crm.ask(
            "UpdateCustomer",
            role="SALES_REP",
            customer_id=customer,
            version=1,
            update_mask={"paths": ["collaborator_ids"]},
            collaborator_ids=[me],
        )
    )
    assert got


async def test_begin_and_end_at_once_loses_nothing(crm: Installation) -> None:
    department, accesses, customer = crm.suite["customer"], Accesses(), new_id()
    begun = department.own_call("hunt")
    await accesses.move(begun, {"w1" + customer: work("w1" + customer, customer, "p", "tickets")})
    await begun.changes.commit()
    one, two = department.own_call("sales"), department.own_call("support")
    await accesses.move(one, {"w2" + customer: work("w2" + customer, customer, "p", "orders")})  # «p» has access: nothing to write
    await accesses.move(two, {"w1" + customer: None})
    await one.changes.commit()
    with pytest.raises(Conflict):  # the other moved on meanwhile
        await two.changes.commit()
    again = department.own_call("again")  # as the reaction does
    await accesses.move(again, {"w1" + customer: None})
    await again.changes.commit()
    assert await access(crm, customer) == ["p"]


async def test_segment_of_somebody_else_tells(crm: Installation) -> None:
    tax = f"SEG{new_id()[:8].upper()}"
    customer = (await crm.ask("CreateCustomer", role="COORDINATOR", name="段", kind=1, industry=tax)).customer.id
    query = f'mutation {{ segmentCreate(input: {{name: "t", criteria: {{industry: {{eq: "{tax}"}}}}}}) {{ segment {{ id }} errors {{ message }} }} }}'
    made = (await crm.data(query, "COORDINATOR"))["segmentCreate"]["segment"]["id"]
    await crm.settled()
    found = await role(
        crm, f"段 {new_id()}", [("customers", "read", "ALL"), ("segments", "read", "ALL")], [("customers", "industry", "HIDDEN")]
    )
    await holder(crm, "segmented", found["id"])
    got = await crm.graph(
        "query($id: ID!) { customer(id: $id) { industry } segment(id: $id2) { criteria } }".replace("$id: ID!", "$id: ID!, $id2: ID!"),
        "segmented",
        id=to_global("Customer", customer),
        id2=made,
    )
    rows = await crm.ask("BatchListSegmentMembers", role="segmented", segment_ids=[from_global(made)[1]])
    assert tax not in str(got) and customer not in str(rows), (got, rows)


async def test_reply_of_a_deputy_names_the_absent_in_the_ticket(crm: Installation) -> None:
    acts = [
        ("tickets", "read", "ALL"),
        ("tickets", "update", "ALL"),
        ("ticket_replies", "create", "ALL"),
        ("ticket_replies", "read", "ALL"),
    ]
    absent = await holder(crm, "away2", (await role(crm, f"票 {new_id()}", acts, []))["id"])
    deputy = await holder(crm, "standin2", (await role(crm, f"票 {new_id()}", [("people", "read", "ALL")], []))["id"])
    await crm.ask("SetAbsence", person_id=absent, deputy_id=deputy)
    await crm.until(lambda: all(d.authority.directory.represented(deputy) for _, d in departments(crm)), 6)
    ticket = (await crm.ask("CreateTicket", role="COORDINATOR", subject="s", channel=1)).ticket
    await crm.ask("CreateTicketReply", role="standin2", ticket_id=ticket.id, text="x", author=2)
    rows = await crm.suite["support"].database["audit_entries"].find({"actor_id": deputy}).to_list()
    assert {(row["resource"], row["deputy_for"]) for row in rows} == {("tickets", absent), ("ticket_replies", absent)}
