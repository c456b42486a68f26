"""The words of `xietong backup`: which actions there are, what each is told, and what does it."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.engines import EngineError
from cli.words import say

if TYPE_CHECKING:
    from cli.installation import Installation

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_KEEP = ("last", "daily", "weekly", "monthly")
_DEFAULTS = {"last": 3, "daily": 7, "weekly": 5, "monthly": 12}
_HELP = {
    "take": "add a backup to the repository in FOLDER; what it has already is not stored again",
    "list": "the backups in FOLDER",
    "verify": "read a whole backup and reckon every hash anew",
    "drill": "restore a backup into a scratch database of this machine's, compare, throw that away",
    "restore": "bring a backup into an empty installation",
    "prune": "remove backups that need not be kept, and what only they needed",
    "schedule": "take, verify and prune at every interval, until it is ended",
}


def declare(commands: Any) -> None:
    """Add `backup` to the commands."""
    backup = commands.add_parser("backup", help="everything at one moment: taken, proved, kept, tried, restored")
    actions = backup.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, text in _HELP.items():
        parser = actions.add_parser(action, help=text, description=text)
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the repository; take makes a new one")
        if action in ("verify", "drill", "restore"):
            parser.add_argument("name", nargs="?", default="", metavar="NAME", help="which backup (default: the newest)")
        if action == "schedule":
            parser.add_argument("--every", type=_interval, default=timedelta(days=1), help="interval, as 30m, 6h or 1d (default 1d)")
        if action in ("prune", "schedule"):
            for rule in _KEEP:
                period = "backups" if rule == "last" else f"{rule} ones (UTC), the newest of each"
                default = f" (default {_DEFAULTS[rule]}, if no --keep is given)" if action == "schedule" else ""
                parser.add_argument(f"--keep-{rule}", type=_number, metavar="N", help=f"keep so many {period}{default}")


def _interval(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no interval: a number with m, h or d behind it, as 30m, 6h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 9999")
    return int(text)


async def run(options: argparse.Namespace, installation: Installation) -> None:
    """Do it. Raises EngineError with one line."""
    from pymongo.errors import PyMongoError

    try:
        await _run(options, installation)
    except PyMongoError as error:
        raise EngineError(f"MongoDB does not do what «xietong backup {options.action}» asks: {str(error)[:300]}") from error


async def _run(options: argparse.Namespace, installation: Installation) -> None:
    from cli.backup import drill, restore, retention, schedule
    from cli.backup.take import take
    from cli.doctor.machine import took_backup
    from cli.up import restore_into

    folder, secret = options.folder, installation.kept["backup"]
    if options.action == "take":
        await take(installation.plan(), folder, secret)
        took_backup(installation.folder, folder.resolve())
        say(f"  keep {installation.folder / 'installation.json'} apart from {folder}: nobody opens the backups without it")
    elif options.action == "list":
        restore.show(folder, secret)
    elif options.action == "verify":
        restore.verify(folder, secret, options.name)
    elif options.action == "drill":
        await drill.drill(installation.plan(), folder, secret, options.name)
    elif options.action == "restore":
        await restore_into(installation, folder, secret, options.name)
    else:
        given = {rule: getattr(options, f"keep_{rule}") for rule in _KEEP}
        default = _DEFAULTS if options.action == "schedule" and set(given.values()) == {None} else {}
        policy = retention.Policy(**{rule: number or default.get(rule, 0) for rule, number in given.items()})
        if options.action == "prune":
            retention.prune(folder, secret, policy)
        else:
            await schedule.schedule(installation, folder, options.every, policy)
