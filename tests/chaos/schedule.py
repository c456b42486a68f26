"""What happens when: a schedule of faults that a seed gives, always the same one for the same seed, minutes and means."""

from __future__ import annotations

import random
from dataclasses import dataclass

from cli.plan import DEPARTMENTS

SERVICES = (*DEPARTMENTS, "gateway")
ENGINES = ("mongod", "nats")
EVERYONE = (*SERVICES, *ENGINES)
GAP_SECONDS = 1.6
# Kind of fault: how often, relative to the others.
WEIGHTS = {
    "kill": 20, "kill several": 5, "kill mongod": 4, "kill nats": 5, "pause": 14, "terminate": 6, "cut": 14, "hold there": 7, "hold back": 7,
    "slow": 8, "lossy": 8, "wipe nats": 2, "clock": 4, "earlier build": 3, "backup": 3, "reconcile": 3, "rebuild": 3, "power cut": 2, "disk full": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One fault: at which second, what, to whom, for how long; `amount` is a kind's own measure (seconds of clock, of delay)."""

    at: float
    kind: str
    targets: tuple[str, ...]
    seconds: float
    amount: float = 0.0

    def __str__(self) -> str:
        extra = f" {self.amount:+.3f}" if self.amount else ""
        return f"{self.at:7.2f} s  {self.kind:<13} {', '.join(self.targets):<40} for {self.seconds:.1f} s{extra}"


def schedule(seed: int, seconds: float, links: list[str], without: frozenset[str] = frozenset()) -> list[Fault]:
    """The faults of a run, in order. `links` are the names of the links; kinds in `without` are not to be had on this machine."""
    dice = random.Random(seed)
    found: list[Fault] = []
    at = dice.uniform(0.5, 1.5)
    while at < seconds:
        kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        fault = _drawn(dice, at, kind, sorted(links))
        if kind not in without:
            found.append(fault)
        at += dice.expovariate(1 / GAP_SECONDS)
    return found


def _drawn(dice: random.Random, at: float, kind: str, links: list[str]) -> Fault:
    short, long = dice.uniform(0.2, 3), dice.uniform(0.5, 6)
    if kind in ("kill", "terminate"):
        return Fault(at, kind, (dice.choice(SERVICES),), short)
    if kind == "kill several":
        return Fault(at, kind, tuple(dice.sample(EVERYONE, dice.randint(2, 4))), short)
    if kind == "pause":
        return Fault(at, kind, (dice.choice(EVERYONE),), long)
    if kind in ("cut", "hold there", "hold back", "lossy"):
        return Fault(at, kind, (dice.choice(links),), long)
    if kind == "slow":
        return Fault(at, kind, (dice.choice(links),), long, dice.uniform(0.02, 0.3))
    if kind == "clock":
        return Fault(at, kind, (dice.choice(DEPARTMENTS),), long * 2, dice.choice((-3600, -90, -2, 2, 90, 3600)))
    if kind == "earlier build":
        return Fault(at, kind, (dice.choice(SERVICES),), long * 2)
    whom = {"kill mongod": "mongod", "kill nats": "nats", "wipe nats": "nats", "disk full": dice.choice(ENGINES)}.get(kind, "everything")
    return Fault(at, kind, (whom,), short)
