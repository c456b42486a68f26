"""Identities: sortable by the time they were made, opaque, lower case. Pure but for randomness and the clock."""

from __future__ import annotations

import hashlib
import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u
_lock = threading.Lock()
_last = 0


def _text(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, rest = divmod(number, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def new_id() -> str:
    """A new id of 26 characters: 48 bits of milliseconds, 80 bits of randomness; within one process strictly increasing."""
    global _last  # noqa: PLW0603  the counter is what makes ids of one process increase
    with _lock:
        fresh = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
        _last = fresh if fresh > _last else _last + 1
        return _text(_last, 26)


def id_at(seconds: float) -> str:
    """The smallest id that `new_id` makes at a moment, in seconds since 1970."""
    return _text(int(seconds * 1000) << 80, 26)


def from_source(resource: str, source_key: str) -> str:
    """The id of an imported record: the same for the same resource and natural key, on every machine.

    130 bits of SHA-256; importers use it to refer to records that another department stores.
    """
    digest = hashlib.sha256(f"{resource}\x00{source_key}".encode()).digest()
    return _text(int.from_bytes(digest[:17], "big") >> 6, 26)


def time_of(identity: str) -> float:
    """When an id of `new_id` was made, in seconds since 1970; 0 for an id that is none."""
    number = 0
    for letter in identity[:26]:
        value = _ALPHABET.find(letter)
        if value < 0:
            return 0.0
        number = number * 32 + value
    return (number >> 80) / 1000 if len(identity) == 26 else 0.0
