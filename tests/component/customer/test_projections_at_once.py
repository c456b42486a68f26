"""What is copied from a customer into a projection while the customer changes: it is as the customer is in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from chassis.rpc.call import Call
from chassis.rpc.collaboration import COLLECTION
from services.customer.accesses.store import Accesses
from services.customer.segments import reactions as segment_reactions
from tests.component.customer.test_segments import make, segment, state
from tests.support.checks import equals, mask
from tests.support.installation import Installation


async def heard(crm: Installation, durable: str, identity: str, version: int) -> None:
    """When a reaction has had its effect up to this version of a record."""
    consumer = crm.suite["customer"].consumers[durable]

    async def done() -> bool:
        return (await consumer.heard([identity])).get(identity, 0) >= version

    await crm.until(done)


async def test_a_member_that_changes_while_its_segment_is_filled_anew_stays_when_it_belongs(
    crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await make(crm, "同时")
    made = await segment(crm, "同时")
    read, go, real = asyncio.Event(), asyncio.Event(), segment_reactions._settle

    async def slow(call: Call) -> None:
        if not read.is_set():
            read.set()
            await go.wait()
        await real(call)

    monkeypatch.setattr(segment_reactions, "_settle", slow)
    changed = {"version": made.version, "update_mask": mask("criteria"), "criteria": equals("region", "随后")}
    await crm.ask("UpdateSegment", segment_id=made.id, **changed)
    await read.wait()  # it was read as one that does not belong to it any more
    await crm.ask("UpdateCustomer", customer_id=one.id, version=1, update_mask=mask("region"), region="随后")
    await heard(crm, "customer-segments-customer", one.id, 2)  # a member that belongs: nothing to write
    go.set()
    assert await state(crm, made.id) == (2, 1, {one.id})


async def test_who_was_a_collaborator_while_work_began_is_none_afterwards(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await make(crm, "做事")
    await crm.settled()
    guest = crm.people["SALES_REP"]
    heard_of, let_customers, read, go = (asyncio.Event() for _ in range(4))
    concerned, parts = Accesses.concerned, Accesses.parts

    async def slow_concerned(self: Accesses, call: Call, ids: Iterable[str]) -> set[str]:
        if made.id in (ids := set(ids)):
            heard_of.set()
            await let_customers.wait()
        return await concerned(self, call, ids)

    async def slow_parts(self: Accesses, call: Call, ids: Iterable[str]) -> Any:
        if made.id in (ids := set(ids)) and not read.is_set():
            read.set()
            await go.wait()
        return await parts(self, call, ids)

    monkeypatch.setattr(Accesses, "concerned", slow_concerned)
    monkeypatch.setattr(Accesses, "parts", slow_parts)
    await crm.ask("UpdateCustomer", customer_id=made.id, version=1, update_mask=mask("collaborator_ids"), collaborator_ids=[guest])
    await heard_of.wait()
    ticket = (await crm.ask("CreateTicket", role="SUPPORT_AGENT", subject="坏了", channel=1, customer_id=made.id)).ticket
    await read.wait()
    await crm.ask("UpdateCustomer", customer_id=made.id, version=2, update_mask=mask("collaborator_ids"), collaborator_ids=[])
    let_customers.set()
    await heard(crm, "customer-accesses-customer", made.id, 3)
    go.set()
    await crm.settled()
    row = await crm.suite["customer"].database[COLLECTION].find_one({"_id": made.id})
    assert row and guest not in row["person_ids"] and ticket.owner_id in row["person_ids"]
