"""A campaign: its plan, its money, its way from draft to end. No I/O, no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.money import currency, micros, total
from services.marketing.campaigns import template

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
SENDERS = ("EMAIL",)  # channels by which something is sent
ACTIVE = ("SCHEDULED", "PREPARING", "RUNNING", "PAUSED")
DONE = "every message is sent, given up or dropped"
_NEEDED = {"segment_id": "the segment it goes to", "subject": "the subject of the mail", "body": "the text of the mail"}


def check(campaign: Document) -> None:
    """Complete a campaign; refuse an end before the start, money below zero or in two currencies, and a schedule that could not be kept."""
    campaign.setdefault("state", "DRAFT")
    if campaign["state"] in ACTIVE:
        _must_have_sender(campaign)
    if campaign["state"] == "SCHEDULED":
        must_be_ready(campaign)
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


def may_become(state: str, campaign: Document) -> None:
    """Refuse a state that cannot follow the present one."""
    if campaign["state"] not in _FROM[state]:
        text = f"a campaign that is {campaign['state'].lower()} cannot become {state.lower()}"
        raise WrongState(f"{text}; allowed before it: {', '.join(_FROM[state]).lower()}", code="CAMPAIGN_STATE_NOT_ALLOWED")


def must_be_paused(campaign: Document) -> None:
    """Refuse to go on with what was not held back."""
    if campaign["state"] != "PAUSED":
        raise WrongState(
            f"a campaign that is {campaign['state'].lower()} cannot be resumed; only a paused one can", code="CAMPAIGN_STATE_NOT_ALLOWED"
        )


def moved(campaign: Document, state: str, reason: str | None = None) -> Document:
    """The changes when a campaign goes on to another state."""
    may_become(state, campaign)
    return {"state": state} | ({"state_reason": reason} if reason else {})


def resumed(campaign: Document) -> Document:
    """The changes when a paused campaign goes on; one whose audience is still being collected starts by itself."""
    must_be_paused(campaign)
    return moved(campaign, "RUNNING")


def launched(campaign: Document) -> Document:
    """The changes at launch: it needs a channel by which something is sent, an audience, and a text that can be sent."""
    changes = moved(campaign, "PREPARING")
    must_be_ready(campaign)
    return changes


def must_be_ready(campaign: Document) -> None:
    """Refuse to launch what could not be sent as it was meant."""
    _must_have_sender(campaign)
    if missing := [words for name, words in _NEEDED.items() if not campaign.get(name)]:
        raise Invalid(f"before launch the campaign needs {' and '.join(missing)}", code="CAMPAIGN_INCOMPLETE")
    for name, known in (("subject", template.SUBJECT), ("body", template.BODY)):
        if why := template.fault(campaign[name], known):
            raise Invalid(f"{name}: {why}", code="CAMPAIGN_TEXT_INVALID", field=name)


def _must_have_sender(campaign: Document) -> None:
    channel = campaign.get("channel", SENDERS[0])
    if channel not in SENDERS:
        raise Invalid(
            f"nothing is installed that sends by {channel.lower()}, so nobody would be told; plan the campaign by {' or '.join(SENDERS).lower()}",
            code="CHANNEL_WITHOUT_SENDER",
            field="channel",
        )


def withdrawn(campaign: Document) -> Document | None:
    """The changes to a campaign of an earlier build that cannot go on as it is: a schedule that could not be kept is given up, what nothing
    sends is over. None for all others."""
    try:
        (must_be_ready if campaign["state"] == "SCHEDULED" else _must_have_sender)(campaign)
    except Invalid as refusal:
        return {"state": "DRAFT" if campaign["state"] == "SCHEDULED" else "COMPLETED", "state_reason": refusal.message[:500]}
    return None


def done(campaign: Document) -> Document:
    """The changes when its audience is complete and no message waits any more."""
    return moved(campaign, "COMPLETED", DONE)


def scheduled(campaign: Document, start_time: datetime, now: datetime) -> Document:
    """The changes when it is to launch by itself, or at another time than it was to."""
    changes = moved(campaign, "SCHEDULED") | {"start_time": start_time}
    if start_time <= now:
        raise Invalid("the start lies in the past; give a later time, or launch the campaign now", code="TIME_IN_PAST", field="start_time")
    check({**campaign, **changes})
    return changes


def with_cost(campaign: Document, amount: Document) -> Document:
    """The changes when money was spent, never beyond the budget; or, with a negative amount, when what was recorded wrongly is taken back,
    never below 0 in all."""
    if micros(amount) == 0:
        raise Invalid("the amount is 0; give what was spent, or what is to be taken back with a minus", field="amount")
    sum_ = total([value for value in (campaign.get("cost"), amount) if value], field="amount")
    if micros(sum_) < 0:
        recorded = f"{micros(campaign.get('cost')) / 1_000_000:,.2f} {currency(amount)}"
        raise Invalid(f"only {recorded} were recorded; take back that much at most", code="COST_BELOW_ZERO", field="amount")
    budget = campaign.get("budget")
    if budget and sum_ and micros(amount) > 0:
        check({**campaign, "cost": sum_})
        if micros(sum_) > micros(budget):
            left = (micros(budget) - micros(campaign.get("cost"))) / 1_000_000
            raise Invalid(
                f"only {left:,.2f} {currency(budget)} of the budget are left; raise the budget first",
                code="BUDGET_EXCEEDED",
                field="amount",
            )
    return {"cost": sum_}
