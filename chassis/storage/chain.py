"""The audit as a chain: entries are sealed in blocks behind the writes that made them, each block on the hash of the one before.

Sealing stands in nobody's way: a commit only marks its entries as pending. One replica seals, by lease; a block, its entries' marks and
the head move in one transaction.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from joserfc import jws
from joserfc.jwk import OKPKey
from pymongo import ASCENDING, IndexModel, InsertOne, UpdateMany
from pymongo.errors import DuplicateKeyError, PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.errors import CrmError
from chassis.storage.changes import AUDIT, Changes, Duplicate
from chassis.storage.client import Database
from chassis.storage.encryption import Vault

log = logging.getLogger("crm.audit")
BLOCKS, KEYS = "audit_blocks", "audit_keys"
INDEXES = [
    IndexModel([("pending", ASCENDING), ("_id", ASCENDING)], name="pending", partialFilterExpression={"pending": True}),
    IndexModel([("block", ASCENDING)], name="by_block"),
]
MOST_ENTRIES = 500
IDLE_SECONDS = 1.0
# What this process wrote wakes it. What a killed replica left is found by looking.
LOOK_SECONDS = 5.0
CHECKPOINT_SECONDS = 60.0
_ALGORITHM = "Ed25519"
_MARKS = ("pending", "block")
Deliver = Callable[[str, bytes], Awaitable[None]]


def content_of(entry: Mapping[str, Any]) -> bytes:
    """What of an entry is sealed: everything but the marks of sealing, as canonical JSON."""
    plain = {key: value for key, value in entry.items() if key not in _MARKS}
    return orjson.dumps(plain, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NAIVE_UTC)


def digest_of(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def hash_of(number: int, previous: str, time: datetime, lines: Sequence[tuple[str, str]]) -> str:
    """The hash of a block over everything that it says."""
    return digest_of(orjson.dumps([number, previous, time.isoformat(timespec="milliseconds"), [list(line) for line in lines]]))


def sign(key: OKPKey, department: str, number: int, block_hash: str, time: datetime) -> str:
    """A checkpoint: what the chain was at a moment, signed by its department."""
    claims = {"department": department, "number": number, "hash": block_hash, "time": time.isoformat()}
    return jws.serialize_compact({"alg": _ALGORITHM, "typ": "crm-checkpoint"}, orjson.dumps(claims), key, algorithms=[_ALGORITHM])


def read_checkpoint(text: str, public_key: bytes) -> dict[str, Any]:
    """The claims of a checkpoint. Raises ValueError when it is not signed by the key."""
    encoded = base64.urlsafe_b64encode(public_key).decode().rstrip("=")
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": encoded})
    try:
        payload = jws.deserialize_compact(text.encode(), key, algorithms=[_ALGORITHM]).payload
    except Exception as error:
        raise ValueError("the checkpoint is not signed by the department's key") from error
    found: dict[str, Any] = orjson.loads(payload or b"{}")
    return found


class Chain:
    """Seals what was committed. `deliver` brings a checkpoint and the public key to the second place; `run` until cancelled."""

    def __init__(self, department: str, database: Database, vault: Vault, deliver: Deliver | None = None) -> None:
        self.department, self.database, self.vault, self.deliver = department, database, vault, deliver
        self.woken = asyncio.Event()
        self._key: OKPKey | None = None
        self._due = 0.0
        self._told = 0

    async def run(self) -> None:
        """Seal what waits, once a second while anything is written; failures of the database are waited out."""
        await self._begin()
        while True:
            try:
                self.woken.clear()
                sealed = await self.seal() if await self._waiting() else 0
                await self._tell()
            except (PyMongoError, CrmError, Duplicate, OSError, TimeoutError) as error:
                log.info("chain waits", extra={"reason": str(error)[:200]})
                sealed = 0
                self.woken.set()
            if sealed < MOST_ENTRIES:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self.woken.wait()
                await asyncio.sleep(IDLE_SECONDS)

    async def _begin(self) -> None:
        """Entries of before there was a chain are sealed with the first blocks."""
        if await self.head() is None:
            await self.database[AUDIT].update_many({"block": None, "pending": None}, {"$set": {"pending": True}})

    async def _waiting(self) -> bool:
        return bool(await self.database[AUDIT].find({"pending": True}, {"_id": 1}).hint("pending").limit(1).to_list())

    async def seal(self) -> int:
        """Seal the oldest pending entries as one block; how many. A second replica that does so at once fails on the block's number."""
        head = await self.head()  # before the entries: whoever seals meanwhile takes this block's number
        cursor = self.database[AUDIT].find({"pending": True}).sort("_id", ASCENDING).hint("pending").limit(MOST_ENTRIES)
        entries = await cursor.to_list()
        if not entries:
            return 0
        number, previous, moment = (head["_id"] + 1, head["hash"], now()) if head else (1, "", now())
        lines = [(entry["_id"], digest_of(content_of(entry))) for entry in entries]
        block = {
            "_id": number, "previous_hash": previous, "seal_time": moment, "ids": [line[0] for line in lines],
            "digests": [line[1] for line in lines], "hash": hash_of(number, previous, moment, lines),
        }  # fmt: skip
        changes = Changes(self.database)
        changes.write(BLOCKS, InsertOne(block))
        marks = {"$set": {"block": number}, "$unset": {"pending": ""}}
        changes.write(AUDIT, UpdateMany({"_id": {"$in": block["ids"]}, "pending": True}, marks))
        await changes.commit()
        return len(entries)

    async def head(self) -> dict[str, Any] | None:
        """The last block."""
        return await self.database[BLOCKS].find_one({}, sort=[("_id", -1)])

    async def _tell(self) -> None:
        """Bring a checkpoint to the second place, once a minute when there is something new."""
        loop = asyncio.get_running_loop()
        if self.deliver is None or loop.time() < self._due:
            return
        await self.checkpoint()
        self._due = loop.time() + CHECKPOINT_SECONDS

    async def checkpoint(self) -> None:
        """Bring a checkpoint of the chain as it is to the second place, unless the last one was of the same block."""
        head = await self.head()
        if self.deliver is None or head is None or head["_id"] == self._told:
            return
        key = await self._signing_key()
        await self.deliver(sign(key, self.department, head["_id"], head["hash"], now()), bytes(key.public_key.public_bytes_raw()))
        self._told = head["_id"]

    async def _signing_key(self) -> OKPKey:
        if self._key is None:
            row = await self.database[KEYS].find_one({"_id": "current"})
            if row is None:
                fresh = OKPKey.generate_key("Ed25519", private=True)
                try:
                    text = orjson.dumps(fresh.as_dict(private=True)).decode()
                    await self.database[KEYS].insert_one({"_id": "current", "sealed": self.vault.seal_own(text, "audit key")})
                except DuplicateKeyError:
                    log.info("another replica made the key of the chain")
                row = await self.database[KEYS].find_one({"_id": "current"})
            if row is None:
                raise OSError("the key of the chain vanished while it was made")
            self._key = OKPKey.import_key(orjson.loads(self.vault.open_own(row["sealed"], "audit key")))
        return self._key
