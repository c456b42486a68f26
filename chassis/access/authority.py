"""Verifies tokens and keeps the directory fresh: keys and policy come from the organization, changes arrive within seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any

from crm.common.v1 import access_service_pb2
from joserfc.jwk import OKPKey

from chassis.access.caller import Caller
from chassis.access.directory import Directory
from chassis.access.parts import PARTS, Part
from chassis.access.tokens import expiry, verify
from chassis.kernel.errors import CrmError, unauthenticated

log = logging.getLogger("crm.access")
FetchDirectory = Callable[[access_service_pb2.GetDirectoryRequest], Awaitable[access_service_pb2.GetDirectoryResponse]]
FetchKeys = Callable[[], Awaitable[Mapping[str, bytes]]]
# What changes is announced; who missed that finds it after this. Who knows nobody yet, for the organization is only coming up, asks more often.
REFRESH_SECONDS, FIRST_SECONDS = 3.0, 0.5
FORGED_SECONDS = 2.0
# A key that is new is asked for when the first token of it comes; one that is old stays for as long as its tokens last, and a minute.
KEYS_SECONDS = 10.0
_ANSWERS = 20  # in which a refresh takes what changed: the directory with the first, the parts in as many as their size wants
_CACHE = 4096


@dataclass
class Authority:
    """Answers «who is this» from a token and holds the policy. `changed` wakes the refresh at once; `parts` are those of the directory that
    this build understands."""

    fetch_directory: FetchDirectory
    fetch_keys: FetchKeys
    directory: Directory = field(default_factory=Directory)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    parts: Sequence[Part[Any]] = PARTS
    _keys: dict[str, OKPKey] = field(default_factory=dict)
    _keys_due: float = 0.0
    _seen: OrderedDict[str, tuple[Caller, float]] = field(default_factory=OrderedDict)

    @property
    def has_keys(self) -> bool:
        """Whether any key was heard of yet."""
        return bool(self._keys)

    async def verify(self, token: str) -> Caller:
        """The caller of a token. Raises NotAllowed (UNAUTHENTICATED) for a bad, expired or revoked one."""
        caller, ends = self._seen.get(token, (None, 0.0))
        if caller is None or time() >= ends:
            caller = await self._verify_anew(token)
        if caller.session_id and caller.session_id in self.directory.revoked:
            raise unauthenticated("The session was ended.")
        return self.directory.present(caller)

    async def _verify_anew(self, token: str) -> Caller:
        try:
            caller = verify(token, self._keys)
        except CrmError:
            if not await self._load_keys():
                raise
            caller = verify(token, self._keys)
        self._seen[token] = (caller, expiry(token))
        while len(self._seen) > _CACHE:
            self._seen.popitem(last=False)
        return caller

    async def _load_keys(self) -> bool:
        """Whether there are keys that were not known; a forged token costs at most one question in two seconds."""
        if monotonic() < getattr(self, "_keys_until", 0.0):
            return False
        self._keys_until = monotonic() + FORGED_SECONDS
        try:
            found = await self.fetch_keys()
        except CrmError as error:
            log.warning("keys not loaded", extra={"reason": error.message})
            return False
        fresh = {kid: OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _base64url(raw)}) for kid, raw in found.items()}
        known = set(self._keys)
        self._keys = fresh
        return bool(set(fresh) - known)

    async def refresh(self) -> bool:
        """Load what changed of the directory and its parts; whether a directory is held. They change together, when all of it is here; where
        the organization fails in between, by what came."""
        found = known = self.directory
        try:
            if monotonic() > self._keys_due:
                self._keys_due = monotonic() + (KEYS_SECONDS if await self._load_keys() or self._keys else 0.0)
            for _ in range(_ANSWERS):
                request = access_service_pb2.GetDirectoryRequest(known_revision=found.revision, known_parts=found.parts.wanted(self.parts))
                answer = await self.fetch_directory(request)
                if answer.HasField("directory") and found.revision != known.revision:
                    break  # people change faster than they are told; the next refresh takes the newest
                if answer.HasField("directory"):
                    found = Directory.of(answer.directory, found.parts)
                for part in answer.parts:
                    found = found.with_parts(found.parts.taken(part, self.parts))
                if not answer.HasField("directory") and not answer.parts:
                    break
        except CrmError as error:
            log.info("directory not loaded", extra={"reason": error.message})
        self.directory = found
        return found.revision > 0

    async def keep_fresh(self) -> None:
        """Refresh when woken and every three seconds; runs until cancelled. Keeps the last directory while the organization is away."""
        while True:
            held = await self.refresh()
            try:
                async with asyncio.timeout(REFRESH_SECONDS if held else FIRST_SECONDS):
                    await self.changed.wait()
            except TimeoutError:
                continue
            self.changed.clear()


def _base64url(raw: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
