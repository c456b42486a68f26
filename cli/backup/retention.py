"""Which backups are kept, and the removal of the others: never the newest whole one, never a chunk that a kept one needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cli.backup.repository import FRESH, Repository, chunks_of, time_of
from cli.engines import EngineError
from cli.words import say


@dataclass(frozen=True)
class Policy:
    """The newest `last` backups, and the newest one of each of so many days, ISO weeks and months (UTC) that have one."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    def kept(self, names: list[str]) -> dict[str, list[str]]:
        """The backups to keep, newest first, each with the rules that keep it. Raises EngineError for a policy that keeps none."""
        rules: list[tuple[str, int, Callable[[datetime], object]]] = [
            ("last", self.last, lambda time: time), ("daily", self.daily, lambda time: time.date()),
            ("weekly", self.weekly, lambda time: time.isocalendar()[:2]), ("monthly", self.monthly, lambda time: (time.year, time.month)),
        ]  # fmt: skip
        if not any(most for _, most, _ in rules):
            raise EngineError("say what to keep: --keep-last, --keep-daily, --keep-weekly or --keep-monthly with a number")
        found: dict[str, list[str]] = {}
        for rule, most, period in rules:
            seen: set[object] = set()
            for name in sorted(names, reverse=True):
                when = period(time_of(name))
                if when not in seen and len(seen) < most:
                    seen.add(when)
                    found.setdefault(name, []).append(rule)
        return dict(sorted(found.items(), reverse=True))


def prune(folder: Path, secret: str, policy: Policy) -> list[str]:
    """Remove what the policy does not keep; the names of those removed. A backup with a missing chunk counts for nothing and is left to the
    operator. Raises EngineError, and removes nothing, while one cannot be opened (nobody knows what it needs), is read, or is taken."""
    policy.kept([])
    repository = Repository(folder, secret)
    repository.newest()
    with repository.writing(), repository.removing():
        needs = {name: chunks_of(repository.manifest(name)) for name in repository.names()}
        present = repository.present()
        whole = [name for name in needs if needs[name] <= present.keys()]
        kept = policy.kept(whole)
        for name in needs.keys() - set(whole):
            say(f"  {name} is not whole and left as it is: «xietong backup verify» names what it lacks")
        # The manifests first: a prune that is killed leaves chunks that nobody needs, never a backup with a gap. The next one removes them.
        removed = [name for name in whole if name not in kept]
        for name in removed:
            repository.remove(name)
            del needs[name]
        needed = set().union(*needs.values())
        freed = [path for chunk, path in present.items() if chunk not in needed]
        size = sum(path.stat().st_size for path in freed)
        for path in (*freed, *repository.manifests.glob(f"*{FRESH}")):
            path.unlink()
    for name, rules in kept.items():
        say(f"  {name} kept: {', '.join(rules)}")
    say(f"  {len(removed)} backups and {len(freed):,} chunks removed, {size / 1e6:,.1f} MB")
    return removed
