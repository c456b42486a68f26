"""`xietong up`: engines, departments, gateway, inbox; sample company on first start; everything down again in order."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx

from chassis.kernel.tasks import settle
from chassis.observe import logs
from chassis.runtime.process import die_with_parent, stop_event
from chassis.storage import client
from cli.backup.restore import restore
from cli.compact import Suite
from cli.engines import Child, EngineError, start_mongo, start_nats
from cli.guarded import start_guarded
from cli.inbox import start_inbox
from cli.installation import ROOT, Installation
from cli.plan import DEPARTMENTS, HOST, Plan
from cli.sample.load import load_sample
from cli.words import say, step

SERVICES = (*DEPARTMENTS, "gateway")
READY_SECONDS = 60


async def up(*, compact: bool, customers: int, seed: int, tls: bool = False) -> None:
    """Run until told to stop. Raises EngineError with one line when something cannot start."""
    die_with_parent()
    installation = Installation.open()
    with installation.lock():
        if tls or installation.kept.get("tls"):
            _encrypt(installation)
        installation.check_ports(installation.plan())
        stopping = stop_event()
        running = Running(installation, compact)
        try:
            await _until_stopped(stopping, running.start())
            if not stopping.is_set():
                await _until_stopped(stopping, _first_start(installation, running.plan, customers, seed))
            if not stopping.is_set():
                _show(installation, running)
                await running.watch(stopping)
        finally:
            await running.stop()


def _encrypt(installation: Installation) -> None:
    """From now on everything between the services of this installation is encrypted, and each is known by its certificate."""
    given = [name for name in ("CRM_MONGO_URI", "CRM_NATS_URL") if os.environ.get(name)]
    if given:
        raise EngineError(f"--tls is for the engines that come along; unset {' and '.join(given)}, or give each service its own settings")
    if not installation.kept.get("tls"):
        installation.kept["tls"] = True
        installation.save()


async def _until_stopped(stopping: asyncio.Event, work: Any) -> None:
    """Work until it is done or the person changes their mind."""
    task = asyncio.ensure_future(work)
    wait = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({task, wait}, return_when=asyncio.FIRST_COMPLETED)
    wait.cancel()
    if not task.done():
        await settle([task])
        return
    await task


class Running:
    """What `up` has started, in order."""

    def __init__(self, installation: Installation, compact: bool) -> None:
        self.installation, self.compact = installation, compact
        self.plan: Plan = installation.plan()
        self.engines: list[Child] = []
        self.children: dict[str, Child] = {}
        self.suite: Suite | None = None
        self.inbox: Any = None

    async def start(self) -> None:
        """Start everything; raises EngineError."""
        folder = self.installation.folder
        with step("MongoDB and NATS"):
            await self.start_engines()
        self.inbox = start_inbox(folder / "inbox", self.plan.smtp_port)
        with step("five departments and the gateway" + (" in one process" if self.compact else "")):
            if self.compact:
                logs.configure("xietong", "WARNING")
                self.suite = Suite(self.plan)
                await self.suite.start()
            else:
                for name in SERVICES:
                    self.children[name] = await self._start_service(name)
            await asyncio.gather(*(self._ready(name) for name in SERVICES))

    async def start_engines(self) -> None:
        """MongoDB and NATS, or the connection to those that are given."""
        if self.plan.tls:
            installation = self.installation
            logs_folder, mongo, broker = installation.folder / "logs", installation.port(17), installation.port(22)
            self.engines += await start_guarded(self.plan, installation.folder, logs_folder, mongo, broker)
            return
        folder, given_mongo, given_nats = self.installation.folder, os.environ.get("CRM_MONGO_URI"), os.environ.get("CRM_NATS_URL")
        if given_mongo:
            database = client.connect(given_mongo, "crm_organization")
            try:
                await client.check(database, given_mongo)
            finally:
                await database.client.close()
        else:
            child, _ = await start_mongo(folder / "mongo", self.installation.port(17), folder / "logs" / "mongod.log")
            self.engines.append(child)
        if not given_nats:
            log, port, monitor = folder / "logs" / "nats-server.log", self.installation.port(22), self.installation.port(23)
            child, _ = await start_nats(folder / "nats", port, log, monitor=monitor)
            self.engines.append(child)

    async def _start_service(self, name: str) -> Child:
        module = "gateway" if name == "gateway" else f"services.{name}"
        environment = {**os.environ, **self.plan.environment(name), "CRM_DIE_WITH_PARENT": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
        log = self.installation.folder / "logs" / f"{name}.log"
        return await Child.start(name, [sys.executable, "-m", module], log, environment)

    async def _ready(self, name: str) -> None:
        """Wait for /readyz of a service."""
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            for _ in range(READY_SECONDS * 20):
                child = self.children.get(name)
                if child and child.ended:
                    raise EngineError(f"{name} did not start: {child.last_words()} (see {child.log})")
                try:
                    answer = await http.get(f"http://{HOST}:{self.plan.ops[name]}/readyz")
                    if answer.status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)
        raise EngineError(f"{name} was not ready within {READY_SECONDS} s; see {self.installation.folder / 'logs' / f'{name}.log'}")

    async def watch(self, stopping: asyncio.Event) -> None:
        """Wait for the end; a service that ends by itself is said and started again, an engine that ends ends everything."""
        while not stopping.is_set():
            for engine in self.engines:
                if engine.ended:
                    raise EngineError(f"{engine.name} ended by itself: {engine.last_words()} (see {engine.log})")
            for name, child in list(self.children.items()):
                if child.ended:
                    say(f"{name} ended (exit {child.process.returncode}); starting it again")
                    self.children[name] = await self._start_service(name)
            try:
                async with asyncio.timeout(1):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Everything down, the gateway first, the engines last."""
        if not (self.engines or self.children or self.suite):
            return
        say("\nstopping …")
        if self.suite:
            await self.suite.stop()
        if "gateway" in self.children:
            await self.children.pop("gateway").stop()
        await asyncio.gather(*(child.stop() for child in self.children.values()))
        if self.inbox:
            self.inbox.stop()
        for engine in reversed(self.engines):
            await engine.stop()
        say("stopped")


