"""`xietong backup verify`, `restore` and `drill`: is a backup whole, back into an empty installation, and would that work."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from chassis.storage.encryption import Masters
from cli.backup.archive import Archive, documents
from cli.backup.take import client_of, rows
from cli.engines import EngineError, free_port, start_mongo
from cli.installation import Installation
from cli.plan import Plan
from cli.words import say, step

BATCH = 1000
Client = AsyncMongoClient[RawBSONDocument]


def verify(folder: Path, secret: str) -> dict[str, Any]:
    """Read the whole backup and reckon every hash anew; the manifest. Raises EngineError naming what is not as it was written."""
    archive, manifest = _open(folder, secret)
    for name, collections in manifest["departments"].items():
        for collection, said in collections.items():
            found, count = hashlib.sha256(), 0
            for document in documents(archive.read(f"{name}.{collection}")):
                found.update(document)
                count += 1
            _same(f"{name}.{collection} in the backup", said, count, found.hexdigest())
        say(f"  {name:13} whole: {sum(row['count'] for row in collections.values()):,} documents in {len(collections)} collections")
    return manifest


async def restore(plan: Plan, folder: Path, secret: str) -> None:
    """Bring everything into databases that are empty, and compare what is there then. Raises EngineError before anything is written
    where it cannot work: another installation's backup, a missing master key, data in the way."""
    archive, manifest = _open(folder, secret)
    _has_masters(plan, manifest)
    clients = {name: client_of(plan, name) for name in manifest["departments"]}
    try:
        for name, client in clients.items():
            await _must_be_empty(client, f"{plan.database_prefix}_{name}")
        for name, collections in manifest["departments"].items():
            database = f"{plan.database_prefix}_{name}"
            with step(f"{name}: {sum(row['count'] for row in collections.values()):,} documents"):
                for collection, said in collections.items():
                    await _fill(clients[name], database, collection, archive, f"{name}.{collection}")
                    await _compare(clients[name], database, collection, said)
    finally:
        for client in clients.values():
            await client.close()


async def drill(installation: Installation, folder: Path, secret: str) -> None:
    """Restore into a scratch database of this machine's, compare, and throw it away."""
    with TemporaryDirectory() as text:
        scratch = Path(text)
        child, uri = await start_mongo(scratch / "mongo", free_port(), scratch / "mongod.log")
        try:
            plan = installation.plan(mongo_uri=uri)
            plan.tls = None
            await restore(plan, folder, secret)
        finally:
            await child.stop()
    say("  the backup was restored into a scratch database, and equals what was written, hash by hash")


def _open(folder: Path, secret: str) -> tuple[Archive, dict[str, Any]]:
    return Archive.open(folder, base64.urlsafe_b64decode(secret + "=="))


def _has_masters(plan: Plan, manifest: dict[str, Any]) -> None:
    for name, wanted in manifest["masters"].items():
        known = set(Masters.of(plan.masters[name]).keys)
        if not known & set(wanted):
            raise EngineError(
                f"the master keys of {name} are not those of the backup; put installation.json of the installation it was taken of into this one's folder"
            )


async def _must_be_empty(client: Client, database: str) -> None:
    for collection in await client[database].list_collection_names():
        if await client[database][collection].find_one({}, {"_id": 1}) is not None:
            raise EngineError(f"{database}.{collection} has data; restore into an empty installation (CRM_DATA_DIR names its folder)")


async def _fill(client: Client, database: str, collection: str, archive: Archive, name: str) -> None:
    batch: list[RawBSONDocument] = []
    table = client[database][collection]
    for document in documents(archive.read(name)):
        batch.append(RawBSONDocument(document))
        if len(batch) == BATCH:
            await table.insert_many(batch, ordered=False)
            batch = []
            await asyncio.sleep(0)
    if batch:
        await table.insert_many(batch, ordered=False)


async def _compare(client: Client, database: str, collection: str, said: dict[str, Any]) -> None:
    found, count = hashlib.sha256(), 0
    if said["count"]:
        async for row in rows(client, database, collection):
            found.update(row.raw)
            count += 1
    _same(f"{database}.{collection} after restoring", said, count, found.hexdigest())


def _same(what: str, said: dict[str, Any], count: int, sha256: str) -> None:
    if (count, sha256) != (said["count"], said["sha256"] if said["count"] else hashlib.sha256().hexdigest()):
        raise EngineError(f"{what}: {count:,} documents with another content than the {said['count']:,} that were written")
