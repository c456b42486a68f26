"""An API key: what it looks like, how long it lives. No I/O."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from chassis.kernel.errors import Invalid, NotAllowed

Document = dict[str, Any]
PREFIX = "crm_"
LONGEST = timedelta(days=731)


def new_secret() -> str:
    """A key: 256 bits, with a beginning by which scanners of source code recognise it."""
    return PREFIX + secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """What is stored of a key: enough to recognise it, useless to present it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check(key: Document, now: datetime) -> None:
    """Refuse a key without rights, or one that lives for ever."""
    key["roles"] = list(dict.fromkeys(key.get("roles", [])))
    if not key["roles"] and not key.get("role_definition_ids"):
        raise Invalid("a key needs a role; name a shipped one in roles or one of your own in role_definition_ids", field="roles")
    if not now < key["expire_time"] <= now + LONGEST:
        raise Invalid("the key ends in the past, or more than two years from now; choose another expire_time", field="expire_time")


def is_good(key: Document | None, now: datetime) -> bool:
    """Whether the key lives."""
    return key is not None and not key.get("revoke_time") and bool(key["expire_time"] > now)


def refused() -> NotAllowed:
    """The one answer to every key that is no good."""
    return NotAllowed("the API key is unknown, revoked or expired; ask an administrator for a new one", code="API_KEY_REFUSED")
