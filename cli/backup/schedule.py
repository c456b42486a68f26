"""`xietong backup schedule`: a backup at every interval, proved, old ones removed; goes on after one that failed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pymongo.errors import PyMongoError

from cli.backup.repository import Repository, time_of
from cli.backup.restore import verify
from cli.backup.retention import Policy, prune
from cli.backup.take import take
from cli.doctor.machine import backup_failed, took_backup
from cli.engines import EngineError
from cli.installation import Installation
from cli.words import say

RETRY = timedelta(minutes=10)


async def schedule(installation: Installation, folder: Path, every: timedelta, policy: Policy) -> None:
    """Until it is ended, at any moment and in any way: what was finished stays whole. The interval runs from the newest backup there is, so that
    a new start takes none before its time. A failure is told, remembered for the doctor, and followed by another try."""
    policy.kept([])
    secret, failed = installation.kept["backup"], False
    while True:
        pause = min(every, RETRY) if failed else timedelta()
        await asyncio.sleep(max(due(folder, secret, every), pause).total_seconds())
        say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, backup")
        try:
            await take(installation.plan(), folder, secret)
            verify(folder, secret)
            took_backup(installation.folder, folder.resolve())
            prune(folder, secret, policy)
            failed = False
        except (EngineError, PyMongoError, OSError) as error:
            failed = True
            backup_failed(installation.folder, str(error))
            say(f"  backup failed: {error}")


def due(folder: Path, secret: str, every: timedelta) -> timedelta:
    """How long until the next one: nothing where there is none, or the newest is old enough."""
    names = Repository(folder, secret).names()
    return max(timedelta(), time_of(names[-1]) + every - datetime.now(UTC)) if names else timedelta()
