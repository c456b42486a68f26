"""A webhook delivery: what it says, when it is tried, and what becomes of it. No I/O."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from chassis.kernel.ids import new_id

Document = dict[str, Any]
PENDING, DELIVERED, FAILED = "PENDING", "DELIVERED", "FAILED"
TEST = "webhook.test"
KEEP_DAYS = 30
MOST_ATTEMPTS_KEPT = 20
GONE = 410
# The example schedule of Standard Webhooks: what is tried after the first attempt, three days and three hours in all.
DELAYS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)  # fmt: skip
# By how much of it a delay grows at most, so that what failed together does not come back together.
JITTER = 0.2


def identity(event_id: str, endpoint_id: str) -> str:
    """One delivery for each fact and endpoint: its id says so, and taking a fact twice takes it once."""
    return f"{event_id}-{endpoint_id}"


def delivery_of(fact: Mapping[str, Any], endpoint_id: str, moment: datetime) -> Document:
    """What waits to be sent of a fact (event_id, event_type, event_time, record_type, record_id, record_version, customer_id)."""
    row = {"_id": identity(fact["event_id"], endpoint_id), "webhook_endpoint_id": endpoint_id, "create_time": moment}
    row |= {name: value for name, value in fact.items() if value}
    return row | {"state": PENDING, "attempts": [], "attempt_count": 0, "tries": 0, "next_attempt_time": moment}


def test_of(endpoint: Document, moment: datetime) -> Document:
    """A delivery that tells of nothing but its endpoint."""
    fact = {
        "event_id": new_id(), "event_type": TEST, "event_time": moment, "record_type": "crm.organization.v1.WebhookEndpoint",
        "record_id": endpoint["_id"], "record_version": endpoint["version"],
    }  # fmt: skip
    return delivery_of(fact, endpoint["_id"], moment)


def payload(row: Document) -> Document:
    """What is sent: that it happened, and to which record; who may know more asks the graph for it. Ids are the graph's."""
    data = {
        "event_id": row["event_id"],
        "record_type": row["record_type"].rpartition(".")[2],
        "record_id": graph_id(row["record_type"].rpartition(".")[2], row["record_id"]),
        "record_version": row["record_version"],
    }
    if row.get("customer_id"):
        data["customer_id"] = graph_id("Customer", row["customer_id"])
    return {"type": row["event_type"], "timestamp": row["event_time"].astimezone(UTC).isoformat().replace("+00:00", "Z"), "data": data}


def graph_id(noun: str, record_id: str) -> str:
    """A record's id as the graph gives it; a test holds it equal to the gateway's."""
    return base64.urlsafe_b64encode(f"{noun}:{record_id}".encode()).decode().rstrip("=")


def again(moment: datetime) -> Document:
    """What changes in a delivery that is sent again: from now on it is tried as often as a new one."""
    return {"state": PENDING, "tries": 0, "next_attempt_time": moment, "deliver_time": None}


def attempt(moment: datetime, status: int, milliseconds: int, reason: str) -> Document:
    """One attempt as the log keeps it. `status` is 0 and `reason` says why where there was no answer."""
    found: Document = {"time": moment, "status": status, "duration_milliseconds": milliseconds}
    reason = reason or ("" if is_taken(status) else f"the receiver answered {status}")
    return found | ({"reason": reason} if reason else {})


def is_taken(status: int) -> bool:
    """Whether the receiver took it; a redirection is none."""
    return 200 <= status < 300


def after(row: Document, made: Document, spread: float) -> Document:
    """What an attempt changes in a delivery. `spread`, from 0 to 1, is where in its jitter the next delay lies."""
    tries = row["tries"] + 1
    values: Document = {
        "attempts": [*row["attempts"], made][-MOST_ATTEMPTS_KEPT:],
        "attempt_count": row["attempt_count"] + 1,
        "tries": tries,
        "next_attempt_time": None,
    }
    if is_taken(made["status"]):
        return values | {"state": DELIVERED, "deliver_time": made["time"]}
    if made["status"] == GONE or tries > len(DELAYS):
        return values | {"state": FAILED}
    return values | {"next_attempt_time": made["time"] + DELAYS[tries - 1] * (1 + JITTER * spread)}
