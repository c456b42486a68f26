"""Personal data at rest: each subject's values under a key of its own, so that destroying one key makes one person unreadable everywhere.

Values are AES-256-GCM (RFC 5116) over field and record, so that nobody can move one to another place. A subject's key lies in the
department's vault, wrapped by the master key, which never touches the database. Values are found by a blind index (HMAC-SHA-256).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymongo import ASCENDING, IndexModel, InsertOne, UpdateOne
from pymongo.errors import DuplicateKeyError

from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict
from chassis.storage.client import Database, StorageRefused

log = logging.getLogger("crm.vault")
VAULT = "subject_keys"
_DATA = "audit_entries"  # where there is one of these, something was written before
INDEX = IndexModel([("master", ASCENDING)], name="by_master")
DEPARTMENT = "department"
KEPT_SECONDS = 30.0
MOST_KEPT = 20_000
REWRAP_BATCH = 500
_NONCE, _KEY = 12, 32
_MARK = "\ue000"  # a private-use character: a sealed text inside of a message begins with it


class Commit(Protocol):
    """What is written together, as far as keys need it: `Changes`."""

    def write(self, collection: str, operation: InsertOne[dict[str, Any]] | UpdateOne) -> None:
        """One more write of the commit."""


@dataclass(frozen=True)
class Masters:
    """The master keys by key id; the first wraps, the others only unwrap what is older."""

    keys: dict[str, AESGCM]

    @staticmethod
    def of(text: str) -> Masters:
        """From base64url keys of 32 bytes joined by commas. Raises ValueError."""
        found = {}
        for part in text.split(","):
            raw = base64.urlsafe_b64decode(part.strip() + "=" * (-len(part.strip()) % 4))
            if len(raw) != _KEY:
                raise ValueError(f"a master key has {_KEY} bytes, not {len(raw)}")
            found[hashlib.sha256(raw).hexdigest()[:12]] = AESGCM(raw)
        return Masters(found)

    @property
    def current(self) -> str:
        """The id of the key that wraps."""
        return next(iter(self.keys))

    def wrap(self, subject: str, key: bytes) -> dict[str, Any]:
        """The stored form of a subject's key."""
        return {"master": self.current, "key": _sealed(self.keys[self.current], key, f"key:{subject}".encode())}

    def unwrap(self, row: dict[str, Any]) -> bytes:
        """A subject's key. Raises StorageRefused when its master key is not among ours."""
        master = self.keys.get(row["master"])
        if master is None:
            raise StorageRefused(f"the master key {row['master']} is missing from CRM_MASTER_KEYS; add it behind the others")
        return _opened(master, row["key"], f"key:{row['_id']}".encode())


