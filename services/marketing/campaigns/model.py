"""A campaign: its plan, its money, its way from draft to end. No I/O, no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.money import currency, micros, total

Document = dict[str, Any]
_FROM = {
    "DRAFT": ("SCHEDULED",),
    "PREPARING": ("DRAFT", "SCHEDULED"),
    "SCHEDULED": ("DRAFT", "SCHEDULED"),
    "RUNNING": ("PREPARING", "PAUSED"),
    "PAUSED": ("RUNNING",),
    "COMPLETED": ("RUNNING", "PAUSED"),
    "CANCELLED": ("DRAFT", "SCHEDULED", "PREPARING", "RUNNING", "PAUSED"),
}
COUNTS = ("planned_count", "sent_count", "opened_count", "clicked_count", "unsubscribed_count", "failed_count")
_NEEDED = {"segment_id": "the segment it goes to", "subject": "the subject of the mail", "body": "the text of the mail"}


def check(campaign: Document) -> None:
    """Complete a campaign; refuse an end before the start, money below zero or in two currencies, and a schedule that could not be kept."""
    campaign.setdefault("state", "DRAFT")
    if campaign["state"] == "SCHEDULED":
        _must_be_complete(campaign)
        if not campaign.get("start_time"):
            raise Invalid(
                "a scheduled campaign needs the time of its launch; give its start", code="CAMPAIGN_INCOMPLETE", field="start_time"
            )
    begin, end = campaign.get("start_time"), campaign.get("end_time")
    if begin and end and end < begin:
        raise Invalid("the end lies before the start; correct one of the times", code="CAMPAIGN_TIMES_REVERSED", field="end_time")
    for name in ("budget", "cost"):
        if micros(campaign.get(name)) < 0:
            raise Invalid(f"the {name} is negative; give 0 or more", field=name)
    if campaign.get("budget") and campaign.get("cost") and currency(campaign["budget"]) != currency(campaign["cost"]):
        raise Invalid("budget and cost are in different currencies; use one", code="CURRENCY_MIXED", field="budget")


def must_be_draft(campaign: Document) -> None:
    """Only a draft can be edited: what people were told must not change afterwards."""
    if campaign["state"] == "DRAFT":
        return
    way = "unschedule it first" if campaign["state"] == "SCHEDULED" else "cancel it and plan a new one"
    raise WrongState(f"a campaign that is {campaign['state'].lower()} cannot be edited; {way}", code="CAMPAIGN_STATE_NOT_ALLOWED")


def moved(campaign: Document, state: str, reason: str | None = None) -> Document:
    """The changes when a campaign goes on to another state."""
    if campaign["state"] not in _FROM[state]:
        text = f"a campaign that is {campaign['state'].lower()} cannot become {state.lower()}"
        raise WrongState(f"{text}; allowed before it: {', '.join(_FROM[state]).lower()}", code="CAMPAIGN_STATE_NOT_ALLOWED")
    return {"state": state} | ({"state_reason": reason} if reason else {})


def resumed(campaign: Document) -> Document:
    """The changes when a paused campaign goes on; one whose audience is still being collected starts by itself."""
    if campaign["state"] != "PAUSED":
        raise WrongState(
            f"a campaign that is {campaign['state'].lower()} cannot be resumed; only a paused one can", code="CAMPAIGN_STATE_NOT_ALLOWED"
        )
    return moved(campaign, "RUNNING")


def launched(campaign: Document) -> Document:
    """The changes at launch. A mail campaign needs audience and text; others only go on record."""
    changes = moved(campaign, "PREPARING")
    _must_be_complete(campaign)
    return changes if campaign["channel"] == "EMAIL" else {"state": "RUNNING"}  # what is no mail only goes on record


def _must_be_complete(campaign: Document) -> None:
    missing = [words for name, words in _NEEDED.items() if not campaign.get(name)]
    if missing and campaign["channel"] == "EMAIL":
        raise Invalid(f"before launch the campaign needs {' and '.join(missing)}", code="CAMPAIGN_INCOMPLETE")


def scheduled(campaign: Document, start_time: datetime, now: datetime) -> Document:
    """The changes when it is to launch by itself, or at another time than it was to."""
    changes = moved(campaign, "SCHEDULED") | {"start_time": start_time}
    if start_time <= now:
        raise Invalid("the start lies in the past; give a later time, or launch the campaign now", code="TIME_IN_PAST", field="start_time")
    check({**campaign, **changes})
    return changes


def with_cost(campaign: Document, amount: Document) -> Document:
    """The changes when money was spent; never beyond the budget."""
    if micros(amount) <= 0:
        raise Invalid("the amount is not positive; give what was spent", field="amount")
    sum_ = total([value for value in (campaign.get("cost"), amount) if value], field="amount")
    budget = campaign.get("budget")
    if budget and sum_:
        check({**campaign, "cost": sum_})
        if micros(sum_) > micros(budget):
            left = (micros(budget) - micros(campaign.get("cost"))) / 1_000_000
            raise Invalid(
                f"only {left:,.2f} {currency(budget)} of the budget are left; raise the budget first",
                code="BUDGET_EXCEEDED",
                field="amount",
            )
    return {"cost": sum_}
