"""The doctor's look at this machine: certificates, disk, the last backup."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from cli.authority import RENEW
from cli.doctor.database import disk
from cli.doctor.finding import Finding
from cli.plan import Plan

LAST_BACKUP = "last-backup.json"
OLDEST_BACKUP = timedelta(days=2)


async def look(plan: Plan, folder: Path) -> list[Finding]:
    """What lies in the installation's folder."""
    usage = shutil.disk_usage(folder)
    return [*certificates(plan.tls, datetime.now(UTC)), disk("this machine", usage.free, usage.total), backup(folder, datetime.now(UTC))]


def certificates(folder: Path | None, now: datetime) -> list[Finding]:
    """Days that each certificate has left; only the nearest end where all have time."""
    if folder is None:
        return [Finding("certificates", "none: nothing between the services is encrypted (./xietong up --tls)")]
    ends: dict[str, datetime] = {}
    found = []
    for path in sorted(folder.glob("*.pem")):
        try:
            ends[path.stem] = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except (OSError, ValueError):
            found.append(Finding("certificates", f"{path.name} cannot be read", "take it away; the next «./xietong up» makes a new one"))
    for name, end in ends.items():
        if end <= now:
            found.append(
                Finding("certificates", f"{name} ended on {end:%Y-%m-%d}", "start the installation anew: «./xietong up» renews it")
            )
        elif end <= now + RENEW:
            found.append(
                Finding("certificates", f"{name} ends in {(end - now).days} days", "start the installation anew: «./xietong up» renews it")
            )
    if found or not ends:
        return found or [
            Finding("certificates", f"there are none in {folder.name}", "start the installation anew: «./xietong up» makes them")
        ]
    return [Finding("certificates", f"all {len(ends)} hold, the first ends in {(min(ends.values()) - now).days} days")]


def took_backup(folder: Path, where: Path) -> None:
    """Remember that a backup was taken now, and where it is."""
    _remember(folder, {"time": datetime.now(UTC).isoformat(), "folder": str(where)})


def backup_failed(folder: Path, why: str) -> None:
    """Remember, beside the last one that was taken, that one failed since."""
    try:
        line = json.loads((folder / LAST_BACKUP).read_text())
    except (OSError, ValueError):
        line = {}
    _remember(folder, line | {"failed": why[:300]})


def _remember(folder: Path, line: dict[str, str]) -> None:
    if os.access(folder, os.W_OK):  # on a cluster the folder is a Secret, and the Job's end tells
        (folder / LAST_BACKUP).write_text(json.dumps(line) + "\n")


def backup(folder: Path, now: datetime) -> Finding:
    """How old the last backup is."""
    try:
        line = json.loads((folder / LAST_BACKUP).read_text())
        if why := line.get("failed"):
            return Finding("backup", f"the last try failed: {why}", "mend that; «./xietong backup take FOLDER» tries it at once")
        taken, where = datetime.fromisoformat(line["time"]), Path(line["folder"])
    except FileNotFoundError:
        return Finding("backup", "none was ever taken (./xietong backup take FOLDER)")
    except (ValueError, KeyError, TypeError):
        return Finding("backup", f"{LAST_BACKUP} cannot be read", "take a backup: «./xietong backup take FOLDER»")
    if not where.exists():
        return Finding(
            "backup", f"the last one is no longer at {where}", "take a backup: «./xietong backup take FOLDER», and keep a copy elsewhere"
        )
    age = now - taken
    text = f"the last one is {age.days} days and {age.seconds // 3600} hours old"
    return Finding("backup", text, "" if age <= OLDEST_BACKUP else "take one: «./xietong backup take FOLDER»")