class Vault:
    """The keys of a department's subjects. `begin` before anything else; `rewrap` brings all under the first master key."""

    def __init__(self, database: Database, masters: Masters) -> None:
        self.database, self.masters = database, masters
        self._kept: OrderedDict[str, tuple[float, AESGCM]] = OrderedDict()
        self._own = AESGCM(bytes(_KEY))
        self._blind = b""

    async def begin(self) -> None:
        """Load the department's own key; made at the first start. Two replicas that start together agree on one."""
        query = {"_id": DEPARTMENT}
        row = await self.database[VAULT].find_one(query)
        if row is None:
            if await self.database[_DATA].find_one({}, {"_id": 1}):  # there is data, so there was a key
                raise StorageRefused(
                    f"{self.database.name} has data but no keys ({VAULT}); restore them from a backup, or begin with an empty one"
                )
            try:
                await self.database[VAULT].insert_one(query | self.masters.wrap(DEPARTMENT, os.urandom(_KEY)) | {"create_time": now()})
            except DuplicateKeyError:
                row = None
            row = await self.database[VAULT].find_one(query)
        if row is None:
            raise StorageRefused("the department's key vanished while it was made; start again")
        key = self.masters.unwrap(row)
        self._own = AESGCM(key)
        self._blind = HKDF(SHA256(), _KEY, None, b"blind index").derive(key)

    # ---- keys of subjects

    async def keys(self, subjects: Iterable[str]) -> dict[str, AESGCM]:
        """The keys of those subjects that have one, in one read for all that are not remembered."""
        moment = time.monotonic()
        found: dict[str, AESGCM] = {}
        missing = []
        for subject in dict.fromkeys(subjects):
            kept = self._kept.get(subject)
            if kept and kept[0] > moment:
                found[subject] = kept[1]
            else:
                missing.append(subject)
        if missing:
            query = {"_id": {"$in": missing}, "key": {"$exists": True}}
            async for row in self.database[VAULT].find(query, {"master": 1, "key": 1}):
                found[row["_id"]] = self._keep(row["_id"], AESGCM(self.masters.unwrap(row)), moment)
        return found

    async def keys_for(self, changes: Commit, subjects: Iterable[str]) -> dict[str, AESGCM]:
        """The keys of all these subjects; new ones are made with the commit. Raises Conflict ERASED for a destroyed one."""
        wanted = list(dict.fromkeys(subjects))
        found = await self.keys(wanted)
        missing = [subject for subject in wanted if subject not in found]
        for subject in sorted(await self.destroyed(missing)):
            raise erased(subject)
        for subject in missing:
            key = os.urandom(_KEY)
            changes.write(VAULT, InsertOne({"_id": subject, **self.masters.wrap(subject, key), "create_time": now()}))
            found[subject] = AESGCM(key)
        return found

    async def destroyed(self, subjects: Iterable[str]) -> set[str]:
        """Those of the subjects whose key was destroyed: nothing personal can be kept about them any more."""
        wanted = sorted(set(subjects) - {""})
        query = {"_id": {"$in": wanted}, "destroy_time": {"$exists": True}}
        return {row["_id"] async for row in self.database[VAULT].find(query, {"_id": 1})} if wanted else set()

    def destroy(self, changes: Commit, subject: str) -> None:
        """Destroy a subject's key with the commit; what remains only says that there was one."""
        self.forget(subject)
        values = {"$set": {"destroy_time": now()}, "$unset": {"key": "", "master": ""}}
        changes.write(VAULT, UpdateOne({"_id": subject}, values, upsert=True))

    def forget(self, subject: str) -> None:
        """Remember a subject's key no longer."""
        self._kept.pop(subject, None)

    async def run(self) -> None:
        """Bring every key under the first master key, once, beside whatever else is going on."""
        if done := await self.rewrap():
            log.info("keys rewrapped", extra={"count": done, "master": self.masters.current})

    async def rewrap(self) -> int:
        """Bring the keys that an older master key wraps under the first one; how many. Reads and writes go on meanwhile."""
        done = 0
        query = {"master": {"$in": list(self.masters.keys)[1:]}}
        while rows := await self.database[VAULT].find(query).limit(REWRAP_BATCH).to_list():
            updates = [
                UpdateOne({"_id": row["_id"], "key": row["key"]}, {"$set": self.masters.wrap(row["_id"], self.masters.unwrap(row))})
                for row in rows
            ]
            await self.database[VAULT].bulk_write(updates, ordered=False)
            done += len(rows)
        return done

    def _keep(self, subject: str, key: AESGCM, moment: float) -> AESGCM:
        self._kept[subject] = (moment + KEPT_SECONDS, key)
        self._kept.move_to_end(subject)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return key

    # ---- secrets of the department, and the blind index

    def seal_own(self, text: str, context: str) -> bytes:
        """A secret of the department itself, for its database. `context` names its place."""
        return _sealed(self._own, text.encode(), context.encode())

    def open_own(self, value: bytes, context: str) -> str:
        """A secret of the department. Raises InvalidTag when it was changed or moved."""
        return _opened(self._own, value, context.encode()).decode()

    def blind(self, text: str) -> str:
        """What a text is found by: 96 bits of a keyed hash, base64url. The same text gives the same; nothing leads back."""
        if not self._blind:
            raise RuntimeError("the vault was not begun")
        digest = hmac.digest(self._blind, text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:12]).decode()


def seal(key: AESGCM, text: str, context: str) -> bytes:
    """A value of a subject, for one place: `context` is "<resource>.<field>:<record id>"."""
    return _sealed(key, text.encode(), context.encode())


def open_value(key: AESGCM, value: bytes, context: str) -> str | None:
    """The value; None when it was changed, moved, or sealed under another key."""
    try:
        return _opened(key, value, context.encode()).decode()
    except InvalidTag:
        return None


def seal_bytes(key: AESGCM, plain: bytes, context: str) -> bytes:
    """As `seal`, of what is no text."""
    return _sealed(key, plain, context.encode())


def open_bytes(key: AESGCM, value: bytes, context: str) -> bytes:
    """What `seal_bytes` sealed. Raises InvalidTag when it was changed, moved, or sealed under another key."""
    return _opened(key, value, context.encode())


def as_text(value: bytes) -> str:
    """A sealed value where only a text fits."""
    return _MARK + base64.b64encode(value).decode()


def from_text(text: str) -> bytes | None:
    """The sealed value in a text; None when it is a plain one."""
    return base64.b64decode(text[1:]) if text.startswith(_MARK) else None


def erased(subject: str) -> Conflict:
    """The refusal to keep anything more about a person who was erased."""
    return Conflict(f"the customer «{subject}» was erased; nothing personal can be kept about it any more", code="ERASED", retryable=False)


def _sealed(key: AESGCM, plain: bytes, context: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + key.encrypt(nonce, plain, context)


def _opened(key: AESGCM, value: bytes, context: bytes) -> bytes:
    return key.decrypt(value[:_NONCE], value[_NONCE:], context)
