"""Who is away or gone gets no work that nobody gave them, and leaves none behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.runtime.handover import Strays
from tests.support.checks import mask
from tests.support.installation import Installation


async def known(crm: Installation, condition: Any) -> None:
    """Wait until every department's directory is as it should be."""
    directories = [crm.suite[name].authority for name in ("organization", "customer", "sales", "marketing", "support")]
    await crm.until(lambda: all(condition(one.directory) for one in directories))


async def people(crm: Installation, *keys: str, skill: str = "", role: str = "SUPPORT_AGENT") -> list[str]:
    made = [await crm.person(f"{key} {new_id()[-8:]}", role, skills=(skill,) if skill else ()) for key in keys]
    await known(crm, lambda directory: set(made) <= set(directory.members))
    return made


async def ticket(crm: Installation, **more: Any) -> Any:
    return (await crm.ask("CreateTicket", role="COORDINATOR", subject="坏了", channel=1, **more)).ticket


async def again(crm: Installation, identity: str) -> Any:
    return (await crm.ask("GetTicket", ticket_id=identity)).ticket


async def away(crm: Installation, person: str, deputy: str, **more: Any) -> None:
    await crm.ask("SetAbsence", person_id=person, deputy_id=deputy, **more)
    await known(crm, lambda directory: directory.members[person].deputy_id == deputy)


async def lead(crm: Installation, person: str, unit: str = "sales-team") -> None:
    """Let a person lead a unit; nobody for ""."""
    found = (await crm.ask("GetDepartment", department_id=crm.units[unit])).department
    await crm.ask(
        "UpdateDepartment",
        department_id=found.id,
        version=found.version,
        update_mask=mask("lead_id"),
        **({"lead_id": person} if person else {}),
    )
    await known(crm, lambda directory: directory.leads.get(found.id, "") == person)


async def leave(crm: Installation, person: str, **more: Any) -> Any:
    answer = await crm.ask("DeactivatePerson", person_id=person, **more)
    await known(crm, lambda directory: not directory.members[person].active)
    return answer.person


async def test_new_tickets_pass_by_who_is_away(crm: Installation) -> None:
    skill = f"skill {new_id()}"
    gone, other = await people(crm, "absent", "present", skill=skill)
    await away(crm, gone, other, absence_end_time=now() + timedelta(days=3))
    owners = {(await ticket(crm, skill=skill)).owner_id for _ in range(4)}
    assert owners == {other}
    given = await ticket(crm, skill=skill, owner_id=gone)
    assert given.owner_id == gone, "whoever names somebody is obeyed"
    assert (await crm.ask("AutoAssignTicket", ticket_id=given.id)).ticket.owner_id == other
    await away(crm, other, gone)
    with pytest.raises(CrmError) as refusal:
        await crm.ask("AutoAssignTicket", ticket_id=given.id)
    assert refusal.value.code == "NOBODY_WITH_SKILL"


async def test_an_absence_that_has_not_begun_or_is_over_changes_nothing(crm: Installation) -> None:
    skill = f"skill {new_id()}"
    one, deputy = await people(crm, "soon", "deputy", skill=skill)
    await crm.ask("SetAbsence", person_id=deputy, deputy_id=one)
    await away(crm, one, deputy, absence_start_time=now() + timedelta(days=1))
    assert {(await ticket(crm, skill=skill)).owner_id for _ in range(2)} == {one}


@pytest.mark.parametrize("how", ["left", "away"])
@pytest.mark.parametrize("wakes", ["reply", "reopen", "wait"])
async def test_what_wakes_goes_to_somebody_who_is_there(crm: Installation, how: str, wakes: str) -> None:
    skill = f"skill {new_id()}"
    gone, other = await people(crm, "gone", "there", skill=skill)
    made = await ticket(crm, skill=skill, owner_id=gone)
    if wakes == "wait":
        await crm.ask("WaitTicket", ticket_id=made.id, until_time=now() + timedelta(seconds=2))
    else:
        await crm.ask("ResolveTicket", ticket_id=made.id, resolution="done")
    if how == "away":
        await away(crm, gone, other)
    else:
        await leave(crm, gone, successor_id=other)
        await (
            crm.suite["support"].database["tickets"].update_one({"_id": made.id}, {"$set": {"owner_id": gone}})
        )  # as before there was a rule
    if wakes == "reply":
        await crm.ask("CreateTicketReply", ticket_id=made.id, author=1, text="still broken")
    elif wakes == "reopen":
        await crm.ask("ReopenTicket", ticket_id=made.id, reason="again")

    async def taken() -> bool:
        found = await again(crm, made.id)
        return (found.owner_id, found.state) == (other, 2)

    await crm.until(taken)
    replies = await crm.suite["support"].database["ticket_replies"].find({"ticket_id": made.id}).to_list()
    assert {one["owner_id"] for one in replies} <= {other}, "the conversation goes along"


