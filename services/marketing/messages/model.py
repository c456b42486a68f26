"""A message to one contact: how far it came, when it is tried again, and why it is not sent. No I/O, no clock."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.mail_addresses import mail_key
from services.marketing.campaigns import template

Document = dict[str, Any]
# A later step implies the earlier ones; a step back is never made.
_RANK = {"PLANNED": 0, "SENT": 1, "OPENED": 2, "CLICKED": 3, "UNSUBSCRIBED": 4}
_COUNT = {"SENT": "sent_count", "OPENED": "opened_count", "CLICKED": "clicked_count", "UNSUBSCRIBED": "unsubscribed_count"}
_STEPS = {"CLICKED": ("OPENED", "CLICKED"), "COMPLAINED": ("COMPLAINED", "UNSUBSCRIBED")}
# How long a message waits each time the mail server puts it off: two days in all, as RFC 5321 (4.5.4.1) lets servers take, then it failed.
PUT_OFF_SECONDS = (60, 300, 1800, 7200, 14_400, 28_800, 43_200, 43_200, 43_200)


def address_key(text: str) -> str:
    """The form under which two spellings of one mail address are the same."""
    return mail_key(text)


def deliverable(text: str) -> str:
    """An address as mail servers take it: western width, the domain in ASCII; who has the mail box may care for the letters before the @."""
    local, at, domain = unicodedata.normalize("NFKC", text.strip()).rpartition("@")
    if at and not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            return f"{local}@{domain}"
    return f"{local}{at}{domain}"


def check(message: Document) -> None:
    """Refuse an imported message whose times contradict its state."""
    message.setdefault("state", "PLANNED")
    if message["state"] in _COUNT and not message.get("sent_time"):
        raise Invalid("a message that was sent needs the time when; give sent_time", field="sent_time")
    for name in ("opened_time", "clicked_time", "unsubscribed_time", "complained_time"):
        if message.get(name) and message.get("sent_time") and message[name] < message["sent_time"]:
            raise Invalid(f"{name} lies before sent_time; correct one of the times", field=name)


def planned(campaign: Document, contact: Any, now: datetime) -> Document:
    """A message of a campaign to a contact (a message of the customer department)."""
    message = {
        "campaign_id": campaign["_id"], "customer_id": contact.customer_id, "contact_id": contact.id, "address": contact.email,
        "contact_name": contact.name, "state": "PLANNED", "planned_time": now, "subject": campaign["name"],
    }  # fmt: skip
    return message


# ---- what comes of a try


def sent(message: Document, now: datetime) -> Document:
    """The changes when it was handed to the mail server."""
    return {"state": "SENT", "sent_time": now, "due_time": None, "failure": None}


def put_off(message: Document, answer: str, now: datetime) -> Document:
    """The changes when the mail server takes it later: it waits longer each time, and has failed in the end."""
    attempts = message.get("attempts", 0) + 1
    if attempts > len(PUT_OFF_SECONDS):
        return failed(message, answer) | {"attempts": attempts}
    return {"attempts": attempts, "due_time": now + timedelta(seconds=PUT_OFF_SECONDS[attempts - 1]), "failure": answer[:500]}


def failed(message: Document, answer: str, *, bounced: bool = False) -> Document:
    """The changes when it could not be delivered; `bounced` when there is no such address."""
    return {"state": "FAILED", "failure": answer[:500], "due_time": None} | ({"bounced": True} if bounced else {})


def dropped(message: Document, reason: str, text: str) -> Document:
    """The changes when it is not to be sent."""
    return {"state": "DROPPED", "drop_reason": reason, "drop_text": text, "due_time": None}


def over(message: Document, campaign: Document) -> Document:
    """The changes when its campaign ended before its turn came."""
    return dropped(message, "CAMPAIGN_OVER", f"the campaign was {campaign['state'].lower()} before its turn came")


# ---- whether it is still wanted


def unwanted(
    campaign: Document, contact: Document | None, customer: Document | None, *, inside: bool, complaint: bool
) -> tuple[str, str] | None:
    """Why a contact is not to be told after all, as the others have them now: (reason, words); None when it is.

    `inside` says whether the customer belongs to the campaign's segment, `complaint` whether an urgent complaint of theirs is open.
    """
    found = {
        "CUSTOMER_ARCHIVED": customer is None or customer.get("archive_time"),
        "CUSTOMER_ERASED": (customer or {}).get("erase_time"),
        "CONTACT_ARCHIVED": contact is None or contact.get("archive_time"),
        "DO_NOT_CONTACT": (contact or {}).get("do_not_contact"),
        "NO_ADDRESS": not (contact or {}).get("email"),
        "OTHER_CHANNEL": (contact or {}).get("preferred_channel", campaign["channel"]) != campaign["channel"],
        "NOT_IN_SEGMENT": campaign.get("segment_id") and not inside,
        "CUSTOMER_CHURNED": (customer or {}).get("lifecycle") == "CHURN",
        "OPEN_COMPLAINT": complaint,
    }
    order = ("CUSTOMER_ERASED", *(name for name in found if name != "CUSTOMER_ERASED"))
    reason = next((name for name in order if found[name]), "")
    return (reason, _WORDS[reason].format(other=(contact or {}).get("preferred_channel"))) if reason else None


_WORDS = {
    "CUSTOMER_ARCHIVED": "the customer is archived",
    "CUSTOMER_ERASED": "the customer was erased",
    "CONTACT_ARCHIVED": "the contact is archived",
    "DO_NOT_CONTACT": "the contact wants no promotion",
    "NO_ADDRESS": "the contact has no mail address any more",
    "OTHER_CHANNEL": "the contact prefers to be reached by {other}",
    "NOT_IN_SEGMENT": "the customer has left the segment",
    "CUSTOMER_CHURNED": "the customer has gone",
    "OPEN_COMPLAINT": "the customer has an urgent complaint that is not answered yet",
}
SHARED_OPT_OUT = ("DO_NOT_CONTACT", "another contact with this address wants no promotion")
SAME_ADDRESS = ("SAME_ADDRESS", "the campaign has a message to the same address")
_SUPPRESSED = {
    "UNSUBSCRIBED": ("UNSUBSCRIBED", "who has the address unsubscribed on {day}"),
    "COMPLAINT": ("UNSUBSCRIBED", "who has the address reported a mail of ours as spam on {day}"),
    "HARD_BOUNCE": ("HARD_BOUNCED", "the address does not exist: a mail came back on {day}"),
}


def suppressed(suppression: Mapping[str, Any]) -> tuple[str, str]:
    """Why nothing is sent to a suppressed address: (reason, words)."""
    reason, words = _SUPPRESSED[suppression["reason"]]
    return reason, words.format(day=f"{suppression['time']:%Y-%m-%d}")


def suppresses(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Why from this version of a message on nothing more is sent to its address; "" when that is not so."""
    for name, reason in (("complained_time", "COMPLAINT"), ("unsubscribed_time", "UNSUBSCRIBED"), ("bounced", "HARD_BOUNCE")):
        if after.get(name) and not (before or {}).get(name):
            return reason
    return ""


