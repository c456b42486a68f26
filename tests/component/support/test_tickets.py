"""Tickets and their conversations over gRPC: states with time, least loaded assignment, replies, scopes, imports."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from gateway.graph.contract import to_global
from services.support.tickets import actions
from services.support.tickets.store import LOADS, Tickets
from tests.support.checks import equals, mask, refused, trace
from tests.support.installation import Installation

TICKETS, REPLIES = "support.tickets", "support.ticket_replies"


async def make(crm: Installation, **more: Any) -> Any:
    return (await crm.ask("CreateTicket", **{"role": "SUPPORT_AGENT", "subject": "坏了", "channel": 1, **more})).ticket


async def known(crm: Installation, *people: str) -> None:
    await crm.until(lambda: all(person in crm.suite["support"].authority.directory.members for person in people))


async def test_a_ticket_goes_through_its_states_with_the_time_in_each(crm: Installation) -> None:
    made = await make(crm, owner_id=crm.people["SUPPORT_AGENT"])
    assert (made.state, made.kind, made.priority, made.number[:2], made.reply_count) == (1, 1, 2, "T-", 0)
    key = {"ticket_id": made.id}
    for action, code in (
        (crm.ask("CloseTicket", **key), "TICKET_STATE_NOT_ALLOWED"),
        (crm.ask("ReopenTicket", **key, reason="r"), "TICKET_STATE_NOT_ALLOWED"),
        (crm.ask("ResolveTicket", **key, resolution=""), "INVALID_ARGUMENT"),
        (crm.ask("WaitTicket", **key, version=5), "VERSION_CONFLICT"),
        (crm.ask("WaitTicket", role="SALES_REP", **key), "NOT_ALLOWED"),
        (crm.ask("AssignTicket", **key, owner_id="nobody"), "REFERENCE_NOT_FOUND"),
        (crm.ask("UpdateTicket", **key, version=1, update_mask=mask("customer_id"), customer_id="nobody"), "REFERENCE_NOT_FOUND"),
    ):
        await refused(crm, TICKETS, action, code, record_id=made.id)
    await refused(crm, TICKETS, crm.ask("GetTicket", role="ADMINISTRATOR", **key), "NOT_ALLOWED")
    await crm.ask("WaitTicket", role="SUPPORT_AGENT", **key)
    resolved = (await crm.ask("ResolveTicket", role="SUPPORT_AGENT", **key, resolution="restarted")).ticket
    assert resolved.HasField("resolve_time")
    reopened = (await crm.ask("ReopenTicket", role="SUPPORT_AGENT", **key, reason="again broken")).ticket
    assert not reopened.HasField("resolve_time")
    await crm.ask("ResolveTicket", **key, resolution="replaced")
    closed = (await crm.ask("CloseTicket", role="SUPPORT_AGENT", **key)).ticket
    assert [stay.state for stay in closed.state_history] == [1, 3, 4, 2, 4, 5]
    stays = list(closed.state_history)
    assert all(before.leave_time == after.enter_time for before, after in itertools.pairwise(stays))
    assert not stays[-1].HasField("leave_time")
    assert stays[0].enter_time == closed.create_time
    changed = await crm.ask("UpdateTicket", **key, version=closed.version, update_mask=mask("priority"), priority=4)
    assert changed.ticket.priority == 4
    _, facts = await trace(crm, *TICKETS.split("."), made.id)
    assert facts == changed.ticket.version == 7


async def test_the_reason_of_a_reopening_stands_in_the_audit(crm: Installation) -> None:
    made = await make(crm, owner_id=crm.people["SUPPORT_AGENT"])
    await crm.ask("ResolveTicket", ticket_id=made.id, resolution="x")
    await crm.ask("ReopenTicket", ticket_id=made.id, reason="it smokes again")
    rows = await crm.suite["support"].database["audit_entries"].find({"record_id": made.id}).to_list()
    assert "it smokes again" in str(rows)


async def test_sixty_tickets_at_once_are_shared_evenly_and_all_taken_in(crm: Installation) -> None:
    people = [await crm.person(f"many {number}", "SUPPORT_AGENT", skills=("many",)) for number in range(4)]
    await known(crm, *people)
    made = await asyncio.gather(*[make(crm, skill="many") for _ in range(60)], return_exceptions=True)
    assert [str(one) for one in made if isinstance(one, BaseException)] == []
    assert [sum(one.owner_id == person for one in made) for person in people] == [15] * 4  # type: ignore[union-attr]


async def test_sixty_tickets_at_once_for_the_only_one_able_are_each_taken_in_once(
    crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await crm.person("only agent", "SUPPORT_AGENT", skills=("only",))
    await known(crm, person)
    tries, chosen = 0, actions.choose

    async def counted(tickets: Tickets, call: Call, skill: str | None) -> str | None:
        nonlocal tries
        tries += skill == "only"
        return await chosen(tickets, call, skill)

    monkeypatch.setattr(actions, "choose", counted)
    asked = {"role": "COORDINATOR", "subject": "坏了", "channel": 1, "skill": "only"}
    await crm.ask("CreateTicket", **asked)
    made = await asyncio.gather(*[crm.ask("CreateTicket", **asked) for _ in range(60)])
    assert {one.ticket.owner_id for one in made} == {person}
    load = await crm.suite["support"].database[LOADS].find_one({"_id": person})
    assert load and load["open"] == 61
    assert tries == 61  # nobody's choice was in the way of another one


async def test_twenty_tickets_at_once_are_shared_evenly(crm: Installation) -> None:
    people = [await crm.person(f"even {number}", "SUPPORT_AGENT", skills=("even",)) for number in range(4)]
    await known(crm, *people)
    made = await asyncio.gather(*(make(crm, skill="even") for _ in range(20)), return_exceptions=True)
    assert [str(one) for one in made if isinstance(one, BaseException)] == []
    counts = [sum(one.owner_id == person for one in made) for person in people]
    assert sum(counts) == 20
    assert max(counts) - min(counts) <= 1
    rows = await crm.suite["support"].database["agent_loads"].find({"_id": {"$in": people}}).to_list()
    assert {row["_id"]: row["open"] for row in rows} == dict(zip(people, counts, strict=True))


async def test_resolving_frees_and_reopening_loads_again(crm: Installation) -> None:
    person, other = [await crm.person(f"load {number}", "SUPPORT_AGENT", skills=("load",)) for number in range(2)]
    await known(crm, person, other)

    async def loads() -> tuple[int, int]:
        rows = await crm.suite["support"].database["agent_loads"].find({"_id": {"$in": [person, other]}}).to_list()
        found = {row["_id"]: row["open"] for row in rows}
        return found.get(person, 0), found.get(other, 0)

    made = await make(crm, owner_id=person, skill="load")
    assert await loads() == (1, 0)
    await crm.ask("ResolveTicket", ticket_id=made.id, resolution="r")
    assert await loads() == (0, 0)
    await crm.ask("CreateTicketReply", ticket_id=made.id, author=1, text="still broken")
    assert await loads() == (1, 0)
    assigned = await crm.ask("AutoAssignTicket", role="SUPPORT_AGENT", ticket_id=made.id)
    assert (assigned.ticket.owner_id, await loads()) == (other, (0, 1))
    await crm.ask("AssignTicket", ticket_id=made.id, owner_id=person)
    assert await loads() == (1, 0)


async def test_a_ticket_goes_to_the_able_one_in_another_department(crm: Installation) -> None:
    person = await crm.person("far agent", "SUPPORT_AGENT", unit="other", skills=("far",))
    await known(crm, person)
    assert (await make(crm, skill="far")).owner_id == person


async def test_without_anybody_able_it_stays_with_who_took_it_in(crm: Installation) -> None:
    made = await make(crm, skill="nobody has this")
    assert made.owner_id == crm.people["SUPPORT_AGENT"]
    query = "query($id: ID!) { recordHistory(id: $id) { nodes { reason } } }"
    (told,) = (await crm.data(query, id=to_global("Ticket", made.id)))["recordHistory"]["nodes"]
    assert "技能「nobody has this」" in told["reason"]
    assert (await make(crm, owner_id=made.owner_id, skill="nobody has this")).owner_id == made.owner_id
    await refused(crm, TICKETS, crm.ask("AutoAssignTicket", ticket_id=made.id), "NOBODY_WITH_SKILL", field="skill", record_id=made.id)
    gone = await crm.person("gone agent", "SUPPORT_AGENT", skills=("gone",))
    await known(crm, gone)
    await crm.ask("DeactivatePerson", person_id=gone)
    await crm.until(lambda: not crm.suite["support"].authority.directory.members[gone].active)
    assert (await make(crm, skill="gone")).owner_id == crm.people["SUPPORT_AGENT"]


async def test_a_conversation_moves_the_ticket(crm: Installation) -> None:
    customer = (await crm.ask("CreateCustomer", kind=1, name="谈话")).customer
    made = await make(crm, customer_id=customer.id, owner_id=crm.people["SUPPORT_AGENT"])
    say = {"ticket_id": made.id}
    first = (await crm.ask("CreateTicketReply", role="SUPPORT_AGENT", **say, author=2, text="你好")).ticket_reply
    assert (first.customer_id, first.subject, first.internal) == (customer.id, "坏了", False)
    found = (await crm.ask("GetTicket", ticket_id=made.id)).ticket
    assert (found.state, found.reply_count, found.HasField("first_reply_time")) == (2, 1, True)
    await crm.ask("CreateTicketReply", **say, author=2, text="内部", internal=True)
    await asyncio.gather(*(crm.ask("CreateTicketReply", **say, author=1, text=f"{number}") for number in range(5)))
    found = (await crm.ask("GetTicket", ticket_id=made.id)).ticket
    assert (found.state, found.reply_count) == (2, 7)
    replies = (await crm.ask("BatchListTicketReplies", role="COORDINATOR", ticket_ids=[made.id], page_size=100)).groups[0].ticket_replies
    assert len(replies) == 7
    assert (await crm.ask("GetTicketReply", ticket_reply_id=first.id)).ticket_reply == first
    assert list((await crm.ask("BatchGetTicketReplies", ids=[first.id, "x"])).missing_ids) == ["x"]
    await crm.ask("ResolveTicket", **say, resolution="r")
    await crm.ask("CloseTicket", **say)
    for fields, code in (
        ({**say, "author": 1, "text": "x"}, "TICKET_STATE_NOT_ALLOWED"), ({**say, "author": 0, "text": "x"}, "INVALID_ARGUMENT"),
        ({**say, "author": 1, "text": ""}, "INVALID_ARGUMENT"), ({"ticket_id": "nothing", "author": 1, "text": "x"}, "NOT_FOUND"),
        ({**say, "author": 1, "text": "x", "role": "SALES_REP"}, "NOT_ALLOWED"),
    ):  # fmt: skip
        before = await trace(crm, *REPLIES.split("."))
        await refused(crm, TICKETS, crm.ask("CreateTicketReply", **fields), code, record_id=made.id)
        assert await trace(crm, *REPLIES.split(".")) == before


async def test_agents_change_the_tickets_of_their_department_only_and_sales_sees_those_of_its_customers(crm: Installation) -> None:
    person = await crm.person("other agent", "SUPPORT_AGENT", unit="other")
    await known(crm, person)
    made = await make(crm, owner_id=crm.people["SUPPORT_AGENT"])
    await refused(crm, TICKETS, crm.ask("GetTicket", role="other agent", ticket_id=made.id), "NOT_FOUND", record_id=made.id)
    await refused(crm, TICKETS, crm.ask("WaitTicket", role="other agent", ticket_id=made.id), "NOT_FOUND", record_id=made.id)
    for role, sees in (("SALES_REP", False), ("MARKETER", True), ("COORDINATOR", True), ("other agent", False)):
        found = await crm.ask("BatchGetTickets", role=role, ids=[made.id])
        assert [one.id for one in found.tickets] == ([made.id] if sees else []), role
        listed = await crm.ask("ListTickets", role=role, page_size=100, order_by=1)
        assert (made.id in {one.id for one in listed.tickets}) == sees
    skill = new_id()
    urgent, low, normal = [await make(crm, priority=one, owner_id=crm.people["SUPPORT_AGENT"], skill=skill) for one in (4, 1, 2)]
    answer = await crm.ask("ListTickets", role="SUPPORT_AGENT", page_size=100, order_by=3, filter=equals("skill", skill))
    assert [one.id for one in answer.tickets] == [urgent.id, normal.id, low.id]


async def test_tickets_that_make_no_sense_are_refused(crm: Installation) -> None:
    for values, code in (
        ({"subject": ""}, "INVALID_ARGUMENT"), ({"channel": 0}, "INVALID_ARGUMENT"), ({"customer_id": "nobody"}, "REFERENCE_NOT_FOUND"),
        ({"contact_id": "nobody"}, "REFERENCE_NOT_FOUND"), ({"order_id": "nothing"}, "REFERENCE_NOT_FOUND"),
        ({"owner_id": "nobody"}, "REFERENCE_NOT_FOUND"), ({"role": "SALES_REP"}, "NOT_ALLOWED"),
    ):  # fmt: skip
        await refused(crm, TICKETS, make(crm, **values), code)


async def test_tickets_and_replies_are_imported_once(crm: Installation) -> None:
    row = {"source_key": "cfpb:1", "subject": "late", "channel": 3, "state": 1, "number": "CFPB-1"}
    rows = [row, {**row, "source_key": "cfpb:2"}, {"source_key": "cfpb:3", "channel": 3}]
    for results in ([1, 4, 4], [3, 4, 4]):
        answer = await crm.ask("BatchUpsertTickets", tickets=rows)
        assert [one.result for one in answer.outcomes] == results
    identity = answer.outcomes[0].id
    reply = {"source_key": "cfpb:r1", "ticket_id": identity, "author": 1, "text": "hello"}
    for results in ([1, 4], [3, 4]):
        answer = await crm.ask(
            "BatchUpsertTicketReplies", ticket_replies=[reply, {**reply, "source_key": "cfpb:r2", "ticket_id": "nothing"}]
        )
        assert [one.result for one in answer.outcomes] == results
    assert [one.result for one in (await crm.ask("BatchUpsertTickets", tickets=[{**row, "state": 4}])).outcomes] == [2]
    found = (await crm.ask("GetTicket", ticket_id=identity)).ticket
    assert found.state == 4
    assert found.state_history[-1].state == 4


async def test_an_imported_history_says_of_each_stay_in_which_state_and_since_when(crm: Installation) -> None:
    row, since = {"subject": "late", "channel": 3, "state": 3}, {"seconds": 1767225600}
    stays: list[dict[str, Any]] = [
        {},
        {"state": 1},
        {"enter_time": since},
        {"state": 0, "enter_time": since},
        {"state": 1, "enter_time": since},
    ]
    rows = [{**row, "source_key": new_id(), "state_history": [stay]} for stay in stays]
    outcomes = (await crm.ask("BatchUpsertTickets", tickets=rows)).outcomes
    assert [(one.error_code, one.error_field) for one in outcomes] == [
        *(("INVALID_ARGUMENT", f"state_history[0].{field}") for field in ("state", "enter_time", "state", "state")), ("", ""),
    ]  # fmt: skip
    assert [stay.state for stay in (await crm.ask("GetTicket", ticket_id=outcomes[-1].id)).ticket.state_history] == [1, 3]
