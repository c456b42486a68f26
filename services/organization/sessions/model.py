"""A session: how long it lives and when a refresh is refused. No I/O."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from chassis.kernel.errors import NotAllowed

Document = dict[str, Any]
REFRESH_DAYS = 14
MOST_FAILURES = 10
MOST_FAILURES_OF_ADDRESS = 100  # people of one office share an address
FAILURE_MINUTES = 15


def fingerprint(refresh_token: str) -> str:
    """What is stored of a refresh token: enough to recognise it, useless to present it."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()


def opened(person_id: str, refresh_token: str, now: datetime, user_agent: str | None) -> Document:
    """A new session."""
    session: Document = {
        "person_id": person_id,
        "owner_id": person_id,
        "expire_time": now + timedelta(days=REFRESH_DAYS),
        "refresh_hash": fingerprint(refresh_token),
        "used_hashes": [],
    }
    return session | ({"user_agent": user_agent} if user_agent else {})


def refreshed(session: Document, refresh_token: str, now: datetime) -> Document:
    """The changes when a refresh token is exchanged for the next one."""
    return {
        "refresh_hash": fingerprint(refresh_token),
        "used_hashes": [*session.get("used_hashes", []), session["refresh_hash"]][-50:],
        "expire_time": now + timedelta(days=REFRESH_DAYS),
    }


def refused() -> NotAllowed:
    """The one answer to every wrong sign-in: nobody learns whether the address exists."""
    return NotAllowed(
        "mail address or password are wrong; check both, or ask an administrator to set a new password", code="SIGN_IN_REFUSED"
    )


def refresh_refused() -> NotAllowed:
    """The one answer to every wrong refresh token."""
    return NotAllowed("the refresh token is unknown, used, expired or revoked; sign in again", code="REFRESH_REFUSED")
