"""The connection to MongoDB as safety wants it, and the check that it is so."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from chassis.kernel.errors import CrmError
from chassis.storage import waits

Database = AsyncDatabase[dict[str, Any]]
waits.mend()
_EXISTS = 48


class StorageRefused(CrmError):
    """MongoDB cannot be reached or is not set up as safety needs it; the message is for the person who starts the service."""


def connect(uri: str, name: str, listeners: list[CommandListener] | None = None) -> Database:
    """The department's database: majority writes, journal, majority reads, aware UTC times."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, tz_aware=True, retryWrites=True, serverSelectionTimeoutMS=3000, connectTimeoutMS=2000, maxPoolSize=50,
        # A server that is there no more and does not say so is given up after these two together; by default the first is ten seconds.
        heartbeatFrequencyMS=1000, event_listeners=listeners or [],
    )  # fmt: skip
    return client.get_database(
        name,
        codec_options=CodecOptions(tz_aware=True),
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern("majority"),
    )


async def check(database: Database, uri: str) -> None:
    """Refuse to start on a server that would lose what it acknowledged."""
    where = urlsplit(uri).hostname or uri
    try:
        hello = await database.client.admin.command("hello")
    except PyMongoError as error:
        raise StorageRefused(
            f"MongoDB at {where} (CRM_MONGO_URI) does not answer: {_short(error)}; start it or correct the address"
        ) from error
    if "setName" not in hello:
        raise StorageRefused(f"MongoDB at {where} is no replica set; start it with --replSet and rs.initiate(), one member is enough")


async def ensure_collection(database: Database, name: str) -> None:
    """Make a collection; another replica that starts at the same moment may be quicker."""
    try:
        await database.create_collection(name, check_exists=False)
    except OperationFailure as error:
        if error.code != _EXISTS:
            raise


def _short(error: Exception) -> str:
    return str(error).split(" (configured", maxsplit=1)[0].split(", Timeout:", maxsplit=1)[0][:160]