# ---- what a contact does


def must_be_sent(message: Document) -> None:
    """Refuse an answer to what was not sent."""
    if message["state"] not in _RANK or _RANK[message["state"]] < 1:
        raise WrongState(f"the message is {message['state'].lower()}; only a sent one can be answered", code="MESSAGE_NOT_SENT")


def noticed(message: Document, state: str, now: datetime) -> Document:
    """The changes when the contact opened it, clicked, asked for no more, or reported it as spam, which asks for no more too. Nothing for
    what is known already."""
    must_be_sent(message)
    steps = _STEPS.get(state, (state,))
    changes: Document = {f"{step.lower()}_time": now for step in steps if not message.get(f"{step.lower()}_time")}
    reached = steps[-1]
    if changes and _RANK[reached] > _RANK[message["state"]]:
        changes["state"] = reached
    return changes


def steps(before: Document | None, after: Document) -> dict[str, int]:
    """How the counts of the campaign move from one version of the message to the next."""
    was = (before or {}).get("state")
    found = {
        "planned_count": 0 if before else 1,
        "waiting_count": int(after["state"] == "PLANNED") - int(was == "PLANNED"),
        "failed_count": int(after["state"] == "FAILED" and was != "FAILED"),
        "dropped_count": int(after["state"] == "DROPPED" and was != "DROPPED"),
    }
    for state, name in _COUNT.items():
        key = f"{state.lower()}_time"
        found[name] = int(bool(after.get(key)) and not (before or {}).get(key))
    return found


# ---- what it says


def subject_of(campaign: Document, message: Document) -> str:
    """The mail's subject with the contact's name, in one line."""
    return " ".join(template.rendered(campaign.get("subject") or "", {"name": message.get("contact_name") or ""}).split())


def text_of(campaign: Document, message: Document, way_out: str) -> str:
    """The mail's text with the contact's name and the way out, which comes at the end where the text does not name it."""
    body = str(campaign.get("body") or "")
    text = template.rendered(body, {"name": message.get("contact_name") or "", "unsubscribe_url": way_out})
    return text if template.names(body, "unsubscribe_url") else f"{text}\n\n-- \n退订 / Unsubscribe: {way_out}\n"
