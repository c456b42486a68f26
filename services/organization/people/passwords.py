"""argon2id, off the event loop and never more than two at a time: a flood of sign-ins must not take the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from chassis.kernel.errors import NotAllowed

_hasher = PasswordHasher()  # RFC 9106, low-memory profile: 64 MiB, 3 passes, 4 lanes
_slots = asyncio.Semaphore(2)
MOST_IN_LINE = 20
_lines: dict[str, tuple[asyncio.Lock, list[None]]] = {}
# Verified when there is no such person, so that the answer takes as long.
_NOBODY = _hasher.hash("nobody has this password")


@asynccontextmanager
async def in_line(place: str) -> AsyncIterator[None]:
    """One sign-in of a place at a time, so that a flood from one takes its own time and not that of the others.

    Raises SIGN_IN_THROTTLED where too many of the place wait already."""
    lock, waiting = _lines.setdefault(place, (asyncio.Lock(), []))
    if len(waiting) >= MOST_IN_LINE:
        words = "too many sign-ins from where you are wait to be judged; try again in a moment, or on a device that is known"
        raise NotAllowed(words, code="SIGN_IN_THROTTLED", retryable=True)
    waiting.append(None)
    try:
        async with lock:
            yield
    finally:
        waiting.pop()
        if not waiting:
            _lines.pop(place, None)


async def hash_password(password: str) -> str:
    """The hash to store."""
    async with _slots:
        return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(stored: str, password: str) -> bool:
    """Whether the password is the one; takes the same time for an empty hash."""
    async with _slots:
        return await asyncio.to_thread(_verify, stored, password)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored or _NOBODY, password) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False