async def _first_start(installation: Installation, plan: Plan, customers: int, seed: int) -> None:
    if installation.kept.get("sample") == "loaded":
        return
    say(f"  sample company: {customers:,} customers and a year of work, once")
    demo = (str(installation.kept["email"]), str(installation.kept["password"]))
    found = installation.kept.get("administrator")
    administrator = (str(found["email"]), str(found["password"])) if found else None
    await load_sample(plan, customers=customers, seed=seed, demo=demo, administrator=administrator)
    installation.kept["sample"] = "loaded"
    installation.save()


async def restore_into(installation: Installation, folder: Path, secret: str, name: str = "") -> None:
    """Restore a backup (the newest one) into a new installation: engines up, everything in and compared, engines down. Raises EngineError."""
    with installation.lock():
        if any((installation.folder / "nats").rglob("*.blk")):
            raise EngineError(
                f"{installation.folder} has facts of another time in its NATS store; restore into a new folder (CRM_DATA_DIR)"
            )
        if installation.kept.get("tls"):
            _encrypt(installation)
        running = Running(installation, compact=False)
        try:
            with step("MongoDB and NATS"):
                await running.start_engines()
            await restore(running.plan, folder, secret, name)
            installation.kept["sample"] = "loaded"
            installation.kept.pop("administrator", None)  # who that is stands in what was restored
            installation.save()
        finally:
            await running.stop()
    say("  restored; `./xietong up` starts it. Facts that were on their way are heard within a minute or two")


def _administrator(installation: Installation) -> str:
    """The login of who makes people. Installations of before there was one, and restored ones, have their own way to it."""
    found = installation.kept.get("administrator")
    return f"{found['email']}  {found['password']}" if found else "./xietong platform administrator --email you@example.com"


def _show(installation: Installation, running: Running) -> None:
    plan = running.plan
    say(f"""
协同CRM is ready.

  graph (GraphiQL)   http://{HOST}:{plan.gateway_port}/graphql
  public FAQ 常见问题  http://{HOST}:{plan.faq_port}/faq
  demo login         {installation.kept["email"]}  {installation.kept["password"]}
  administrator      {_administrator(installation)}
  inbox              ./xietong inbox
  logs               {os.path.relpath(installation.folder / "logs")}

Open the graph page, sign in, and paste:

  {{ customers(first: 3) {{ nodes {{ name owner {{ name }} openOpportunities(first: 2) {{ nodes {{ name }} }} tickets(first: 2) {{ nodes {{ subject state }} }} }} }} }}

Ctrl-C stops everything.""")
