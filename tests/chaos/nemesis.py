"""Does to a stack what a schedule says, and mends everything at the end."""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import shutil
import signal
import time
from collections import Counter

from crm.common.v1 import event_service_pb2 as contract
from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError

from chassis.kernel.errors import CrmError
from chassis.messaging.reconciler import SERVICE as EVENTS
from cli.backup.restore import verify
from cli.backup.take import take
from cli.engines import EngineError
from cli.plan import DEPARTMENTS
from cli.rebuild import rebuild
from tests.chaos.schedule import ENGINES, EVERYONE, Fault
from tests.chaos.stack import ROOT, Stack

SECRET = secrets.token_urlsafe(32)


class Nemesis:
    """One run's faults. `done` counts those that took place; one whose target was down already is not counted."""

    def __init__(self, stack: Stack, faults: list[Fault]) -> None:
        self.stack, self.faults = stack, faults
        self.done: Counter[str] = Counter()
        self.backups: list[str] = []
        self._busy: set[str] = set()

    async def run(self) -> None:
        """The whole schedule, then peace: when this returns, everything runs and every link is open."""
        begin = time.monotonic()
        tasks = []
        with contextlib.redirect_stdout(io.StringIO()):  # what it starts tells its progress to a person
            for fault in self.faults:
                await asyncio.sleep(max(0.0, begin + fault.at - time.monotonic()))
                tasks.append(asyncio.create_task(self._apply(fault)))
            await asyncio.gather(*tasks)
        for link in self.stack.links.values():
            link.heal()

    async def _apply(self, fault: Fault) -> None:
        targets = EVERYONE if fault.targets == ("everything",) and fault.kind == "power cut" else fault.targets
        touched = {ENGINES[0], ENGINES[1]} if fault.kind in ("power cut", "disk full") else set(targets) & set(EVERYONE)
        if touched & (self._busy | self.stack.held):
            return
        self._busy |= touched
        try:
            self.done[fault.kind] += 1
            await getattr(self, "_" + _METHODS.get(fault.kind, "link"))(fault)
        finally:
            self._busy -= touched

    async def _kill(self, fault: Fault) -> None:
        number = signal.SIGTERM if fault.kind == "terminate" else signal.SIGKILL
        await asyncio.gather(*(self.stack.end(name, number) for name in fault.targets))
        await asyncio.sleep(fault.seconds)
        await asyncio.gather(*(self.stack.let_go(name) for name in fault.targets))

    async def _pause(self, fault: Fault) -> None:
        (name,) = fault.targets
        self.stack.send(name, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        self.stack.send(name, signal.SIGCONT)

    async def _link(self, fault: Fault) -> None:
        (name,) = fault.targets
        link = self.stack.links[name]
        link.set(
            cut=fault.kind == "cut", lossy=fault.kind == "lossy", there="hold" if fault.kind == "hold there" else "open",
            back="hold" if fault.kind == "hold back" else "open", delay=fault.amount,
        )  # fmt: skip
        await asyncio.sleep(fault.seconds)
        link.heal()

    async def _wipe(self, fault: Fault) -> None:
        await self.stack.end("nats")
        shutil.rmtree(self.stack.disk.folder / "nats", ignore_errors=True)
        await asyncio.sleep(fault.seconds)
        await self.stack.let_go("nats")

    async def _clock(self, fault: Fault) -> None:
        (name,) = fault.targets
        for seconds, pause in ((fault.amount, fault.seconds), (0.0, 0.0)):
            self.stack.clocks[name] = seconds
            await self.stack.end(name)
            await self.stack.let_go(name)
            await asyncio.sleep(pause)

    async def _build(self, fault: Fault) -> None:
        (name,) = fault.targets
        for tree, pause in ((self.stack.earlier, fault.seconds), (ROOT, 0.0)):
            self.stack.trees[name] = tree
            await self.stack.end(name, signal.SIGTERM)
            await self.stack.let_go(name)
            await asyncio.sleep(pause)

    async def _backup(self, fault: Fault) -> None:
        try:
            taken = await asyncio.wait_for(take(self.stack.plan, self.stack.folder / "backups", SECRET), 60)
        except (EngineError, PyMongoError, TimeoutError):
            self.done["backup refused"] += 1
            return
        self.backups.append(taken["name"])

    async def _reconcile(self, fault: Fault) -> None:
        for name in DEPARTMENTS:
            try:
                token = await self.stack.link.token()
                await self.stack.channels[name].call(EVENTS, "ReconcileEvents", contract.ReconcileEventsRequest(), token=token)
            except CrmError:
                self.done["reconcile refused"] += 1

    async def _rebuild(self, fault: Fault) -> None:
        for model in ("timeline", "work"):
            try:
                found = await asyncio.wait_for(rebuild(self.stack.plan, model), 40)
                self.done["rebuilt otherwise"] += not any("equal to" in line for line in found.findings)
            except (CrmError, EngineError, PyMongoError, NatsError, TimeoutError):
                self.done["rebuild refused"] += 1

    async def _power(self, fault: Fault) -> None:
        for name in ENGINES:
            self.stack.send(name, signal.SIGSTOP)
        await self.stack.disk.copy()
        for name in ENGINES:
            await self.stack.end(name)
        await self.stack.disk.cut_power()
        await asyncio.gather(*(self.stack.let_go(name) for name in ENGINES))

    async def _full(self, fault: Fault) -> None:
        self.stack.disk.fill()
        self.stack.held |= set(ENGINES)  # one that gives up stays down until there is room
        await asyncio.sleep(fault.seconds)
        self.stack.disk.free()
        for name in ENGINES:
            await self.stack.end(name)
            await self.stack.let_go(name)

    def verified_backups(self) -> int:
        """How many backups were taken; raises EngineError for one that is not whole."""
        for name in self.backups:
            with contextlib.redirect_stdout(io.StringIO()):
                verify(self.stack.folder / "backups", SECRET, name)
        return len(self.backups)


_METHODS = {
    "kill": "kill", "kill several": "kill", "kill mongod": "kill", "kill nats": "kill", "terminate": "kill", "pause": "pause",
    "wipe nats": "wipe", "clock": "clock", "earlier build": "build", "backup": "backup", "reconcile": "reconcile", "rebuild": "rebuild", "power cut": "power", "disk full": "full",
}  # fmt: skip
