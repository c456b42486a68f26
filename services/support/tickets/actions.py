"""What can be done with a ticket beside the standard verbs."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from crm.support.v1 import ticket_events_pb2 as events
from crm.support.v1 import ticket_reply_events_pb2 as reply_events

from chassis.kernel.errors import CrmError, NotFound
from chassis.rpc.call import Call
from chassis.rpc.noun import Noun, references
from chassis.runtime.timers import Timer
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID
from chassis.storage.ownership import OWNER_FIELDS
from services.support.tickets import model
from services.support.tickets.store import Replies, Tickets

Document = dict[str, Any]
AGENT_ROLE = "SUPPORT_AGENT"


async def complete(call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For a batch: its history."""
    for document in batch:
        model.begun(document, call.now, call.caller.person_id)
    return [None] * len(batch)


async def choose(tickets: Tickets, call: Call, skill: str | None) -> str | None:
    """The least loaded agent with the skill who works here and is not away; the choice holds only if nobody's choice was faster."""
    able = [
        member.person_id
        for member in call.directory.members.values()
        if AGENT_ROLE in member.roles and (not skill or skill in member.skills) and call.directory.available(member.person_id, call.now)
    ]
    stored = await tickets.loads(call, able)
    chosen = model.least_loaded(able, {person: int(row.get("open", 0)) for person, row in stored.items()}, _turn(call))
    if chosen and len(able) > 1:  # of one there is nothing to choose, whatever others take in at this moment
        tickets.claim(call, chosen, stored.get(chosen))
    return chosen


def _turn(call: Call) -> int:
    """Any number where others were faster before; the first time 0."""
    return secrets.randbelow(1000) if call.attempt else 0


async def woken(tickets: Tickets, call: Call, before: Document, changes: Document) -> Document:
    """The changes with which a ticket comes to be worked on again, without anybody having said by whom: its owner goes on, if available;
    else somebody with the skill, else who stands in for the owner or came after them."""
    owner_id, directory = before.get("owner_id", ""), call.directory
    if changes.get("state") != "OPEN" or before["state"] == "NEW":
        return changes
    if owner_id == call.caller.person_id or directory.available(owner_id, call.now) or (owner_id and owner_id not in directory.members):
        return changes
    owner: Document = {}
    if chosen := await choose(tickets, call, before.get("skill")) or directory.substitute(owner_id, call.now):
        tickets.set_owner(call, owner, chosen)
    return changes | owner


async def create(noun: Noun, tickets: Tickets, call: Call, **values: Any) -> Document:
    """Take a request in and give it to the least loaded person with the skill; without one it stays with who took it in, and its history says why."""
    await noun.judge(call, values)
    skill = values.get("skill", "")
    chosen = None if values.get("owner_id") else await choose(tickets, call, skill)
    if skill and not chosen and not values.get("owner_id"):
        call.changes.reason = "；".join(filter(None, (call.changes.reason, model.nobody_with(skill))))
    return tickets.create(call, values, events.TicketCreated, assign_to=chosen or "")


async def auto_assign(tickets: Tickets, call: Call, *, ticket_id: str, version: int | None = None) -> Document:
    """Give to the least loaded person with the skill."""
    before = await tickets.get(call, ticket_id, "assign")
    tickets.checked_version(before, version)
    chosen = await choose(tickets, call, before.get("skill"))
    if chosen is None:
        raise NotFound(
            "no agent who works here and is not away has the skill that this ticket wants; add it to somebody (personUpdate), change the "
            "ticket, or assign it by hand",
            code="NOBODY_WITH_SKILL", field="skill",
        )  # fmt: skip
    owner: Document = {}
    tickets.set_owner(call, owner, chosen)
    return tickets.change(call, before, owner, events.TicketAssigned)


async def _load(tickets: Tickets, call: Call, ticket_id: str, version: int | None) -> Document:
    before = await tickets.get(call, ticket_id, "update")
    tickets.checked_version(before, version)
    return before


async def wait(tickets: Tickets, call: Call, *, ticket_id: str, until_time: datetime | None = None, version: int | None = None) -> Document:
    """Wait for the customer, with `until_time` not for ever."""
    before = await _load(tickets, call, ticket_id, version)
    return tickets.change(call, before, model.waiting(before, until_time, call.now, call.caller.person_id), events.TicketWaiting)


def wait_ending(tickets: Tickets) -> Timer:
    """Opens tickets again that have waited until the time that was set."""

    async def end_wait(call: Call, ticket: Document) -> None:
        changes = model.moved(ticket, "OPEN", call.now, call.caller.person_id)
        tickets.change(call, ticket, await woken(tickets, call, ticket, changes), events.TicketWaitEnded)

    return Timer("wait_end", tickets, "wait_until_time", {"state": "PENDING"}, end_wait)


async def resolve(tickets: Tickets, call: Call, *, ticket_id: str, resolution: str, version: int | None = None) -> Document:
    """Answer it."""
    before = await _load(tickets, call, ticket_id, version)
    return tickets.change(call, before, model.resolved(before, resolution, call.now, call.caller.person_id), events.TicketResolved)


async def reopen(tickets: Tickets, call: Call, *, ticket_id: str, reason: str, version: int | None = None) -> Document:
    """Open it again; the reason stands in the audit."""
    before = await _load(tickets, call, ticket_id, version)
    call.changes.reason = reason
    changes = model.reopened(before, call.now, call.caller.person_id)
    return tickets.change(call, before, await woken(tickets, call, before, changes), events.TicketReopened)


async def close(tickets: Tickets, call: Call, *, ticket_id: str, version: int | None = None) -> Document:
    """End it."""
    before = await _load(tickets, call, ticket_id, version)
    return tickets.change(call, before, model.moved(before, "CLOSED", call.now, call.caller.person_id), events.TicketClosed)


async def reply(tickets: Tickets, replies: Replies, call: Call, *, ticket_id: str, **values: Any) -> Document:
    """Speak in the conversation: the reply and what it does to the ticket are one commit."""
    before = await tickets.get(call, ticket_id)
    changes = model.replied(before, values["author"], bool(values.get("internal")), call.now, call.caller.person_id)
    after = tickets.change(call, before, await woken(tickets, call, before, changes), events.TicketUpdated)
    values |= {"ticket_id": ticket_id, "subject": before["subject"]} | {name: before.get(name) for name in (CUSTOMER_ID, CUSTOMER_ALIAS)}
    return replies.create(call, values, reply_events.TicketReplyCreated, owner_of=after)


async def join_ticket(tickets: Tickets, call: Call, batch: list[Document]) -> list[CrmError | None]:
    """For an imported batch of replies: the tickets must exist; replies carry their subject and customer."""
    found, refusals = await references(call, batch, tickets, "ticket_id")
    for document in batch:
        ticket = found.get(document.get("ticket_id", ""))
        if ticket:
            names = (CUSTOMER_ID, CUSTOMER_ALIAS, *OWNER_FIELDS)
            document.update({"subject": ticket["subject"]} | {name: ticket[name] for name in names if ticket.get(name)})
    return refusals
