"""`xietong backup drill`: would a restore work? Tried with a database of its own on this machine, told in one table, and thrown away."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bson import decode
from cryptography.exceptions import InvalidTag

from chassis.storage.client import StorageRefused
from chassis.storage.encryption import VAULT, Masters
from cli.backup.restore import restore
from cli.backup.take import client_of, rows
from cli.engines import EngineError, free_port, start_mongo
from cli.plan import Plan
from cli.words import say


async def drill(plan: Plan, folder: Path, secret: str, name: str = "") -> None:
    """Restore a backup (the newest one) into a scratch database, compare every hash, and open every key of personal data with the plan's
    master keys. No department is started: a copy of the data must not send mails or webhooks. Raises EngineError where a restore would fail."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="xietong-drill-") as text:
        scratch = Path(text)
        child, uri = await start_mongo(scratch / "mongo", free_port(), scratch / "mongod.log")
        try:
            there = Plan(
                mongo_uri=uri, nats_url="", grpc={}, ops={}, gateway_port=0, faq_port=0, smtp_port=0, masters=plan.masters,
                database_prefix=plan.database_prefix,
            )  # fmt: skip
            manifest = await restore(there, folder, secret, name)
            keys = {department: await _opened(there, department) for department in manifest["departments"]}
        finally:
            await child.stop()
    _table(manifest, keys)
    say(f"  {manifest['name']} was restored and equals what was written, hash by hash, in {time.monotonic() - started:.1f} s")


async def _opened(plan: Plan, department: str) -> int:
    """How many keys of personal data open; all of them, or EngineError."""
    masters, count = Masters.of(plan.masters[department]), 0
    client = client_of(plan, department)
    try:
        async for raw in rows(client, f"{plan.database_prefix}_{department}", VAULT):
            row = decode(raw.raw)
            if "key" in row:  # an erased subject has none
                masters.unwrap(row)
                count += 1
    except (StorageRefused, InvalidTag) as error:
        why = str(error) or "it was changed"
        raise EngineError(f"a key of personal data of {department} does not open: {why}") from error
    finally:
        await client.close()
    return count


def _table(manifest: dict[str, Any], keys: dict[str, int]) -> None:
    say(f"\n  {'department':13} {'collections':>11} {'documents':>12} {'MB':>10} {'hashes':>8} {'keys open':>10}")
    for department, collections in manifest["departments"].items():
        count, size = sum(row["count"] for row in collections.values()), sum(row["bytes"] for row in collections.values()) / 1e6
        say(f"  {department:13} {len(collections):>11,} {count:>12,} {size:>10,.1f} {'equal':>8} {keys[department]:>10,}")