async def test_without_anybody_with_the_skill_it_goes_to_the_lead_of_the_team(crm: Installation) -> None:
    gone, boss = await people(crm, "leaver", "boss")
    await lead(crm, boss)
    try:
        made = await ticket(crm, skill=f"only {new_id()}", owner_id=gone)
        await crm.ask("ResolveTicket", ticket_id=made.id, resolution="done")
        left = await leave(crm, gone)
        assert left.successor_id == boss, "the answer names who takes over"
        await crm.ask("CreateTicketReply", ticket_id=made.id, author=1, text="still broken")
        assert (await again(crm, made.id)).owner_id == boss
    finally:
        await lead(crm, "")


async def test_leaving_with_open_work_takes_a_successor(crm: Installation) -> None:
    gone, other = await people(crm, "leaver", "successor")
    made = await ticket(crm, owner_id=gone)
    with pytest.raises(CrmError) as refusal:
        await crm.ask("DeactivatePerson", role="ADMINISTRATOR", person_id=gone)
    assert (refusal.value.code, refusal.value.field) == ("OPEN_WORK", "successor_id")
    assert "1 tickets" in refusal.value.message
    assert (await crm.ask("GetPerson", person_id=gone)).person.state == 1
    for wrong, code in ((gone, "INVALID_ARGUMENT"), (new_id(), "REFERENCE_NOT_FOUND")):
        with pytest.raises(CrmError) as refusal:
            await crm.ask("DeactivatePerson", role="ADMINISTRATOR", person_id=gone, successor_id=wrong)
        assert (refusal.value.code, refusal.value.field) == (code, "successor_id")
    await leave(crm, gone, role="ADMINISTRATOR", successor_id=other)

    async def moved() -> bool:
        return (await again(crm, made.id)).owner_id == other

    await crm.until(moved)
    assert (await crm.ask("ReactivatePerson", person_id=gone)).person.successor_id == ""


async def test_the_manager_takes_over_and_one_who_is_away_hands_on(crm: Installation) -> None:
    gone, boss, deputy = await people(crm, "leaver", "manager", "deputy")
    version = (await crm.ask("GetPerson", person_id=gone)).person.version
    await crm.ask("UpdatePerson", person_id=gone, version=version, update_mask=mask("manager_id"), manager_id=boss)
    await away(crm, boss, deputy)
    await known(crm, lambda directory: directory.members[gone].manager_id == boss)
    made = await ticket(crm, owner_id=gone)
    assert (await leave(crm, gone)).successor_id == deputy

    async def moved() -> bool:
        return (await again(crm, made.id)).owner_id == deputy

    await crm.until(moved)


async def test_a_successor_who_left_meanwhile_hands_on(crm: Installation) -> None:
    first, second, third = await people(crm, "first", "second", "third")
    made = await ticket(crm, owner_id=first)
    await asyncio.gather(
        crm.ask("DeactivatePerson", person_id=first, successor_id=second), crm.ask("DeactivatePerson", person_id=second, successor_id=third)
    )

    async def moved() -> bool:
        return (await again(crm, made.id)).owner_id == third

    await crm.until(moved, 30)


async def test_what_reached_somebody_at_the_moment_they_left_finds_the_successor(crm: Installation) -> None:
    gone, other = await people(crm, "leaver", "successor", role="SALES_REP")
    customer = (await crm.ask("CreateCustomer", kind=1, name="迟到", owner_id=gone)).customer.id
    pipeline = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    deal = (
        await crm.ask("CreateOpportunity", customer_id=customer, name="商机", pipeline_id=pipeline.pipeline.id, owner_id=other)
    ).opportunity
    made = await ticket(crm, customer_id=customer, owner_id=other)
    await leave(crm, gone, successor_id=other)
    await crm.settled()
    late = {"$set": {"owner_id": gone}}  # what a replica wrote that had not heard of it
    await crm.suite["sales"].database["opportunities"].update_one({"_id": deal.id}, late)
    await crm.suite["support"].database["tickets"].update_one({"_id": made.id}, late)
    for name, resource in (("sales", "opportunities"), ("support", "tickets")):
        department = crm.suite[name]
        store = next(one for one in department.stores if one.resource == resource)
        await Strays([store], department.own_call).look()
    found = (await crm.ask("GetOpportunity", opportunity_id=deal.id)).opportunity
    assert (found.owner_id, (await again(crm, made.id)).owner_id) == (other, other)


async def test_tickets_that_come_in_while_an_agent_leaves_end_with_the_others(crm: Installation) -> None:
    skill = f"skill {new_id()}"
    gone, other = await people(crm, "leaver", "other", skill=skill)
    made = await asyncio.gather(
        *(ticket(crm, skill=skill) for _ in range(6)), crm.ask("DeactivatePerson", person_id=gone, successor_id=other)
    )

    async def held() -> bool:
        return {(await again(crm, one.id)).owner_id for one in made[:6]} == {other}

    await crm.until(held, 30)
