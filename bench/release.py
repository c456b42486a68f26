"""A department released under load: replicas of two versions side by side behind the gateway's balancing, as processes of their own."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from crm.customer.v1 import customer_service_pb2
from crm.organization.v1 import department_service_pb2, person_service_pb2
from crm.sales.v1 import opportunity_service_pb2, pipeline_service_pb2
from crm.support.v1 import ticket_service_pb2
from websockets.asyncio.client import connect as open_socket

from bench.load import BenchError, Connection, request_of
from chassis.access.link import OrganizationLink
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.rpc.channels import Channel
from chassis.rpc.service import request_class
from chassis.storage.client import Database, connect
from cli.contracts import last_release
from cli.engines import Child, free_port
from cli.plan import HOST, Plan
from gateway.graph.contract import to_global

ROOT = Path(__file__).resolve().parent.parent
READERS, WRITERS = 6, 2
LISTEN_SECONDS, PAUSE_SECONDS = 6.0, 0.5
PASSWORD = "four words of our own"
SIGN_IN = "mutation($id: SessionCreateInput!) { sessionCreate(input: $id) { tokens { accessToken } errors { code } } }"
READ = "query($id: ID!) { customer(id: $id) { name opportunities(first: 5) { nodes { name stageKey version owner { name } } } } }"
MOVE = """mutation($id: ID!, $stage: String!) { opportunityMoveStage(input: {opportunityId: $id, stageKey: $stage})
          { opportunity { version } errors { code message } } }"""
ACTIVITY = (
    "subscription($id: ID!, $after: String) { customerActivity(customerId: $id, after: $after) { eventId cursor record { __typename } } }"
)
SERVICES = {
    name: service
    for module in (
        customer_service_pb2, department_service_pb2, person_service_pb2, opportunity_service_pb2, pipeline_service_pb2, ticket_service_pb2,
    )
    for name, service in module.DESCRIPTOR.services_by_name.items()
}  # fmt: skip


def earlier_tree(folder: Path) -> tuple[str, Path]:
    """The code of the last release tag, or of the previous commit while there is none, with its own contracts; its name and folder.

    RELEASE_FROM names another commit. Without a history it is this code itself, and its name says so.
    """
    base = os.environ.get("RELEASE_FROM") or last_release()
    if not base:
        return "this code itself (no history here)", ROOT
    archive = subprocess.run(["git", "archive", base], cwd=ROOT, capture_output=True, check=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "x", "-C", str(folder)], input=archive, check=True)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-m", "cli.contracts"], cwd=folder, env=environment, check=True, capture_output=True)
    return base[:12], folder


class Replica:
    """One process of a service, from a tree, on ports of its own."""

    def __init__(self, name: str, tree: Path, environment: dict[str, str], ops: int, log: Path) -> None:
        self.name, self.tree, self.environment, self.ops, self.log = name, tree, environment, ops, log

    async def start(self) -> None:
        """Start it, and wait until it says that it is ready. Raises BenchError when it ended instead."""
        module = "gateway" if self.name == "gateway" else f"services.{self.name}"
        paths = os.pathsep.join((str(self.tree), str(self.tree / "gen")))
        environment = {**os.environ, **self.environment, "PYTHONPATH": paths, "CRM_LOG_LEVEL": "WARNING", "CRM_DIE_WITH_PARENT": "1"}
        with self.log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, cwd=self.tree, stdout=sink, stderr=sink, stdin=asyncio.subprocess.DEVNULL, env=environment
            )
        self.child = Child(self.name, process, self.log)
        while not await self._says("readyz", 200):
            if self.child.ended:
                raise BenchError(f"{self.name} did not start: {self.child.last_words()}")
            await asyncio.sleep(0.05)

    async def _says(self, path: str, status: int) -> bool:
        async with httpx.AsyncClient(trust_env=False) as http:
            try:
                return (await http.get(f"http://{HOST}:{self.ops}/{path}")).status_code == status
            except httpx.HTTPError:
                return False

    async def calls(self) -> int:
        """How many calls it has answered, by its own metrics."""
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"http://{HOST}:{self.ops}/metrics")).text
        return sum(int(float(count)) for count in re.findall(r"^crm_rpc_seconds_count\{[^}]*\} (\S+)", text, re.MULTILINE))


@dataclass
class Seen:
    """What the load and its onlookers saw. Times in milliseconds."""

    sent: int = 0
    failed: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    moved: dict[str, list[int]] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    leaders: list[str] = field(default_factory=list)


class Release:
    """Sales with replicas on four addresses, behind a gateway that knows all four; the load and what is watched meanwhile.

    `begin` starts everything on the earlier version; `bring` and `take` replicas as you like; `end` lets everything come to rest.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder, self.seen = plan, folder, Seen()
        self.ports = [(free_port(), free_port()) for _ in range(4)]
        self.addresses = "ipv4:" + ",".join(f"{HOST}:{port}" for port, _ in self.ports)
        self.others: list[Replica] = []
        self.sales: dict[int, Replica] = {}
        self.stopped = asyncio.Event()
        self.url = f"http://{HOST}:{plan.gateway_port}/graphql"
        self._tasks: list[asyncio.Task[None]] = []
        self._known: set[str] = set()

    def database(self, department: str) -> Database:
        """A department's database."""
        return connect(self.plan.mongo_uri, f"{self.plan.database_prefix}_{department}")

    def _replica(self, name: str, tree: Path, own: dict[str, str], ops: int, label: str) -> Replica:
        knobs = {"CRM_SALES_ADDRESS": self.addresses, "CRM_MOST_COST_PER_MINUTE": "0", "CRM_READ_MILLISECONDS": "5000"}
        return Replica(name, tree, {**self.plan.environment(name), **knobs, **own}, ops, self.folder / f"{label}.log")

    async def bring(self, place: int, tree: Path) -> None:
        """A replica of sales on one of the four addresses, up and taking calls."""
        grpc, ops = self.ports[place]
        own = {"CRM_GRPC_ADDRESS": f"{HOST}:{grpc}", "CRM_OPS_ADDRESS": f"{HOST}:{ops}"}
        self.sales[place] = replica = self._replica("sales", tree, own, ops, f"sales-{place}")
        await replica.start()
        while self._tasks and not await replica.calls():
            await asyncio.sleep(0.05)

    async def take(self, place: int) -> int:
        """Drain a replica and let it end; its exit code."""
        child = self.sales.pop(place).child
        await child.stop(30)
        return int(child.process.returncode or 0)

    async def begin(self, tree: Path) -> None:
        """Two replicas from this tree, the other services from here, data, and the load."""
        names = ("organization", "customer", "gateway")
        self.others = [self._replica(name, ROOT, {}, self.plan.ops[name], name) for name in names]
        await asyncio.gather(*(replica.start() for replica in self.others), self.bring(0, tree))
        await self.bring(1, tree)
        await self._make()
        await self._renew()
        loads = [self._read(self.people[number % len(self.people)]) for number in range(READERS)] + [self._move(one) for one in self.deals]
        for work in (self._listen(), self._watch(), *loads):
            self._tasks.append(asyncio.create_task(work))
        while not (self.seen.heard and self.seen.sent > 50):
            self._broken()
            await asyncio.sleep(0.02)

    def _broken(self) -> None:
        for task in self._tasks:
            if task.done() and task.exception():
                raise BenchError("the load ended") from task.exception()

    async def end(self) -> None:
        """No more load; wait until nothing is on its way any more, then stop every process."""
        self.stopped.set()
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """End every process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(replica.child.stop() for replica in (*self.sales.values(), *self.others) if hasattr(replica, "child")))

    async def _make(self) -> None:
        """People, a pipeline, a customer, and a deal for each writer, by the tools' own token."""
        channels = {name: Channel(name, self.plan.address(name)) for name in ("organization", "customer")}
        channels["sales"] = Channel("sales", self.addresses)
        link = OrganizationLink(channels["organization"], "cli", self.plan.secrets["cli"])

        async def ask(method: str, **given: Any) -> Any:
            service = next(found for found in SERVICES.values() if method in found.methods_by_name)
            request = request_class(service.methods_by_name[method])(**given, request_id=new_id())
            for _ in range(200):  # policies come to the departments within two seconds
                try:
                    return await channels[service.full_name.split(".")[1]].call(service, method, request, token=await link.token())
                except CrmError as error:
                    last = error
                    await asyncio.sleep(0.05)
            raise last

        company = await ask("CreateDepartment", name="总部", kind=3)
        person = await ask("CreatePerson", name="人", email="first@example.com", roles=[5], home_department_id=company.department.id)
        await ask("SetPassword", person_id=person.person.id, password=PASSWORD)
        stages = [{"key": "first", "name": "first"}, {"key": "second", "name": "second"}]
        await ask("CreatePipeline", name="way", stages=stages, is_default=True)
        firms = [(await ask("CreateCustomer", kind=1, name=f"firm {number}")).customer.id for number in range(WRITERS)]
        made = [await ask("CreateOpportunity", customer_id=firm, name="deal") for firm in firms]
        self.people, self.deals = firms, [found.opportunity.id for found in made]
        for channel in channels.values():
            await channel.close()

    async def _renew(self) -> None:
        """A token for the load; one lives five minutes."""
        variables = {"id": {"email": "first@example.com", "password": PASSWORD}}
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            answer = (await http.post(self.url, json={"query": SIGN_IN, "variables": variables})).json()
        self.token = str(answer["data"]["sessionCreate"]["tokens"]["accessToken"])

    async def _ask(self, connection: Connection, query: str, **variables: object) -> dict[str, Any]:
        """One request; what is not answered as it should is noted as failed."""
        loop = asyncio.get_running_loop()
        begun, self.seen.sent = loop.time(), self.seen.sent + 1
        body = orjson.loads(await connection.ask(request_of(self.url, self.token, query, variables)))
        self.seen.times.append((loop.time() - begun) * 1000)
        data: dict[str, Any] = body.get("data") or {}
        found = next(iter(data.values()), None) or {}
        if body.get("errors") or not found or found.get("errors"):
            self.seen.failed.append(orjson.dumps(body)[:500].decode())
        return found

    async def _read(self, customer: str) -> None:
        connection = await Connection.open(self.url)
        while not self.stopped.is_set():
            await self._ask(connection, READ, id=to_global("Customer", customer))
        connection.close()

    async def _move(self, deal: str) -> None:
        """Move one deal to and fro; the versions that were acknowledged."""
        connection = await Connection.open(self.url)
        versions = self.seen.moved.setdefault(deal, [])
        while not self.stopped.is_set():
            for stage in ("second", "first"):
                found = await self._ask(connection, MOVE, id=to_global("Opportunity", deal), stage=stage)
                if found.get("opportunity"):
                    versions.append(found["opportunity"]["version"])
        connection.close()

    async def _listen(self) -> None:
        """Hear what happens with the first writer's customer: one short subscription after the other, each behind the cursor of the one before,
        and nobody listens in between."""
        cursor, last = None, False
        while not last:
            last = self.stopped.is_set()
            await self._renew()
            cursor = await self._hear(cursor)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hear(self, after: str | None) -> str | None:
        """One subscription, until its time is over or, at the end, nothing more comes; the cursor of its last change."""
        address, ends = self.url.replace("http", "ws", 1), asyncio.get_running_loop().time() + LISTEN_SECONDS
        payload = {"query": ACTIVITY, "variables": {"id": to_global("Customer", self.people[0]), "after": after}}
        async with open_socket(address, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send(orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {self.token}"}}).decode())
            await socket.recv()
            await socket.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": payload}).decode())
            mine: list[str] = []
            while asyncio.get_running_loop().time() < ends or self.stopped.is_set():
                try:
                    message = orjson.loads(await asyncio.wait_for(socket.recv(), 2))
                except TimeoutError:
                    if self.stopped.is_set():
                        break
                    continue
                if message["type"] != "next" or message["payload"].get("errors"):
                    raise BenchError(f"the subscription ended: {message}")
                change = message["payload"]["data"]["customerActivity"]
                mine.append(change["eventId"])
                after = change["cursor"]
                if mine[-1] not in self._known:
                    self._known.add(mine[-1])
                    self.seen.heard.append(mine[-1])
            if len(mine) != len(set(mine)):
                raise BenchError("a subscription heard a fact twice")
        return after

    async def _watch(self) -> None:
        """Who publishes: each new holder of the relay's lease."""
        database = self.database("sales")
        while not self.stopped.is_set():
            lease = await database["leases"].find_one({"_id": "relay"}) or {}
            if (holder := lease.get("holder")) and self.seen.leaders[-1:] != [holder]:
                self.seen.leaders.append(holder)
            await asyncio.sleep(0.05)
        await database.client.close()


async def settled(release: Release, seconds: float = 20) -> None:
    """Wait until every fact of sales was published and has taken effect in the customer department. Raises TimeoutError."""
    sales, customer = release.database("sales"), release.database("customer")
    ids = list(release.seen.moved)
    async with asyncio.timeout(seconds):
        while True:
            pending = await sales["outbox"].find_one({"pending": True})
            facts = await sales["outbox"].count_documents({"headers.ce-subject": {"$in": ids}})
            entered = await customer["timeline_entries"].count_documents({"record_id": {"$in": ids}})
            if not pending and facts == entered:
                break
            await asyncio.sleep(0.05)
    await asyncio.gather(sales.client.close(), customer.client.close())


async def facts(release: Release) -> list[dict[str, Any]]:
    """The facts about the writers' deals, as sales committed them, in order."""
    database = release.database("sales")
    rows = await database["outbox"].find({"headers.ce-subject": {"$in": list(release.seen.moved)}}).sort("_id", 1).to_list()
    await database.client.close()
    return rows
