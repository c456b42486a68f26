"""`xietong backup verify` and `restore`: is a backup whole, and back into an empty installation."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from bson.raw_bson import RawBSONDocument

from chassis.storage.encryption import Masters
from cli.backup.repository import Repository
from cli.backup.take import Client, client_of, rows
from cli.engines import EngineError
from cli.plan import Plan
from cli.words import Progress, say

BATCH = 1000


def verify(folder: Path, secret: str, name: str = "") -> dict[str, Any]:
    """Read a whole backup (the newest one) and reckon every hash anew; its manifest. Raises EngineError naming what is not as it was written."""
    repository = Repository(folder, secret)
    with repository.reading():
        manifest = repository.manifest(name or repository.newest())
        _must_be_whole(repository, manifest)
    return manifest


async def restore(plan: Plan, folder: Path, secret: str, name: str = "") -> dict[str, Any]:
    """Bring a backup (the newest one) into databases that are empty, and compare what is there then; its manifest. Raises EngineError before
    anything is written where it cannot work: a backup that is not whole or of another installation, a missing master key, data in the way."""
    repository = Repository(folder, secret)
    with repository.reading():
        manifest = repository.manifest(name or repository.newest())
        _has_masters(plan, manifest)
        clients = {department: client_of(plan, department) for department in manifest["departments"]}
        try:
            for department, client in clients.items():
                await _must_be_empty(client, f"{plan.database_prefix}_{department}")
            _must_be_whole(repository, manifest)
            for department, collections in manifest["departments"].items():
                database, progress = f"{plan.database_prefix}_{department}", _progress(f"{department:13} back", collections)
                for collection, said in collections.items():
                    await _fill(clients[department], database, collection, repository, manifest, progress)
                    await _compare(clients[department], database, collection, said)
                progress.end()
        finally:
            for client in clients.values():
                await client.close()
    return manifest


def _must_be_whole(repository: Repository, manifest: dict[str, Any]) -> None:
    for department, collections in manifest["departments"].items():
        progress = _progress(f"{department:13} whole", collections)
        for collection, said in collections.items():
            found, count = hashlib.sha256(), 0
            for document in repository.documents(manifest, department, collection):
                found.update(document)
                count += 1
                if count % BATCH == 0:
                    progress.add(BATCH)
            progress.add(count % BATCH)
            _same(f"{department}.{collection} in {manifest['name']}", said, count, found.hexdigest())
        progress.end()


def _progress(label: str, collections: dict[str, Any]) -> Progress:
    return Progress(label, sum(row["count"] for row in collections.values()))


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


async def _fill(
    client: Client, database: str, collection: str, repository: Repository, manifest: dict[str, Any], progress: Progress
) -> None:
    batch: list[RawBSONDocument] = []
    department, table = database.rpartition("_")[2], client[database][collection]
    for document in repository.documents(manifest, department, collection):
        batch.append(RawBSONDocument(document))
        if len(batch) == BATCH:
            await table.insert_many(batch, ordered=False)
            progress.add(BATCH)
            batch = []
            await asyncio.sleep(0)
    if batch:
        await table.insert_many(batch, ordered=False)
        progress.add(len(batch))


async def _compare(client: Client, database: str, collection: str, said: dict[str, Any]) -> None:
    found, count = hashlib.sha256(), 0
    if said["count"]:
        async for row in rows(client, database, collection):
            found.update(row.raw)
            count += 1
    _same(f"{database}.{collection} after restoring", said, count, found.hexdigest())


def _same(what: str, said: dict[str, Any], count: int, sha256: str) -> None:
    if (count, sha256) != (said["count"], said["sha256"]):
        raise EngineError(f"{what}: {count:,} documents with another content than the {said['count']:,} that were written")


def show(folder: Path, secret: str) -> None:
    """Every backup of a repository: its name, what it holds, what it added. One that has gaps or was changed is told."""
    repository = Repository(folder, secret)
    repository.newest()
    present = repository.present().keys()
    say(f"  {'backup':20} {'documents':>12} {'MB':>10} {'added MB':>10}")
    for name in repository.names():
        try:
            manifest = repository.manifest(name)
        except EngineError as error:
            say(f"  {name:20} {error}")
            continue
        held = [row for collections in manifest["departments"].values() for row in collections.values()]
        gaps = len({chunk for row in held for chunk in row["chunks"]} - present)
        count, size = sum(row["count"] for row in held), sum(row["bytes"] for row in held) / 1e6
        words = f"  not whole: {gaps:,} chunks are missing" if gaps else ""
        say(f"  {name:20} {count:>12,} {size:>10,.1f} {manifest['added']['bytes'] / 1e6:>10,.1f}{words}")
