"""A webhook endpoint: what makes one complete, its secret, and its signature (Standard Webhooks 1.0.0). No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from chassis.kernel.errors import Invalid, WrongState
from services.organization.webhook_endpoints.destinations import Destinations

Document = dict[str, Any]
PREFIX = "whsec_"
SECRET_BYTES = 32
# Both sides change a secret without hurry.
OVERLAP = timedelta(hours=24)
MOST_SECRETS = 3
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


# ---- secrets and signatures


def new_secret() -> str:
    """A secret as receivers' libraries take it: a mark, and 256 bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def rotated(kept: Sequence[Document], fresh: Document, moment: datetime) -> list[Document]:
    """The secrets after a rotation, newest first: those before sign for a while still."""
    until = moment + OVERLAP
    return [fresh, *(one | {"until": min(one.get("until", until), until)} for one in living(kept, moment))][:MOST_SECRETS]


def living(kept: Iterable[Document], moment: datetime) -> list[Document]:
    """The secrets that sign now."""
    return [one for one in kept if one.get("until", moment + OVERLAP) > moment]


def signatures(keys: Iterable[str], identity: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one signature a secret, with blanks between them. `timestamp` is in seconds since 1970."""
    signed = f"{identity}.{timestamp}.".encode() + body
    digests = (hmac.digest(base64.b64decode(key.removeprefix(PREFIX)), signed, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
