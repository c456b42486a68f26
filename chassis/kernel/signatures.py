"""Secrets and signatures of Standard Webhooks 1.0.0, for what goes out and what comes in. Pure but for randomness."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

PREFIX = "whsec_"
_BYTES, _FEWEST, _MOST = 32, 24, 64
# Both sides change a secret without hurry.
OVERLAP = timedelta(hours=24)
MOST_SECRETS = 3
TOLERANCE_SECONDS = 300
MOST_OFFERED = 10


def new_secret() -> str:
    """A secret as everybody's libraries take it: a mark, and 256 bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether a text is such a secret: 24 to 64 bytes in base64 behind the mark."""
    try:
        return text.startswith(PREFIX) and _FEWEST <= len(base64.b64decode(text.removeprefix(PREFIX), validate=True)) <= _MOST
    except ValueError:  # binascii.Error is one
        return False


def rotated(kept: Sequence[Mapping[str, Any]], fresh: Mapping[str, Any], moment: datetime) -> list[Mapping[str, Any]]:
    """The secrets after a rotation, newest first: those before are good for a while still (`until`)."""
    until = moment + OVERLAP
    return [fresh, *({**one, "until": min(one.get("until", until), until)} for one in living(kept, moment))][:MOST_SECRETS]


def living(kept: Iterable[Mapping[str, Any]], moment: datetime) -> list[Mapping[str, Any]]:
    """The secrets that are good now."""
    return [one for one in kept if one.get("until", moment + OVERLAP) > moment]


def signatures(keys: Iterable[str], identity: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one signature a secret, with blanks between them. `timestamp` is in seconds since 1970."""
    return " ".join(_signature(key, identity, str(timestamp), body) for key in keys)


def flaw(keys: Iterable[str], headers: tuple[str, str, str], body: bytes, moment: datetime) -> str:
    """Why this is not a message of these minutes that one of the secrets signed; "" when it is. `headers` are webhook-id,
    webhook-timestamp and webhook-signature. Every signature is compared with every secret, in the same time whichever fits."""
    identity, timestamp, given = headers
    offered = [one.encode() for one in given.split(" ")[:MOST_OFFERED]]
    expected = [_signature(key, identity, timestamp, body).encode() for key in keys]
    fits = [hmac.compare_digest(one, other) for one in offered for other in expected]
    if not identity or not any(fits):
        return "no secret in use signed it"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        return "its timestamp is no number of seconds"
    if abs(int(timestamp) - moment.timestamp()) > TOLERANCE_SECONDS:
        return "its timestamp is more than five minutes off; check both clocks"
    return ""


def _signature(key: str, identity: str, timestamp: str, body: bytes) -> str:
    digest = hmac.digest(base64.b64decode(key.removeprefix(PREFIX)), f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"
