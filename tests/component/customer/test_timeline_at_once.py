"""Entries of a customer that is given to somebody else while they are entered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from chassis.rpc.call import Call
from services.customer.timeline.store import Timeline
from tests.support.installation import Installation


async def test_what_is_entered_while_its_customer_is_handed_on_is_its_new_owners(
    crm: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await crm.ask("CreateCustomer", role="COORDINATOR", kind=1, name="handed on")).customer
    await crm.settled()
    read, go, real = asyncio.Event(), asyncio.Event(), Timeline.customers

    async def slow(timeline: Timeline, call: Call, ids: Iterable[str]) -> Any:
        found = await real(timeline, call, set(ids))
        if made.id in ids and not read.is_set():
            read.set()
            await go.wait()
        return found

    monkeypatch.setattr(Timeline, "customers", slow)
    ticket = (await crm.ask("CreateTicket", role="SUPPORT_AGENT", subject="坏了", channel=1, customer_id=made.id)).ticket
    await read.wait()
    await crm.ask("AssignCustomer", customer_id=made.id, owner_id=crm.people["SALES_REP"])
    entries = crm.suite["customer"].database["timeline_entries"]

    async def followed() -> bool:
        return await entries.find_one({"record_id": made.id, "owner_id": crm.people["SALES_REP"]}) is not None

    await crm.until(followed)
    go.set()
    await crm.settled()
    rows = await entries.find({"customer_id": made.id}).to_list()
    assert {row["record_id"] for row in rows} >= {made.id, ticket.id}
    assert {row["owner_id"] for row in rows} == {crm.people["SALES_REP"]}
