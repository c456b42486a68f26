"""Engines that know their clients: certificates for all, a NATS account and a MongoDB user for each department."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
from pymongo import AsyncMongoClient

from cli import authority, mongo_users, nats_accounts
from cli.engines import Child, monitoring, start_nats
from cli.plan import DEPARTMENTS, HOST, MONGO_USER, Plan, mongo_tls


async def start_guarded(plan: Plan, folder: Path, logs: Path, mongo_port: int, nats_port: int) -> list[Child]:
    """MongoDB and NATS, started beside their certificates; users, streams and consumers made or corrected. `plan.tls` must be set."""
    if plan.tls is None:
        raise RuntimeError("a plan without TLS has no certificates")
    known = authority.ensure(plan.tls)
    mongo = await mongo_users.start(folder / "mongo", mongo_port, logs / "mongod.log", known["mongo"], known["cli"])
    try:
        uri = f"mongodb://{HOST}:{mongo_port}/?replicaSet=crm&{mongo_tls(known['cli'])}{MONGO_USER}"
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
        async with client:
            await mongo_users.ensure_users(client, DEPARTMENTS, plan.database_prefix)
        broker = await _start_nats(plan, folder, logs, nats_port)
    except BaseException:
        await mongo.stop()
        raise
    return [mongo, broker]


async def _start_nats(plan: Plan, folder: Path, logs: Path, port: int) -> Child:
    known = authority.ensure(plan.tls) if plan.tls else {}
    wanted = nats_accounts.interests(plan)
    data = folder / "nats"
    shared, own = data / "jetstream" / "$G", data / "jetstream" / nats_accounts.ACCOUNT
    if shared.exists() and not own.exists():  # facts of before there were accounts
        shared.rename(own)
    text = monitoring(urlsplit(plan.nats_monitor).port or 0) + nats_accounts.configuration(port, data, known["nats"], DEPARTMENTS, wanted)
    child, _ = await start_nats(data, port, logs / "nats-server.log", text)
    try:
        connection = await nats.connect(f"tls://{HOST}:{port}", tls=known["cli"].context())
        try:
            await nats_accounts.prepare(connection.jetstream(), DEPARTMENTS, wanted)
        finally:
            # asyncio warns of how nats-py ends a TLS connection; nobody can do anything about it here.
            logging.getLogger("asyncio").setLevel(logging.ERROR)
            await connection.close()
    except BaseException:
        await child.stop()
        raise
    return child
