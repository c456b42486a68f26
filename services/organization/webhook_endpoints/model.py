"""A webhook endpoint: what makes one complete, and when it is given up. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from services.organization.webhook_endpoints.destinations import Destinations

Document = dict[str, Any]
MOST_ENDPOINTS = 50
LONGEST_FAILING = timedelta(days=5)


def check(endpoint: Document, known: Collection[str], destinations: Destinations) -> None:
    """Complete an endpoint; refuse one without a name, to nowhere, or for facts that no contract has."""
    endpoint["display_name"] = " ".join(endpoint["display_name"].split())
    if not endpoint["display_name"]:
        raise Invalid("display_name consists of blanks; say it in words", field="display_name")
    destinations.check(endpoint["url"])
    for index, name in enumerate(endpoint["event_types"]):
        if name not in known:
            near = get_close_matches(name, sorted(known), 3, 0.4) or sorted(known)[:3]
            words = f"no contract has a fact «{name[:100]}»; the nearest are {', '.join(near)}"
            raise Invalid(words, code="EVENT_TYPE_UNKNOWN", field=f"event_types[{index}]")


def changed(before: Document, values: Document) -> Document:
    """What else changes with values: an endpoint that is enabled or sent elsewhere begins anew."""
    if values.get("enabled") or values.get("url", before["url"]) != before["url"]:
        return values | {"disable_reason": None, "failing_since_time": None}
    return values


def must_be_enabled(endpoint: Document) -> None:
    """Refuse to test what gets nothing."""
    if not endpoint.get("enabled"):
        raise WrongState("this webhook endpoint is disabled; enable it first (enabled: true)", code="WEBHOOK_DISABLED")


def full() -> WrongState:
    """For one endpoint more than are served beside each other."""
    return WrongState(f"there are {MOST_ENDPOINTS} webhook endpoints; archive one that nobody needs", code="WEBHOOK_ENDPOINTS_FULL")


def is_given_up(failing_since: datetime, moment: datetime) -> bool:
    """Whether nothing got through for so long that nobody seems to be there."""
    return moment - failing_since >= LONGEST_FAILING
