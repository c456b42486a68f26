"""The real processes of an installation behind links of ours: started, killed, paused, started again when they end by themselves."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx

from bench.release import earlier_tree
from cli.engines import Child, EngineError, free_port, start_mongo, start_nats
from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets
from gateway.graph import schema  # noqa: F401  names every RPC
from tests.chaos.disk import Disk
from tests.chaos.links import HOST, Link
from tests.chaos.schedule import ENGINES, SERVICES
from tests.support.installation import PASSWORD, Installation

ROOT = Path(__file__).parents[2]
OWN = ("CRM_GRPC_ADDRESS", "CRM_OPS_ADDRESS", "CRM_HTTP_ADDRESS", "CRM_WEB_ADDRESS")
LOOK_SECONDS = 0.3


class Stack(Installation):
    """Everything of one run below `folder`. `held` are the processes that the nemesis keeps down; `broken` breaks a department's machinery."""

    engines: tuple[str, ...] = ENGINES

    def __init__(self, folder: Path, seed: int, broken: str = "") -> None:
        self.folder, self.dice, self.broken = folder, random.Random(seed), broken
        self.mongo_port, self.nats_port = free_port(), free_port()
        super().__init__(plan=Plan(
            mongo_uri=f"mongodb://{HOST}:{self.mongo_port}/?directConnection=true", nats_url=f"nats://{HOST}:{self.nats_port}",
            grpc={name: free_port() for name in DEPARTMENTS}, ops={name: free_port() for name in SERVICES}, gateway_port=free_port(),
            faq_port=free_port(), smtp_port=free_port(), unsubscribe_port=free_port(), secrets=new_secrets(), masters=new_masters(), log_level="WARNING",
            trusted_proxies=f"{HOST}/32",  # readers of the FAQ say where they come from
        ))  # fmt: skip
        self.disk = Disk(folder / "disk")
        self.children: dict[str, Child] = {}
        self.links: dict[str, Link] = {}
        self.clocks: dict[str, float] = {}
        self.trees: dict[str, Path] = {}  # the code of another build, for whom it runs
        self.earlier = ROOT
        self.held: set[str] = set()
        self.ended_alone: dict[str, int] = {}
        self.connected = False
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # of a process: whoever starts or ends it
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Everything up, people made, watched from now on."""
        await self.start_engines()
        for name in SERVICES:
            await self._connect_links(name)
            await self.begin(name)
        self._watch = asyncio.create_task(self._start_again())
        await self.ready()
        self.connect()
        self.connected = True
        await self.populate()

    async def start_engines(self) -> None:
        """What all the others need, on a disk of its own."""
        await self.disk.mount()
        for name in self.engines:
            await self.begin(name)

    @property
    def linked(self) -> dict[str, int]:
        """The ports of the engines that are reached through links."""
        return {"mongod": self.mongo_port, "nats": self.nats_port}

    async def stop(self) -> None:
        """Everything down, however it is."""
        if self._watch:
            self._watch.cancel()
        if self.connected:
            await self.http.aclose()
            for channel in self.channels.values():
                await channel.close()
        for child in self.children.values():
            if not child.ended:
                child.process.send_signal(signal.SIGCONT)
                child.process.kill()
                await child.process.wait()
        for link in self.links.values():
            await link.stop()
        await self.disk.unmount()

    async def begin(self, name: str) -> None:
        """Start a process, engine or service. Raises EngineError when an engine does not come up."""
        logs = self.folder / "logs"
        if name == "mongod":
            self.children[name], _ = await start_mongo(self.disk.folder / "mongo", self.mongo_port, logs / "mongod.log")
        elif name == "nats":
            self.children[name], _ = await start_nats(self.disk.folder / "nats", self.nats_port, logs / "nats.log")
        else:
            self.children[name] = await Child.start(name, self._command(name), logs / f"{name}.log", self._environment(name))

    def _command(self, name: str) -> list[str]:
        clock, broken = self.clocks.get(name, 0.0), self.broken if name in DEPARTMENTS else ""
        if not clock and not broken:
            return [sys.executable, "-P", "-m", "gateway" if name == "gateway" else f"services.{name}"]
        options = [f"--clock={clock}"] + ([f"--broken={broken}"] if broken else [])
        return [sys.executable, "-P", "-m", "tests.chaos.process", name, *options]

    def _environment(self, name: str) -> dict[str, str]:
        """What the plan tells the service, with the addresses of its links instead of the real ones."""
        found = self.plan.environment(name)
        real = {f"{HOST}:{link.target_port}": f"{HOST}:{link.port}" for link in self.links.values() if link.source == name}
        for key in found.keys() - set(OWN):
            for address, linked in real.items():
                found[key] = found[key].replace(address, linked)
        tree = self.trees.get(name, ROOT)
        paths = os.pathsep.join((str(tree), str(tree / "gen")))
        return {**os.environ, **found, "PYTHONPATH": paths, "CRM_DIE_WITH_PARENT": "1"}

    async def fetch_earlier(self) -> None:
        """Lay the code of the last release beside, or that of the commit before while there is none."""
        _, self.earlier = await asyncio.to_thread(earlier_tree, self.folder / "earlier")

    async def _connect_links(self, name: str) -> None:
        """A link to everybody whose address the service is told."""
        told = " ".join(value for key, value in self.plan.environment(name).items() if key not in OWN)
        targets = {**self.linked, "mail": self.plan.smtp_port, **self.plan.grpc}
        for target, port in targets.items():
            if f"{HOST}:{port}" in told and target != name:
                link = Link(name, target, port, self.dice)
                await link.start()
                self.links[link.name] = link

    async def ready(self, seconds: float = 40) -> str:
        """Wait until everything says that it is ready; who was the last, and what it said. Fails, with what each says, when it does not in
        time."""
        last: dict[str, str] = {}
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            end = asyncio.get_running_loop().time() + seconds
            while waited := {name: said for name in SERVICES if (said := await self.not_ready(http, name))}:
                assert asyncio.get_running_loop().time() < end, f"not ready within {seconds:.0f} s: {waited}"
                last = waited
                await asyncio.sleep(0.1)
        return ", ".join(f"{name}: {said}" for name, said in last.items()) or "all at once"

    async def not_ready(self, http: httpx.AsyncClient, name: str) -> str:
        """What a service says to whoever asks whether it is ready; "" when it is."""
        try:
            answer = await http.get(f"http://{HOST}:{self.plan.ops[name]}/readyz")
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if answer.status_code == 200 else answer.text[:200]

    async def renew(self) -> None:
        """Fresh tokens; who lost their session to a fault signs in anew, as anybody would."""
        await super().renew()
        for key in self.tokens.keys() - self._refresh.keys():
            email = f"{key.lower()}@example.com"
            tokens = (await self.ask("CreateSession", role="", email=email, password=PASSWORD)).tokens
            self.tokens[key], self._refresh[key] = tokens.access_token, tokens

    def send(self, name: str, number: int) -> None:
        """Send a signal to a process that runs."""
        if not self.children[name].ended:
            self.children[name].process.send_signal(number)

    async def end(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process and keep it down until `begin` or `let_go`."""
        self.held.add(name)
        async with self._turns[name]:
            self.send(name, number)
            await self.children[name].process.wait()

    async def let_go(self, name: str) -> None:
        """Start what was ended; engines are tried until they come up."""
        async with self._turns[name]:
            for _ in range(20):
                if not self.children[name].ended:
                    break  # it was started when it had ended by itself
                try:
                    await self.begin(name)
                    break
                except EngineError:
                    await asyncio.sleep(0.5)
        self.held.discard(name)

    async def _start_again(self) -> None:
        """What Kubernetes does: whatever ends by itself is started again."""
        while True:
            for name, child in list(self.children.items()):
                if child.ended and name not in self.held:
                    self.ended_alone[name] = self.ended_alone.get(name, 0) + 1
                    self.held.add(name)
                    await self.let_go(name)
            await asyncio.sleep(LOOK_SECONDS)

    def memory(self) -> dict[str, int]:
        """Resident kilobytes of every service."""
        found: dict[str, int] = {}
        for name in SERVICES:
            status: Any = Path(f"/proc/{self.children[name].process.pid}/status")
            lines = status.read_text().splitlines() if status.exists() else []
            found[name] = next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
        return found
