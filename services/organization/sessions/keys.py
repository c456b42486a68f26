"""Signing keys: made here, published by their public halves, followed by new ones without a failed request.

A new key is published before anybody signs with it, and the old one stays published until its last token has ended. All of it is in
the rows, so that every replica does the same at the same moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from joserfc.jwk import OKPKey
from pymongo.errors import DuplicateKeyError

from chassis.access.tokens import LIFETIME_SECONDS, Signer
from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.storage.client import Database
from chassis.storage.encryption import Vault

COLLECTION = "signing_keys"
FIRST = "current"
ANNOUNCED = timedelta(seconds=10)  # departments ask for keys every two seconds
LINGERS = timedelta(seconds=LIFETIME_SECONDS + 60)
LOOK_SECONDS = 1.0
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


class SigningKeys:
    """The keys in use. `signer` always holds the one to sign with; `run` follows the rows and makes a new key when the last is old."""

    def __init__(self, database: Database, vault: Vault, signer: Signer, lifetime: timedelta) -> None:
        self.database, self.vault, self.signer, self.lifetime = database, vault, signer, lifetime
        self._rows: list[Row] = []

    async def load(self) -> None:
        """Read the rows; make the first key when there is none. Two replicas that start together agree on one."""
        self._rows = await self.database[COLLECTION].find({}).to_list()
        if not self._rows:
            with contextlib.suppress(DuplicateKeyError):
                await self.database[COLLECTION].insert_one(self._fresh(FIRST, now()))
            self._rows = await self.database[COLLECTION].find({}).to_list()
        self._rows.sort(key=_active)
        present = in_use(self._rows, now())
        if self.signer.kid != present["kid"]:
            self.signer.kid, self.signer.key = present["kid"], self._key_of(present)

    def published(self) -> Mapping[str, bytes]:
        """Public keys by key id: the one in use, the one to come, and those whose tokens may still live."""
        return {row["kid"]: bytes(self._key_of(row).public_key.public_bytes_raw()) for row in living(self._rows, now())}

    async def rotate(self) -> None:
        """Announce a new key; nothing happens while one is announced already."""
        if _active(self._rows[-1]) > now():
            return
        await self.database[COLLECTION].insert_one(self._fresh(new_id(), now() + ANNOUNCED))
        await self.load()

    def _key_of(self, row: Row) -> OKPKey:
        return OKPKey.import_key(orjson.loads(self.vault.open_own(row["sealed"], f"signing key:{row['kid']}")))

    def _fresh(self, identity: str, activate_time: datetime) -> Row:
        kid, key = new_id(), OKPKey.generate_key("Ed25519", private=True)
        sealed = self.vault.seal_own(orjson.dumps(key.as_dict(private=True)).decode(), f"signing key:{kid}")
        return {"_id": identity, "kid": kid, "sealed": sealed, "activate_time": activate_time}

    async def run(self) -> None:
        """Follow the rows until cancelled; drop keys that nobody needs."""
        while True:
            await self.load()
            if now() - _active(self._rows[-1]) > self.lifetime:
                await self.rotate()
            kept = {row["_id"] for row in living(self._rows, now())}
            if gone := [row["_id"] for row in self._rows if row["_id"] not in kept]:
                await self.database[COLLECTION].delete_many({"_id": {"$in": gone}})
            await asyncio.sleep(LOOK_SECONDS)


def in_use(rows: list[Row], moment: datetime) -> Row:
    """The newest key whose time has come. Rows are in order."""
    return next((row for row in reversed(rows) if _active(row) <= moment), rows[0])


def living(rows: list[Row], moment: datetime) -> list[Row]:
    """The keys by which tokens may have to be verified: a key ends some time after the next one has begun."""
    following = [*(_active(row) for row in rows[1:]), None]
    return [row for row, after in zip(rows, following, strict=True) if after is None or after + LINGERS > moment]


def _active(row: Row) -> datetime:
    found: datetime = row.get("activate_time", _EVER)
    return found
