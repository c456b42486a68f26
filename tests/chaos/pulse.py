"""A small command every fifth of a second, whatever became of the last one, and what it took until it had its effect: a gap shows."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from pymongo.errors import PyMongoError

from chassis.kernel.tasks import settle
from chassis.storage.client import connect
from tests.chaos.leaders import Taken
from tests.chaos.ledger import ACKNOWLEDGED, Command
from tests.chaos.stack import Stack
from tests.chaos.workers import Worker

PERIOD_SECONDS, LOOK_SECONDS, SIGN_IN_SECONDS = 0.2, 0.1, 30.0
# The consumer that writes the timeline of a new customer; its mark is committed with the entry.
DURABLE = "customer-timeline-customer"


@dataclass(frozen=True)
class Gap:
    """Around one loss of a leader: the longest time without an acknowledgement, the longest without an effect, and the longest from one
    to the other; seconds."""

    taken: Taken
    writes: float
    effects: float
    lag: float

    def __str__(self) -> str:
        return f"{self.taken.kind:<20} {self.taken.name:<9} writes {self.writes:5.2f} s  effects {self.effects:5.2f} s  write → effect {self.lag:5.2f} s"


class Pulse(Worker):
    """Creates customers for nothing but the moments at which that is acknowledged and takes effect."""

    def __init__(self, number: int, stack: Stack, folder: Path, seed: int) -> None:
        super().__init__(number, stack, folder, seed, [])
        self.told: dict[str, float] = {}
        self.seen: dict[str, float] = {}

    async def run(self, ended: asyncio.Event) -> None:
        """Until told to end; what is under way then is brought to its outcome."""
        beside = [asyncio.create_task(self._watch()), asyncio.create_task(self._stay_signed_in())]
        commands: set[asyncio.Task[None]] = set()
        while not self._tokens:
            await asyncio.sleep(LOOK_SECONDS)
        while not ended.is_set():
            task = asyncio.create_task(self._command("customerCreate", {"kind": "COMPANY", "name": self._tag()}))
            commands.add(task)
            task.add_done_callback(commands.discard)
            await asyncio.sleep(PERIOD_SECONDS)
        await asyncio.gather(*commands)
        await settle(beside)
        await self.http.aclose()
        self.ledger.close()

    def _note_answer(self, command: Command, noun: str, answer: dict[str, Any], fields: dict[str, Any]) -> None:
        super()._note_answer(command, noun, answer, fields)
        if command.outcome == ACKNOWLEDGED:
            self.told[command.record[1]] = time.monotonic()

    async def _signed_in(self) -> str:
        return self._tokens[self.role][0]

    async def _stay_signed_in(self) -> None:
        """Nobody waits for a sign-in: it would be part of the gap."""
        while True:
            with contextlib.suppress(httpx.HTTPError, ValueError, LookupError):
                await self._sign_in()
            await asyncio.sleep(SIGN_IN_SECONDS if self._tokens else LOOK_SECONDS)

    async def _watch(self) -> None:
        """Note when each customer's first fact has had its effect."""
        database = connect(self.stack.plan.mongo_uri, f"{self.stack.plan.database_prefix}_customer")
        try:
            while True:
                waiting = [f"{DURABLE}|{identity}" for identity in self.told.keys() - self.seen.keys()]
                try:
                    rows = await database["inbox"].find({"_id": {"$in": waiting}}, {"_id": 1}).to_list()
                except PyMongoError:
                    rows = []
                moment = time.monotonic()
                self.seen |= {row["_id"].rsplit("|", 1)[1]: moment for row in rows}
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await database.client.close()

    def gaps(self, taken: Sequence[Taken], end: float) -> list[Gap]:
        """One for each leader that was taken; each is looked at until the next one is, the last one until `end`."""
        found = []
        for one, until in zip(taken, [*(later.moment for later in taken[1:]), end], strict=True):
            lags = [self.seen.get(identity, end) - told for identity, told in self.told.items() if one.moment - 1 <= told < until]
            found.append(Gap(
                one, silence(self.told.values(), one.moment, until), silence(self.seen.values(), one.moment, until), max(lags, default=0.0),
            ))  # fmt: skip
        return found


def silence(moments: Iterable[float], begin: float, end: float) -> float:
    """The longest time without a moment that ends between `begin` and `end`."""
    known = sorted(moments)
    before = max((moment for moment in known if moment < begin), default=begin)
    points = [before, *(moment for moment in known if begin <= moment <= end), end]
    return max(later - earlier for earlier, later in pairwise(points))


def gap_table(gaps: Sequence[Gap]) -> str:
    """What leaders' losses cost, by kind: how many, then median and worst of each measure."""
    lines = ["| leader lost | times | writes p50 s | max | effects p50 s | max | write → effect max |", "|---|---|---|---|---|---|---|"]
    for kind in dict.fromkeys(sorted(gap.taken.kind for gap in gaps)):
        some = [gap for gap in gaps if gap.taken.kind == kind]
        writes, effects = [gap.writes for gap in some], [gap.effects for gap in some]
        lines.append(
            f"| {kind} | {len(some)} | {statistics.median(writes):.1f} | {max(writes):.1f} | {statistics.median(effects):.1f} | "
            f"{max(effects):.1f} | {max(gap.lag for gap in some):.1f} |"
        )
    return "\n".join(lines)
