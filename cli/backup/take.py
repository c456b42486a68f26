"""`xietong backup take`: every department's data as it was at one moment, while all of them go on."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from chassis.storage.encryption import Masters
from cli.backup.archive import FORMAT, Archive
from cli.engines import EngineError
from cli.plan import DEPARTMENTS, Plan
from cli.words import say

# What only counts while a process lives: leases, and sign-ins that were begun.
PASSING = frozenset(("leases", "provider_sign_ins"))
BATCH = 1000
_TOO_OLD = 239
Client = AsyncMongoClient[RawBSONDocument]


def client_of(plan: Plan, department: str) -> Client:
    """A client that may use this department's database; documents stay as bytes."""
    return AsyncMongoClient(plan.mongo_uri_of(department), document_class=RawBSONDocument, tz_aware=True, serverSelectionTimeoutMS=5000)


async def take(plan: Plan, folder: Path, secret: str) -> dict[str, Any]:
    """Write a backup; the manifest. Raises EngineError where the folder is in use or the moment passed out of the database's memory."""
    archive = Archive.make(folder, base64.urlsafe_b64decode(secret + "=="))
    clients = {name: client_of(plan, name) for name in DEPARTMENTS}
    try:
        moment = await _moment(clients["organization"])
        manifest: dict[str, Any] = {
            "format": FORMAT, "time": datetime.now(UTC).isoformat(), "cluster_time": [moment.time, moment.inc], "departments": {},
            "masters": {name: list(Masters.of(keys).keys) for name, keys in plan.masters.items()},
        }  # fmt: skip
        for name, client in clients.items():
            manifest["departments"][name] = await _department(client, f"{plan.database_prefix}_{name}", name, moment, archive)
            rows = manifest["departments"][name].values()
            say(f"  {name:13} {sum(row['count'] for row in rows):>9,} documents, {sum(row['bytes'] for row in rows) / 1e6:,.1f} MB")
        archive.finish(manifest)
    except OperationFailure as error:
        if error.code == _TOO_OLD:
            words = "the database no longer remembers the moment at which the backup began; raise minSnapshotHistoryWindowInSeconds and take it again"
            raise EngineError(words) from error
        raise
    finally:
        for client in clients.values():
            await client.close()
    return manifest


async def _moment(client: Client) -> Timestamp:
    """Now, as the cluster counts."""
    answer: Any = await client.admin.command("ping")
    return Timestamp(answer["operationTime"].time, answer["operationTime"].inc)


async def _department(client: Client, database: str, name: str, moment: Timestamp, archive: Archive) -> dict[str, Any]:
    found = {}
    for collection in sorted(await client[database].list_collection_names()):
        if collection in PASSING or collection.startswith("system."):
            continue
        writer = archive.writer(f"{name}.{collection}")
        async for row in rows(client, database, collection, moment):
            writer.add(bytes(row.raw))
        found[collection] = writer.close()
    return found


async def rows(client: Client, database: str, collection: str, moment: Timestamp | None = None) -> AsyncIterator[RawBSONDocument]:
    """All documents of a collection by id, as they were at the moment, or as they are."""
    concern: dict[str, Any] = {"level": "snapshot", "atClusterTime": moment} if moment else {"level": "majority"}
    question = {"find": collection, "sort": {"_id": 1}, "batchSize": BATCH, "readConcern": concern}
    async for row in await client[database].cursor_command(question, codec_options=client.codec_options):
        yield row
