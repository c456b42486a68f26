"""mongod with users: each service is known by its certificate and may use its own database, nothing else."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from chassis.access.identity import Identity
from cli.authority import subject
from cli.engines import Child, mongod_command, start_mongo, until_primary
from cli.plan import MONGO_USER, mongo_tls

ADMIN, KEY = "cli", "mongo.key"
ACTIONS = ("find", "insert", "update", "remove", "createCollection", "createIndex", "listCollections", "listIndexes", "dbStats")
_ADMIN_ROLES = [{"role": "userAdminAnyDatabase", "db": "admin"}, {"role": "clusterManager", "db": "admin"}]
_UNAUTHORIZED, _HAS_SET, _NO_USER, _NO_ROLE = 13, 23, 11, 31
_AGAIN = 0.05


def arguments(folder: Path, engine: Identity) -> list[str]:
    """What start_mongo adds to mongod's command: members by key file, clients by certificate, nobody in plain text."""
    key = folder / KEY
    if not key.exists():
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as sink:
            sink.write(secrets.token_urlsafe(64).replace("-", "+").replace("_", "/"))
    return [
        "--auth", "--keyFile", str(key), "--tlsMode", "requireTLS", "--tlsCAFile", str(engine.authority),
        "--tlsCertificateKeyFile", str(engine.own), "--setParameter", "authenticationMechanisms=MONGODB-X509,SCRAM-SHA-256",
    ]  # fmt: skip


async def start(data: Path, port: int, log: Path, engine: Identity, admin: Identity) -> Child:
    """A one-member set with users. Data of an earlier run is used again, also of one without users."""
    data.mkdir(parents=True, exist_ok=True)
    if (data / "WiredTiger").exists() and not (data.parent / KEY).exists():  # of before there were users
        unguarded, _ = await start_mongo(data, port, log)  # which alone may move it to another port
        await unguarded.stop()
    command = [*mongod_command(data, port), *arguments(data.parent, engine)]
    child = await Child.start("mongod", command, log)
    try:
        await _become_primary(child, port, admin)
    except BaseException:
        await child.stop()
        raise
    return child


async def ensure_users(client: AsyncMongoClient[dict[str, Any]], departments: Sequence[str], prefix: str = "crm") -> None:
    """Each department's role and user, made or corrected."""
    for name in departments:
        database = client[f"{prefix}_{name}"]
        privileges = [{"resource": {"db": database.name, "collection": ""}, "actions": list(ACTIONS)}]
        await _made(database, "Role", "department", privileges=privileges, roles=[])
        await _made(client["$external"], "User", subject(name), roles=[{"role": "department", "db": database.name}])


async def begin(uri: str, departments: Sequence[str], prefix: str = "crm") -> None:
    """A set on a cluster, as `uri` says one member and its own certificate: made if it is new, with the administrator and the departments'
    users. mongod takes who shows a certificate like its own for a member of the set, who may do everything."""
    address = uri.removeprefix("mongodb://").partition("/")[0]
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, directConnection=True, serverSelectionTimeoutMS=5000)
    async with client:
        options = await client.admin.command("getCmdLineOpts")
        member = {"_id": 0, "host": address}
        with suppress_codes(_HAS_SET):
            await client.admin.command("replSetInitiate", {"_id": options["parsed"]["replication"]["replSet"], "members": [member]})
        for _ in range(600):
            if (await client.admin.command("hello")).get("isWritablePrimary"):
                break
            await asyncio.sleep(_AGAIN)
        await _made(client["$external"], "User", subject(ADMIN), roles=_ADMIN_ROLES)
        await ensure_users(client, departments, prefix)


async def _made(database: Any, kind: str, name: str, **wanted: Any) -> None:
    try:
        await database.command(f"update{kind}", name, **wanted)
    except OperationFailure as error:
        if error.code not in (_NO_USER, _NO_ROLE):
            raise
        await database.command(f"create{kind}", name, **wanted)


async def _become_primary(child: Child, port: int, admin: Identity) -> None:
    """Make the set if it is new, the admin if there is no user yet, and wait until this member is primary."""
    where = f"mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=500"
    anyone: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(f"{where}&{mongo_tls(admin)}")
    known: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(f"{where}&{mongo_tls(admin)}{MONGO_USER}")
    try:
        await until_primary(child, partial(_step, anyone, known, port))
    finally:
        await anyone.close()
        await known.close()


async def _step(anyone: AsyncMongoClient[dict[str, Any]], known: AsyncMongoClient[dict[str, Any]], port: int) -> bool:
    """One attempt; whether all is done. `known` is used only where its user must exist: a refused one is tried again after ten seconds."""
    hello, member = await anyone.admin.command("hello"), {"_id": 0, "host": f"127.0.0.1:{port}"}
    if hello.get("isWritablePrimary"):
        with suppress_codes(_UNAUTHORIZED):  # the localhost exception: while there is no user, one of this machine may make the first
            await anyone["$external"].command("createUser", subject(ADMIN), roles=_ADMIN_ROLES)
        return True
    if hello.get("isreplicaset"):  # a new folder, or a new port since the last run
        settings = {"electionTimeoutMillis": 1000}
        with suppress_codes(_UNAUTHORIZED, _HAS_SET):
            await anyone.admin.command("replSetInitiate", {"_id": "crm", "members": [member], "settings": settings})
            return False
        await _move(known, member["host"])
    elif not hello.get("setName"):
        await _move(known, member["host"])
    return False


@contextmanager
def suppress_codes(*codes: int) -> Iterator[None]:
    """Go on after a refusal with one of these codes."""
    try:
        yield
    except OperationFailure as error:
        if error.code not in codes:
            raise


async def _move(known: AsyncMongoClient[dict[str, Any]], host: Any) -> None:
    """A new port since the last run: the member's address is brought up to date."""
    config = (await known.admin.command("replSetGetConfig"))["config"]
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        await known.admin.command("replSetReconfig", config, force=True)
