"""Relay ids: what the graph calls a record."""

from __future__ import annotations

import base64
from typing import Any

import orjson


def to_global(noun: str, identity: str) -> str:
    """The Relay id of a record: opaque to clients, the type and the department's id to us."""
    return base64.urlsafe_b64encode(f"{noun}:{identity}".encode()).decode().rstrip("=")


def sealed(value: object) -> str:
    """A cursor of the gateway's own."""
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def opened(text: str) -> Any:
    """What is in such a cursor. Raises ValueError for what `sealed` does not make."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != text.rstrip("="):  # letters of no base64 are passed over
        raise ValueError(text[:60])
    return orjson.loads(raw)
