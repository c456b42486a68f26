"""A segment: criteria that make sense, and who belongs to it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm.customer.v1 import customer_pb2

from chassis.kernel.criteria import Flips, Predicate, Schema, to_flips, to_predicate
from chassis.kernel.errors import Invalid
from chassis.kernel.relative import When
from chassis.rpc.documents import schema_of

Document = dict[str, Any]
# What is stored encrypted cannot be compared with every customer there is.
SCHEMA = {name: field for name, field in schema_of(customer_pb2.Customer.DESCRIPTOR).items() if field.kind != "sealed"}


def check(segment: Document) -> None:
    """Refuse criteria that cannot be judged; a new segment, or one with new criteria, is being built."""
    if refusal := criteria_refusal(segment, SCHEMA):
        raise refusal
    if segment.get("criteria") != segment.get("built_criteria"):
        segment["state"] = "BUILDING"
        segment.pop("built_criteria", None)  # and back again to the old criteria is a change too
    segment.setdefault("member_count", 0)


def criteria_refusal(segment: Document, known: Schema) -> Invalid | None:
    """Why criteria cannot be used by somebody who knows only these fields; None when they can."""
    try:
        to_predicate(segment["criteria"], known)
    except Invalid as refusal:
        return Invalid(refusal.message, code=refusal.code, field="criteria", params=refusal.params)
    return None


def belongs(segment: Document, when: When) -> Predicate:
    """The test of one customer at a moment: in use, and within the criteria."""
    inside = to_predicate(segment["criteria"], SCHEMA, when)
    return lambda customer: not customer.get("archive_time") and inside(customer)


def flips(segment: Document, when: When) -> Flips | None:
    """What tells when a customer comes in or goes out by time alone; None where the criteria do not count from now."""
    told = to_flips(segment["criteria"], SCHEMA, when.zone)
    return told and (lambda customer, now: None if customer.get("archive_time") else told(customer, now))


@dataclass(frozen=True)
class Judge:
    """A segment as customers are judged by it at a moment."""

    segment_id: str
    when: When
    belongs: Predicate
    flips: Flips | None

    @classmethod
    def of(cls, segment: Document, when: When) -> Judge:
        """The judge of a segment."""
        return cls(segment["_id"], when, belongs(segment, when), flips(segment, when))

    def next(self, customer: Document) -> datetime | None:
        """When the customer comes in or goes out by time alone."""
        return self.flips(customer, self.when.now) if self.flips else None


def member_id(segment_id: str, customer_id: str) -> str:
    """The id of a membership: one for each customer and segment."""
    return f"{segment_id}-{customer_id}"


def entered(segment_id: str, customer_id: str, before: Document | None, now: Any) -> Document:
    """The membership when a customer comes in (again)."""
    version = before["version"] + 1 if before else 1
    return {
        "_id": member_id(segment_id, customer_id),
        "version": version,
        "segment_id": segment_id,
        "customer_id": customer_id,
        "enter_time": now,
    }


def left(before: Document, now: Any) -> Document:
    """The membership when a customer leaves."""
    return {**before, "version": before["version"] + 1, "leave_time": now}
