"""A merge: which two customers may become one, and what it may be undone from. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from chassis.kernel.clock import MILLISECOND
from chassis.kernel.errors import Conflict, Invalid, WrongState, stale
from chassis.kernel.rules import sentence
from services.customer.customers.model import DEEPEST, meanwhile

Document = dict[str, Any]
MOST = 50
DONE, UNDONE = "DONE", "UNDONE"


def check_pair(survivor: Document, loser: Document, day: Callable[[datetime], date]) -> None:
    """Refuse two that cannot become one as they are. `day` gives the company's of a moment."""
    if survivor["_id"] == loser["_id"]:
        raise Invalid("a customer cannot be merged into itself; choose another one", field="loser_id")
    if loser.get("merged_into_id"):
        params = {"rule": "merge.already", "id": loser["merged_into_id"], "day": str(day(loser["archive_time"]))}
        raise WrongState(sentence(params), code="ALREADY_MERGED", field="loser_id", params=params)
    if survivor.get("merged_into_id"):
        raise meanwhile(survivor, "survivor_id")
    for customer, field in ((survivor, "survivor_id"), (loser, "loser_id")):
        if customer.get("archive_time"):
            raise Conflict("this customer is archived; restore it first", code="ARCHIVED", field=field, retryable=False)
    if survivor["kind"] != loser["kind"]:
        words = "a company and a person cannot be one; make the person a contact of the company"
        raise WrongState(words, code="KINDS_DIFFER", field="loser_id")


def check_seen(customer: Document, version: int | None, field: str) -> None:
    """Refuse a merge of what was changed since it was looked at."""
    if version is not None and version != customer["version"]:
        refusal = stale("customer", "customers", customer["_id"], version, customer["version"])
        refusal.field = field
        raise refusal


def check_line(loser_id: str, line: list[str], below: int) -> None:
    """Refuse a hierarchy that bites its tail or gets too deep. `line` goes from the one that stays upwards, `below` are the levels under the other."""
    if loser_id in line:
        words = "the customer that stays stands below the other one; merge the other way round, or give it another parent first"
        raise Invalid(words, code="HIERARCHY_CYCLE", field="survivor_id")
    if len(line) + below > DEEPEST:
        words = f"the hierarchy may have {DEEPEST} levels at most, and what stands below the other one would be deeper; move it first"
        raise Invalid(words, code="HIERARCHY_TOO_DEEP", field="loser_id")


def later(moment: datetime, latest: datetime | None) -> datetime:
    """The moment of a merge: behind every earlier one, also where the clock of this replica is behind that of another. By these moments every
    department knows which of two merges counts, in whatever order it hears of them."""
    return moment if latest is None else max(moment, latest + MILLISECOND)


def check_size(count: int) -> None:
    """Refuse more customers in one than can be kept apart."""
    if count > MOST:
        params = {"rule": "merge.large", "count": str(count), "most": str(MOST)}
        raise WrongState(sentence(params), code="MERGE_TOO_LARGE", field="loser_id", params=params)


def check_undo(merge: Document, survivor: Document, loser: Document, day: Callable[[datetime], date]) -> None:
    """Refuse to undo what is undone, or what cannot be had back."""
    if merge["state"] == UNDONE:
        params = {"rule": "merge.undone", "day": str(day(merge["undo_time"]))}
        raise WrongState(sentence(params), code="MERGE_UNDONE", params=params)
    if survivor.get("erase_time") or loser.get("erase_time"):
        words = "this merge cannot be undone: the customer was erased, and with it what was written for either"
        raise WrongState(words, code="UNDO_OVER")
