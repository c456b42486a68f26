"""The doctor's look at MongoDB: version, majority, clock, disk, and the indexes of every department. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from chassis.runtime.department import Department
from chassis.storage.client import Database
from cli.doctor.finding import Finding, clock
from cli.plan import Plan

PART, OLDEST, LEAST_FREE = "MongoDB", (6, 0), 0.10
MOST_UNCOMMITTED = 10.0
_UNAUTHORIZED = 13


async def look(plan: Plan, departments: Sequence[Department]) -> list[Finding]:
    """The set as a whole, then each database."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(plan.mongo_uri_of("cli"), tz_aware=True, serverSelectionTimeoutMS=3000)
    async with client:
        try:
            found = await _set(client)
        except PyMongoError as error:
            return [Finding(PART, f"does not answer: {str(error)[:160]}", "start it, or correct CRM_MONGO_URI")]
    return [*found, await _disk(departments[0].database), *[await _indexes(department) for department in departments]]


async def _set(client: AsyncMongoClient[dict[str, Any]]) -> list[Finding]:
    before = datetime.now(UTC)
    hello = await client.admin.command("hello")
    time = clock(PART, hello["localTime"].replace(tzinfo=UTC), before, datetime.now(UTC))
    version = str((await client.admin.command("buildInfo"))["version"])
    found = [
        time,
        Finding(PART, f"version {version}", "" if tuple(map(int, version.split(".")[:2])) >= OLDEST else "update it to 6.0 or newer"),
    ]
    if "setName" not in hello:
        return [*found, Finding(PART, "is no replica set", "start it with --replSet and rs.initiate(), one member is enough")]
    try:
        status, config = await client.admin.command("replSetGetStatus"), await client.admin.command("replSetGetConfig")
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return [*found, Finding(PART, f"replica set {hello['setName']}; its members may not be looked at by this user")]
    return [*found, *members(status, config["config"])]


def members(status: dict[str, Any], config: dict[str, Any]) -> list[Finding]:
    """Whether a majority is there, writes what it acknowledges to disk, and keeps up."""
    away = [member["name"] for member in status["members"] if member["stateStr"] not in ("PRIMARY", "SECONDARY", "ARBITER")]
    text = f"replica set {status['set']}, {len(status['members']) - len(away)} of {len(status['members'])} members"
    found = [
        Finding(PART, f"{text}; away: {', '.join(away)}", "start them again; with one more away nothing can be written")
        if away
        else Finding(PART, text)
    ]
    if config.get("writeConcernMajorityJournalDefault") is False:
        found.append(
            Finding(
                PART,
                "acknowledges majority writes before they are on disk",
                "set writeConcernMajorityJournalDefault to true by rs.reconfig()",
            )
        )
    times = status.get("optimes", {})
    if "lastAppliedWallTime" in times and "lastCommittedWallTime" in times:
        late = (times["lastAppliedWallTime"] - times["lastCommittedWallTime"]).total_seconds()
        if late > MOST_UNCOMMITTED:
            found.append(Finding(PART, f"the majority is {late:.0f} s behind the primary", "look at the secondaries' disks and network"))
    return found


async def _disk(database: Database) -> Finding:
    try:
        stats = await database.command("dbStats")
    except PyMongoError as error:
        return Finding(
            PART, f"does not tell of its disk: {str(error)[:160]}", "let the department's role use dbStats (xietong up corrects roles)"
        )
    return disk(PART, float(stats["fsTotalSize"] - stats["fsUsedSize"]), float(stats["fsTotalSize"]))


def disk(part: str, free: float, total: float) -> Finding:
    """How much room is left, in bytes."""
    text = f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB disk free"
    return Finding(part, text, "" if free >= LEAST_FREE * total else "give it more room before writes are refused")


async def _indexes(department: Department) -> Finding:
    missing, count = [], 0
    try:
        for collection, models in department.wanted_indexes().items():
            present = {(index["name"], tuple(index["key"].items())) async for index in await department.database[collection].list_indexes()}
            for model in models:
                document = model.document
                count += 1
                if (document["name"], tuple(dict(document["key"]).items())) not in present:
                    missing.append(f"{collection}.{document['name']}")
    except PyMongoError as error:
        return Finding(
            department.name, f"its indexes cannot be seen: {str(error)[:160]}", "let its role use listIndexes (xietong up corrects roles)"
        )
    if missing:
        return Finding(department.name, f"indexes are missing: {', '.join(missing)}", "restart the department: it makes them")
    return Finding(department.name, f"all {count} indexes are there")
