"""A message to one contact: how far it came. No I/O, no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chassis.kernel.errors import Invalid, WrongState

Document = dict[str, Any]
# A later step implies the earlier ones; a step back is never made.
_RANK = {"PLANNED": 0, "SENT": 1, "OPENED": 2, "CLICKED": 3, "UNSUBSCRIBED": 4}
_COUNT = {"SENT": "sent_count", "OPENED": "opened_count", "CLICKED": "clicked_count", "UNSUBSCRIBED": "unsubscribed_count"}


def check(message: Document) -> None:
    """Refuse an imported message whose times contradict its state."""
    message.setdefault("state", "PLANNED")
    if message["state"] in _COUNT and not message.get("sent_time"):
        raise Invalid("a message that was sent needs the time when; give sent_time", field="sent_time")
    for name in ("opened_time", "clicked_time", "unsubscribed_time"):
        if message.get(name) and message.get("sent_time") and message[name] < message["sent_time"]:
            raise Invalid(f"{name} lies before sent_time; correct one of the times", field=name)


def planned(campaign: Document, contact: Any, now: datetime) -> Document:
    """A message of a campaign to a contact (a message of the customer department)."""
    message = {
        "campaign_id": campaign["_id"], "customer_id": contact.customer_id, "contact_id": contact.id, "address": contact.email,
        "contact_name": contact.name, "state": "PLANNED", "planned_time": now, "subject": campaign["name"],
    }  # fmt: skip
    return message


def sent(message: Document, now: datetime) -> Document:
    """The changes when it was handed to the mail server."""
    return {"state": "SENT", "sent_time": now}


def failed(message: Document, reason: str) -> Document:
    """The changes when it could not be delivered."""
    return {"state": "FAILED", "failure": reason[:500]}


def noticed(message: Document, state: str, now: datetime) -> Document:
    """The changes when the contact opened it, clicked, or asked for no more. Nothing for what is known already."""
    if message["state"] not in _RANK or _RANK[message["state"]] < 1:
        raise WrongState(f"the message is {message['state'].lower()}; only a sent one can be answered", code="MESSAGE_NOT_SENT")
    changes: Document = {}
    for step in ("OPENED", "CLICKED") if state == "CLICKED" else (state,):
        if not message.get(f"{step.lower()}_time"):
            changes[f"{step.lower()}_time"] = now
    if changes and _RANK[state] > _RANK[message["state"]]:
        changes["state"] = state
    return changes


def steps(before: Document | None, after: Document) -> dict[str, int]:
    """How the counts of the campaign move from one version of the message to the next."""
    found = {
        "planned_count": 0 if before else 1,
        "failed_count": int(after["state"] == "FAILED" and (before or {}).get("state") != "FAILED"),
    }
    for state, name in _COUNT.items():
        key = f"{state.lower()}_time"
        found[name] = int(bool(after.get(key)) and not (before or {}).get(key))
    return found


def text_of(campaign: Document, message: Document) -> str:
    """The mail's text with the contact's name; only {name} is replaced, other braces stay as they are."""
    return str(campaign["body"]).replace("{name}", message.get("contact_name") or "")
