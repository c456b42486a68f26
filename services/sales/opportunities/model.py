"""An opportunity: how it goes through its stages to a decision, and back. No I/O, no clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from chassis.kernel.money import micros

Document = dict[str, Any]


def check(opportunity: Document) -> None:
    """Refuse amounts below zero, impossible dates, and a decision without its day or before the beginning."""
    opportunity.setdefault("state", "OPEN")
    opportunity["name"] = opportunity["name"].strip()
    if not opportunity["name"]:
        raise Invalid("the name consists of blanks; say what is to be sold", field="name")
    if micros(opportunity.get("amount")) < 0:
        raise Invalid("the amount is negative; give 0 or more", field="amount")
    for name in ("start_date", "expected_close_date", "close_date"):
        if opportunity.get(name):
            check_date(opportunity[name], name)
    if opportunity["state"] != "OPEN" and not opportunity.get("close_date"):
        raise Invalid("a decided opportunity needs the day of the decision; give close_date", field="close_date")
    begun, decided = opportunity.get("start_date"), opportunity.get("close_date")
    if begun and decided and decided < begun:
        raise Invalid(f"decided on {decided}, before it began on {begun}; correct one of the dates", field="close_date")
    expected = opportunity.get("expected_close_date")
    if begun and expected and expected < begun:
        raise Invalid(f"expected on {expected}, before it began on {begun}; correct one of the dates", field="expected_close_date")


def check_date(text: str, field: str) -> None:
    """Refuse a day that the calendar does not have."""
    try:
        date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"«{text}» is no day of the calendar; write YYYY-MM-DD", field=field) from None


def check_today(opportunity: Document, today: date) -> None:
    """Refuse a decision on a day that is still to come."""
    if opportunity["state"] != "OPEN" and opportunity.get("close_date", "") > today.isoformat():
        words = f"the decision lies in the future ({opportunity['close_date']}); give the day on which it was made"
        raise Invalid(words, code="TIME_IN_FUTURE", field="close_date")


def begun(opportunity: Document, stage: Document, now: datetime, today: date, actor_id: str) -> None:
    """Complete a new or imported opportunity: its stage, the chance that the stage gives, the beginning of its history."""
    opportunity["stage_key"] = stage["key"]
    if opportunity["state"] == "OPEN":
        opportunity.setdefault("probability", stage.get("probability", 0.0))
    else:
        opportunity["probability"] = 100.0 if opportunity["state"] == "WON" else 0.0
    expected = opportunity.get("expected_close_date")
    opportunity.setdefault("start_date", min(today.isoformat(), opportunity.get("close_date") or expected or today.isoformat()))
    entered = opportunity.get("create_time", now)
    history = opportunity.setdefault("stage_history", [{"stage_key": stage["key"], "enter_time": entered, "actor_id": actor_id}])
    if history[-1]["stage_key"] != stage["key"]:  # an import that tells of a later stage
        opportunity["stage_history"] = _stayed(opportunity, stage["key"], now, actor_id)


def moved(opportunity: Document, stage: Document, probability: float | None, now: datetime, actor_id: str) -> Document:
    """The changes when it moves to another stage."""
    must_be_open(opportunity)
    if opportunity.get("stage_key") == stage["key"]:
        raise WrongState(f"it already stands in «{stage['key']}»; choose another stage", field="stage_key")
    chance = stage.get("probability", 0.0) if probability is None else probability
    return {"stage_key": stage["key"], "probability": chance, "stage_history": _stayed(opportunity, stage["key"], now, actor_id)}


def decided(
    opportunity: Document, state: str, reason: str, day: str | None, amount: Document | None, now: datetime, today: date
) -> Document:
    """The changes when it is won or lost; without a `day`, today."""
    must_be_open(opportunity)
    if not reason.strip():
        raise Invalid("say in a few words what decided it", field="reason")
    changes: Document = {
        "state": state,
        "probability": 100.0 if state == "WON" else 0.0,
        "close_reason": reason,
        "close_date": day or today.isoformat(),
    }
    if amount is not None:
        changes["amount"] = amount
    check({**opportunity, **changes})
    check_today({**opportunity, **changes}, today)
    history = [dict(stay) for stay in opportunity.get("stage_history", [])]
    if history and "leave_time" not in history[-1]:
        history[-1]["leave_time"] = now
    return changes | {"stage_history": history}


def reopened(opportunity: Document, stage: Document, now: datetime, actor_id: str) -> Document:
    """The changes when a decided one is opened again: it has no decision any more; why it was reopened stands in its history."""
    must_be_decided(opportunity)
    history = _stayed(opportunity, stage["key"], now, actor_id)
    return {
        "state": "OPEN", "stage_key": stage["key"], "probability": stage.get("probability", 0.0), "close_reason": None,
        "close_date": None, "stage_history": history,
    }  # fmt: skip


def must_be_open(opportunity: Document) -> None:
    """Refuse to change a decided opportunity."""
    if opportunity["state"] != "OPEN":
        raise WrongState(
            f"the opportunity is {opportunity['state'].lower()}; reopen it first (opportunityReopen)", code="OPPORTUNITY_CLOSED"
        )


def must_be_decided(opportunity: Document) -> None:
    """Refuse to open again what is open."""
    if opportunity["state"] == "OPEN":
        raise WrongState("the opportunity is open; there is nothing to reopen", code="OPPORTUNITY_NOT_CLOSED")


def _stayed(opportunity: Document, key: str, now: datetime, actor_id: str) -> list[Document]:
    history = [dict(stay) for stay in opportunity.get("stage_history", [])]
    if history:
        history[-1].setdefault("leave_time", now)
    return [*history, {"stage_key": key, "enter_time": now, "actor_id": actor_id}][-200:]
