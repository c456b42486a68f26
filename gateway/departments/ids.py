"""Relay ids: what the graph calls a record."""

from __future__ import annotations

import base64


def to_global(noun: str, identity: str) -> str:
    """The Relay id of a record: opaque to clients, the type and the department's id to us."""
    return base64.urlsafe_b64encode(f"{noun}:{identity}".encode()).decode().rstrip("=")
