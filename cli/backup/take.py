"""`xietong backup take`: every department's data as it was at one moment, while all of them go on; what an earlier backup has is not stored again."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from chassis.messaging.models import is_aside
from chassis.storage.encryption import Masters
from cli.backup.repository import FORMAT, Repository, chunks_of
from cli.engines import EngineError
from cli.plan import DEPARTMENTS, Plan
from cli.words import Progress, say

# What only counts while a process lives: leases, and sign-ins that were begun.
PASSING = frozenset(("leases", "provider_sign_ins"))
BATCH = 1000
# A chunk ends after one document in 32, known by its content: what comes, goes or changes elsewhere moves no end. Larger chunks would be stored
# again for fewer changes, smaller ones are more files (docs/adr/0036).
ONE_IN = 32
LARGEST = 1024 * 1024
_WRITERS, _WAITING = 4, 64
_TOO_OLD, _REPLACED = 239, 246
Client = AsyncMongoClient[RawBSONDocument]


def client_of(plan: Plan, department: str) -> Client:
    """A client that may use this department's database; documents stay as bytes."""
    return AsyncMongoClient(plan.mongo_uri_of(department), document_class=RawBSONDocument, tz_aware=True, serverSelectionTimeoutMS=5000)


async def take(plan: Plan, folder: Path, secret: str) -> dict[str, Any]:
    """Add a backup to the repository; its manifest. Raises EngineError where another one is writing, the folder is something else, or the
    moment passed out of the database's memory."""
    repository = Repository(folder, secret)
    with repository.writing(), ThreadPoolExecutor(_WRITERS) as pool:
        name, additions = repository.new_name(), Additions(repository, pool)
        clients = {department: client_of(plan, department) for department in DEPARTMENTS}
        try:
            moment = await _moment(clients["organization"])
            manifest: dict[str, Any] = {
                "format": FORMAT, "name": name, "time": datetime.now(UTC).isoformat(), "cluster_time": [moment.time, moment.inc],
                "masters": {department: list(Masters.of(keys).keys) for department, keys in plan.masters.items()}, "departments": {},
            }  # fmt: skip
            for department, client in clients.items():
                database = f"{plan.database_prefix}_{department}"
                manifest["departments"][department] = await _department(client, database, department, moment, additions)
        except OperationFailure as error:
            if error.code == _REPLACED:
                raise EngineError(
                    "a collection was replaced while it was read, as `xietong rebuild` does at its end; take the backup again"
                ) from error
            if error.code == _TOO_OLD:
                words = "the database no longer remembers the moment at which the backup began; raise minSnapshotHistoryWindowInSeconds and take it again"
                raise EngineError(words) from error
            raise
        finally:
            for client in clients.values():
                await client.close()
            await additions.end()
        manifest["added"] = {"chunks": additions.count, "bytes": additions.bytes}
        repository.finish(manifest)
    size = sum(row["bytes"] for collections in manifest["departments"].values() for row in collections.values())
    say(
        f"  {name}: {size / 1e6:,.1f} MB of documents; {additions.count:,} of {len(chunks_of(manifest)):,} chunks are new, {additions.bytes / 1e6:,.1f} MB"
    )
    return manifest


class Additions:
    """The chunks that a backup adds, written a few at a time while the reading goes on. What a finished backup has is there already."""

    def __init__(self, repository: Repository, pool: ThreadPoolExecutor) -> None:
        self.count = self.bytes = 0
        self._repository, self._pool = repository, pool
        self._waiting: set[asyncio.Future[int]] = set()
        named: set[str] = set()
        for name in repository.names():
            try:
                named |= chunks_of(repository.manifest(name))
            except EngineError as error:  # what it has is stored anew; this backup needs no other
                say(f"  {error}")
        # What no finished backup names may be half written, by a backup that a power cut ended.
        self._known = named & repository.present().keys()

    async def add(self, content: bytes) -> str:
        """The name under which this content is, or will be when `end` returns."""
        chunk = self._repository.name_of(content)
        if chunk not in self._known:
            self._known.add(chunk)
            if len(self._waiting) == _WAITING:
                await self._some(asyncio.FIRST_COMPLETED)
            self._waiting.add(asyncio.get_running_loop().run_in_executor(self._pool, self._repository.store, chunk, content))
        return chunk

    async def end(self) -> None:
        """Wait until everything is on the disk. Raises OSError."""
        if self._waiting:
            await self._some(asyncio.ALL_COMPLETED)

    async def _some(self, until: str) -> None:
        done, self._waiting = await asyncio.wait(self._waiting, return_when=until)
        if failed := [error for written in done if (error := written.exception())]:
            raise failed[0]
        self.count += len(done)
        self.bytes += sum(written.result() for written in done)


async def _moment(client: Client) -> Timestamp:
    """Now, as the cluster counts. Raises EngineError for a server that has just started and does not count yet."""
    answer: Any = await client.admin.command("ping")
    if "operationTime" not in answer:
        raise EngineError("MongoDB has just started and knows no time of its set yet; take the backup again in a few seconds")
    return Timestamp(answer["operationTime"].time, answer["operationTime"].inc)


async def _department(client: Client, database: str, name: str, moment: Timestamp, additions: Additions) -> dict[str, Any]:
    found, progress = {}, Progress(f"{name:13} documents")
    for collection in sorted(await client[database].list_collection_names()):
        if collection not in PASSING and not collection.startswith(("system.", "tmp.")) and not is_aside(collection):
            found[collection] = await _collection(rows(client, database, collection, moment), additions, progress)
    progress.end()
    return found


async def _collection(source: AsyncIterator[RawBSONDocument], additions: Additions, progress: Progress) -> dict[str, Any]:
    chunks, hashed, waiting, count, size = [], hashlib.sha256(), bytearray(), 0, 0
    async for row in source:
        document = row.raw
        hashed.update(document)
        waiting += document
        count, size = count + 1, size + len(document)
        if zlib.crc32(document) % ONE_IN == 0 or len(waiting) >= LARGEST:
            chunks.append(await additions.add(bytes(waiting)))
            waiting.clear()
        if count % BATCH == 0:
            progress.add(BATCH)
    progress.add(count % BATCH)
    if waiting:
        chunks.append(await additions.add(bytes(waiting)))
    return {"count": count, "bytes": size, "sha256": hashed.hexdigest(), "chunks": chunks}


async def rows(client: Client, database: str, collection: str, moment: Timestamp | None = None) -> AsyncIterator[RawBSONDocument]:
    """All documents of a collection by id, as they were at the moment, or as they are."""
    concern: dict[str, Any] = {"level": "snapshot", "atClusterTime": moment} if moment else {"level": "majority"}
    question = {"find": collection, "sort": {"_id": 1}, "batchSize": BATCH, "readConcern": concern}
    async for row in await client[database].cursor_command(question, codec_options=client.codec_options):
        yield row
