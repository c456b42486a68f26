"""Takes the leaders away from clusters, one at a time and never a majority: killed, paused, cut off from their clients."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from dataclasses import dataclass

from cli.plan import DEPARTMENTS
from tests.chaos.cluster import MONGO, NATS, Cluster
from tests.chaos.nemesis import Nemesis
from tests.chaos.schedule import Fault

# Kind of fault: how often, relative to the others.
WEIGHTS = {
    "kill primary": 5, "pause primary": 3, "kill stream leader": 3, "kill meta leader": 2, "pause stream leader": 3, "cut stream leader": 2,
}  # fmt: skip
# From one fault to the next: what is measured around one shall not be the other's.
LEAST_SECONDS, MOST_SECONDS = 14.0, 18.0
ELECT_SECONDS = 30.0


@dataclass(frozen=True)
class Taken:
    """A fault that took place: its kind, who led, the moment (monotonic seconds)."""

    kind: str
    name: str
    moment: float


def leader_schedule(seed: int, seconds: float) -> list[Fault]:
    """The faults of a run, in order. A pause is longer than any election."""
    dice = random.Random(seed)
    found: list[Fault] = []
    at = dice.uniform(1, 2)
    while at < seconds - LEAST_SECONDS:
        kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        target = {"primary": "mongod", "meta": "nats"}.get(kind.split()[1], dice.choice(DEPARTMENTS))
        long = kind.startswith(("pause", "cut"))
        found.append(Fault(at, kind, (target,), dice.uniform(8, 10) if long else dice.uniform(0.5, 4)))
        at += dice.uniform(LEAST_SECONDS, MOST_SECONDS)
    return found


class Leaders(Nemesis):
    """One run's faults; the next one waits until those whose leader it takes are whole again. `taken` tells who was taken when."""

    def __init__(self, stack: Cluster, faults: list[Fault]) -> None:
        super().__init__(stack, faults)
        self.cluster = stack
        self.taken: list[Taken] = []

    async def run(self) -> None:
        """The whole schedule; when this returns, everybody is up and has everything."""
        begin = time.monotonic()
        for fault in self.faults:
            await asyncio.sleep(max(0.0, begin + fault.at - time.monotonic()))
            await self.cluster.become_whole(MONGO[0] if fault.kind.endswith("primary") else NATS[0])
            await self._take(fault)
        await self.cluster.become_whole(*self.cluster.engines)

    async def _take(self, fault: Fault) -> None:
        name = await self._leader(fault)
        self.done[fault.kind] += 1
        self.taken.append(Taken(fault.kind, name, time.monotonic()))
        if fault.kind.startswith("pause"):
            await self._pause(Fault(fault.at, fault.kind, (name,), fault.seconds))
        elif fault.kind.startswith("cut"):
            links = [link for link in self.cluster.links.values() if link.target == name]
            for link in links:
                link.set(cut=True)
            await asyncio.sleep(fault.seconds)
            for link in links:
                link.heal()
        else:
            await self.cluster.end(name, signal.SIGKILL)
            await asyncio.sleep(fault.seconds)
            await self.cluster.let_go(name)

    async def _leader(self, fault: Fault) -> str:
        name = ""

        async def found() -> bool:
            nonlocal name
            target = "" if fault.targets == ("nats",) else fault.targets[0]
            name = await (self.cluster.primary() if fault.kind.endswith("primary") else self.cluster.leader(target))
            return bool(name)

        await self.cluster.until(found, ELECT_SECONDS)
        return name
