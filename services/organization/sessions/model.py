"""A session: how long it lives and when a refresh is refused. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from datetime import datetime, timedelta
from typing import Any

from chassis.kernel.errors import NotAllowed

Document = dict[str, Any]
REFRESH_DAYS = 14
# A refresh token that comes again so soon, before its successor was used, is a second tab or a lost answer: it gets the same successor.
REPEAT_SECONDS = 30
FAILURE_MINUTES = 15
# Guesses at one account from one place (an address, or a device that is known) come at growing intervals after the first few.
FREE_GUESSES, LONGEST_WAIT_SECONDS = 5, FAILURE_MINUTES * 60
# From everywhere together, in FAILURE_MINUTES: hundreds of addresses are needed to reach it, and devices that are known get in all the same.
# At this rate the 10^8 guesses that a password must withstand take five years.
MOST_GUESSES_OF_ACCOUNT = 500
DEVICE_DAYS = 180


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


def refreshed(session: Document, refresh_token: str, salt: str, now: datetime) -> Document:
    """The changes when a refresh token is exchanged for its successor by this salt."""
    return {
        "refresh_hash": fingerprint(successor(refresh_token, salt)),
        "refresh_salt": salt,
        "refresh_time": now,
        "used_hashes": [*session.get("used_hashes", []), session["refresh_hash"]][-50:],
        "expire_time": now + timedelta(days=REFRESH_DAYS),
    }


def successor(refresh_token: str, salt: str) -> str:
    """The refresh token that follows: HMAC-SHA-256 of the salt under the token. It can be reckoned again by whoever has both, the session's
    salt and the client's token; neither tells anything alone, so nothing is stored that opens a session."""
    digest = hmac.digest(refresh_token.encode(), salt.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def repeats(session: Document, refresh_token: str, now: datetime) -> bool:
    """Whether a token is the one that was exchanged last, no more than REPEAT_SECONDS ago, and for the successor that counts now: a replica of
    a build that knows no salt leaves time and salt of the exchange before its own."""
    used, since, salt = session.get("used_hashes", []), session.get("refresh_time"), session.get("refresh_salt")
    if not (since and salt and used and used[-1] == fingerprint(refresh_token)):
        return False
    return bool(now - since <= timedelta(seconds=REPEAT_SECONDS) and fingerprint(successor(refresh_token, salt)) == session["refresh_hash"])


def refused() -> NotAllowed:
    """The one answer to every wrong sign-in: nobody learns whether the address exists."""
    return NotAllowed(
        "mail address or password are wrong; check both, or ask an administrator to set a new password", code="SIGN_IN_REFUSED"
    )


def refresh_refused() -> NotAllowed:
    """The one answer to every wrong refresh token."""
    return NotAllowed("the refresh token is unknown, used, expired or revoked; sign in again", code="REFRESH_REFUSED")


def throttled(seconds: float) -> NotAllowed:
    """For who guessed too often; the same whether the account exists, and whether this password is the right one."""
    wait = max(1, math.ceil(seconds))
    words = f"too many failed sign-ins; wait {wait} s, or sign in on a device that is known"
    return NotAllowed(words, code="SIGN_IN_THROTTLED", retryable=True)


def device_content(person_id: str, device_id: str, now: datetime) -> str:
    """What a device token says, before it is sealed."""
    return json.dumps([person_id, device_id, int(now.timestamp())])


def device_of(content: str, person_id: str, now: datetime) -> str:
    """The id of the device that a token names, where it is this person's and not too old; "" for any other."""
    owner, device_id, issued = json.loads(content)
    return str(device_id) if owner == person_id and now.timestamp() - issued < DEVICE_DAYS * 86400 else ""
