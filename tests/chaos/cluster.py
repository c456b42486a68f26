"""A stack whose engines are clusters: a MongoDB set of three and three NATS servers. Who leads can be asked, and whether all are whole.

MongoDB's members are reached without links: its clients find each other by the addresses that the set names.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import yaml
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from cli.engines import Child, free_port, mongod_command, start_nats
from tests.chaos.links import HOST
from tests.chaos.stack import LOOK_SECONDS, ROOT, Stack

MONGO, NATS = ("mongod-0", "mongod-1", "mongod-2"), ("nats-0", "nats-1", "nats-2")
CACHE_GB = "0.25"
# What is measured here is what is deployed: the settings of the set are those of the manifest.
MANIFEST = next(yaml.safe_load_all((ROOT / "deploy/platform/mongo/operator/replica-set.yaml").read_text()))["spec"]
PARAMETERS = {
    key.removeprefix("setParameter."): value for key, value in MANIFEST["additionalMongodConfig"].items() if key.startswith("set")
}
BEHIND_SECONDS = 1.0


class Cluster(Stack):
    """Three of each engine. Facts are on the disks of two servers before they count as published."""

    engines = (*MONGO, *NATS)

    def __init__(self, folder: Path, seed: int, broken: str = "") -> None:
        super().__init__(folder, seed, broken)
        self.mongo_ports = {name: free_port() for name in MONGO}
        self.nats_ports = {name: free_port() for name in NATS}
        self.route_ports = {name: free_port() for name in NATS}
        self.monitor_ports = {name: free_port() for name in NATS}
        self.clients: AsyncMongoClient[dict[str, Any]] | None = None
        self.plan.mongo_uri = f"mongodb://{','.join(f'{HOST}:{port}' for port in self.mongo_ports.values())}/?replicaSet=crm"
        self.plan.nats_url = ",".join(f"nats://{HOST}:{port}" for port in self.nats_ports.values())

    @property
    def linked(self) -> dict[str, int]:
        """The servers that are reached through links."""
        return self.nats_ports

    async def start_engines(self) -> None:
        """Six processes, the set made, everybody whole."""
        for name in self.engines:
            await self.begin(name)
        members = [{"_id": number, "host": f"{HOST}:{port}"} for number, port in enumerate(self.mongo_ports.values())]
        for port in self.mongo_ports.values():
            async with _direct(port) as member:
                await member.admin.command("ping")
        async with _direct(next(iter(self.mongo_ports.values()))) as first:
            await first.admin.command(
                "replSetInitiate", {"_id": "crm", "members": members, "settings": MANIFEST["automationConfig"]["replicaSet"]["settings"]}
            )
        self.clients = AsyncMongoClient(
            self.plan.mongo_uri, serverSelectionTimeoutMS=1000, heartbeatFrequencyMS=1000, connectTimeoutMS=2000
        )
        await self.become_whole(*self.engines)

    async def stop(self) -> None:
        """Everything down, however it is."""
        if self.clients:
            await self.clients.close()
        await super().stop()

    async def begin(self, name: str) -> None:
        """Start a process, a member or a service."""
        log = self.folder / "logs" / f"{name}.log"
        if name in MONGO:
            data = self.folder / name
            data.mkdir(exist_ok=True)
            command = mongod_command(data, self.mongo_ports[name])
            command[command.index("--wiredTigerCacheSizeGB") + 1] = CACHE_GB
            for parameter, value in PARAMETERS.items():
                if f"{parameter}={value}" not in command:
                    command += ["--setParameter", f"{parameter}={value}"]
            # A killed member does again what it did since its last checkpoint; a minute of it takes long beside everything else here.
            self.children[name] = await Child.start(name, [*command, "--syncdelay", "10"], log)
        elif name in NATS:
            self.children[name], _ = await start_nats(self.folder / name, self.nats_ports[name], log, self._configuration(name))
        else:
            await super().begin(name)

    def _configuration(self, name: str) -> str:
        """As deploy/platform/nats has it, on one machine: clients are not told of servers behind their links."""
        routes = ", ".join(f'"nats://{HOST}:{port}"' for port in self.route_ports.values())
        return f"""host: {HOST}
port: {self.nats_ports[name]}
http: "{HOST}:{self.monitor_ports[name]}"
server_name: {name}
max_payload: 8MB
jetstream {{ store_dir: "{self.folder / name}", sync_interval: always, max_file_store: 50GB }}
cluster {{ name: crm, host: {HOST}, port: {self.route_ports[name]}, no_advertise: true, routes: [{routes}] }}
"""

    def _environment(self, name: str) -> dict[str, str]:
        return super()._environment(name) | {"CRM_NATS_REPLICAS": str(len(NATS))}

    async def primary(self) -> str:
        """The member that leads the set; "" while none does."""
        me = (await self._ask_set("hello")).get("me", "")
        return next((name for name, port in self.mongo_ports.items() if me.endswith(f":{port}")), "")

    async def leader(self, department: str = "") -> str:
        """The server that leads a department's stream, or all of JetStream; "" while none does."""
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            for port in self.monitor_ports.values():
                try:
                    page = (await http.get(f"http://{HOST}:{port}/jsz", params={"streams": "true"})).json()
                except (httpx.HTTPError, ValueError):
                    continue
                if not department:
                    return str(page.get("meta_cluster", {}).get("leader", ""))
                streams = [stream for account in page.get("account_details", []) for stream in account.get("stream_detail", [])]
                for stream in streams:
                    if stream["name"] == f"CRM_{department.upper()}" and stream.get("cluster", {}).get("leader"):
                        return str(stream["cluster"]["leader"])
        return ""

    async def become_whole(self, *members: str, seconds: float = 60) -> None:
        """Wait until every one of the set, of the servers, or of both, is up and has everything, so that any may go; fails when it takes
        longer. One of the `members` stands for all of its kind."""

        async def whole() -> bool:
            found = (MONGO[0] not in members or await self._set_whole()) and (NATS[0] not in members or await self._servers_whole())
            if not found:
                await asyncio.sleep(LOOK_SECONDS)  # they need the machine more than we do
            return found

        await self.until(whole, seconds)

    async def _set_whole(self) -> bool:
        members = (await self._ask_set("replSetGetStatus")).get("members", [])
        states = sorted(member["stateStr"] for member in members)
        times = [member.get("optimeDate") for member in members]
        if states != ["PRIMARY", "SECONDARY", "SECONDARY"] or None in times:
            return False
        return bool((max(times) - min(times)).total_seconds() <= BEHIND_SECONDS)

    async def _ask_set(self, command: str) -> dict[str, Any]:
        """What the primary answers; nothing while there is none."""
        try:
            return await self.clients.admin.command(command, maxTimeMS=1000) if self.clients else {}
        except PyMongoError:
            return {}

    async def _servers_whole(self) -> bool:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            try:
                answers = await asyncio.gather(*(http.get(f"http://{HOST}:{port}/healthz") for port in self.monitor_ports.values()))
            except httpx.HTTPError:
                return False
        return all(answer.status_code == 200 for answer in answers) and bool(await self.leader())


def _direct(port: int) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(f"mongodb://{HOST}:{port}/?directConnection=true", serverSelectionTimeoutMS=30_000)
