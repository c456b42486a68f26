"""A ticket: its states with the time in each, replies, and who should get it. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from chassis.kernel.errors import Invalid, WrongState

Document = dict[str, Any]
WORKED_ON = frozenset(("NEW", "OPEN", "PENDING"))
_FROM = {
    "OPEN": ("NEW", "PENDING"),
    "PENDING": ("NEW", "OPEN"),
    "RESOLVED": ("NEW", "OPEN", "PENDING"),
    "CLOSED": ("RESOLVED",),
}


def check(ticket: Document) -> None:
    """Complete a ticket: what kind, how urgent, where it stands."""
    ticket.setdefault("kind", "QUESTION")
    ticket.setdefault("priority", "NORMAL")
    ticket.setdefault("state", "NEW")
    ticket.setdefault("reply_count", 0)


def begun(ticket: Document, now: datetime, actor_id: str) -> None:
    """Begin the history of a new ticket, or go on with that of an imported one."""
    stay: Document = {"state": ticket["state"], "enter_time": ticket.get("create_time", now), "actor_id": actor_id}
    ticket.setdefault("state_history", [stay])
    if ticket["state_history"][-1]["state"] != ticket["state"]:  # an import that tells of a later state
        kept = {"wait_until_time": ticket.get("wait_until_time")}
        ticket.update(_entered(ticket, ticket["state"], now, actor_id) | kept)


def may_become(state: str, ticket: Document) -> None:
    """Refuse a state that cannot follow the present one."""
    if ticket["state"] not in _FROM[state]:
        text = f"a ticket that is {ticket['state'].lower()} cannot become {state.lower()}"
        raise WrongState(f"{text}; allowed before it: {', '.join(_FROM[state]).lower()}", code="TICKET_STATE_NOT_ALLOWED")


def may_wait(ticket: Document) -> None:
    """Refuse to let wait what is over; what waits may be given another time."""
    if ticket["state"] != "PENDING":
        may_become("PENDING", ticket)


def must_be_answered(ticket: Document) -> None:
    """Refuse to open again what is worked on."""
    if ticket["state"] in WORKED_ON:
        raise WrongState(f"the ticket is {ticket['state'].lower()}; there is nothing to reopen", code="TICKET_STATE_NOT_ALLOWED")


def moved(ticket: Document, state: str, now: datetime, actor_id: str) -> Document:
    """The changes when it comes into another state."""
    may_become(state, ticket)
    return _entered(ticket, state, now, actor_id)


def waiting(ticket: Document, until: datetime | None, now: datetime, actor_id: str) -> Document:
    """The changes when it waits for the customer, with `until` not for ever; another time may be set while it waits."""
    if until and until <= now:
        raise Invalid(
            "the time lies in the past; give a later one, or none to wait for the customer alone", code="TIME_IN_PAST", field="until_time"
        )
    if until and ticket["state"] == "PENDING":
        return {"wait_until_time": until}
    return moved(ticket, "PENDING", now, actor_id) | {"wait_until_time": until}


def resolved(ticket: Document, resolution: str, now: datetime, actor_id: str) -> Document:
    """The changes when it is answered."""
    return moved(ticket, "RESOLVED", now, actor_id) | {"resolution": resolution, "resolve_time": now}


def reopened(ticket: Document, now: datetime, actor_id: str) -> Document:
    """The changes when a resolved or closed one is opened again."""
    must_be_answered(ticket)
    return _entered(ticket, "OPEN", now, actor_id) | {"resolve_time": None}


def replied(ticket: Document, author: str, internal: bool, now: datetime, actor_id: str) -> Document:
    """The changes when somebody speaks: our first answer is timed, the customer's answer ends waiting or resolution."""
    if ticket["state"] == "CLOSED":
        raise WrongState("the ticket is closed; reopen it first (ticketReopen)", code="TICKET_STATE_NOT_ALLOWED")
    changes: Document = {"reply_count": ticket.get("reply_count", 0) + 1}
    if internal:
        return changes
    if author == "AGENT" and not ticket.get("first_reply_time"):
        changes["first_reply_time"] = now
    wakes = {"AGENT": ("NEW",), "CUSTOMER": ("PENDING", "RESOLVED")}[author]
    if ticket["state"] in wakes:
        changes |= _entered(ticket, "OPEN", now, actor_id)
        if ticket["state"] == "RESOLVED":
            changes["resolve_time"] = None
    return changes


def _entered(ticket: Document, state: str, now: datetime, actor_id: str) -> Document:
    history = [dict(stay) for stay in ticket.get("state_history", [])]
    if history:
        history[-1].setdefault("leave_time", now)
    history = [*history, {"state": state, "enter_time": now, "actor_id": actor_id}][-200:]
    return {"state": state, "state_history": history, "wait_until_time": None}


def least_loaded(candidates: Iterable[str], loads: Mapping[str, int], turn: int = 0) -> str | None:
    """Who carries the fewest open tickets. Of several who carry as few, `turn` picks one: those that met at the first go apart at the next."""
    able = sorted(candidates)
    fewest = min((loads.get(person, 0) for person in able), default=0)
    idle = [person for person in able if loads.get(person, 0) == fewest]
    return idle[turn % len(idle)] if idle else None


def nobody_with(skill: str) -> str:
    """What the history says of a ticket that stays with who took it in."""
    return f"没有在岗客服具备技能「{skill}」，工单留给受理人 (nobody who is here has this skill)"


def carried(ticket: Document | None) -> str | None:
    """The person whose load the ticket counts to."""
    return ticket.get("owner_id") if ticket and ticket["state"] in WORKED_ON else None
