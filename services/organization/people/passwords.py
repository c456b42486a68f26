"""argon2id, off the event loop and never more than two at a time: a flood of sign-ins must not take the machine."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()  # RFC 9106, low-memory profile: 64 MiB, 3 passes, 4 lanes
_slots = asyncio.Semaphore(2)
# Verified when there is no such person, so that the answer takes as long.
_NOBODY = _hasher.hash("nobody has this password")


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
