"""Departments as processes of their own, on a mongod and a NATS of their own, for what has to stop one of them or to count its processor
time; and the deals that are moved there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from crm.common.v1 import outcome_pb2
from crm.sales.v1 import opportunity_pb2, opportunity_service_pb2
from pymongo import AsyncMongoClient

from bench.gateways import processor_seconds
from bench.load import BenchError
from bench.release import ROOT, SERVICES, Replica
from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source, new_id
from chassis.rpc.service import request_class
from cli.batches import Batches
from cli.engines import Child, free_port, start_mongo, start_nats
from cli.plan import DEPARTMENTS, Plan, new_masters, new_secrets

STAGES = ("first", "second")
CUSTOMERS = 200
_OPPORTUNITIES = opportunity_service_pb2.DESCRIPTOR.services_by_name["OpportunityService"]
_REFUSED = outcome_pb2.UPSERT_RESULT_REFUSED


def plan_of(mongo_uri: str, nats_url: str) -> Plan:
    """An installation on free ports, in databases of its own."""
    return Plan(
        mongo_uri=mongo_uri, nats_url=nats_url, grpc={name: free_port() for name in DEPARTMENTS},
        ops={name: free_port() for name in (*DEPARTMENTS, "gateway")}, gateway_port=free_port(), faq_port=free_port(), smtp_port=free_port(),
        secrets=new_secrets(), masters=new_masters(), database_prefix=f"r{secrets.token_hex(4)}",
    )  # fmt: skip


class Stand:
    """Engines and the departments that were brought; `ask` calls a department with the tools' own token."""

    def __init__(self, plan: Plan, folder: Path, engines: dict[str, Child]) -> None:
        self.plan, self.folder, self.engines = plan, folder, engines
        self.replicas: dict[str, Replica] = {}
        self.batches = Batches(plan)
        self.client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(plan.mongo_uri)
        self.turns: dict[str, int] = {}

    async def bring(self, *names: str) -> None:
        """Start departments; they take calls when this ends."""
        for name in names:
            environment = {**self.plan.environment(name), "CRM_MOST_COST_PER_MINUTE": "0"}
            self.replicas[name] = Replica(name, ROOT, environment, self.plan.ops[name], self.folder / f"{name}.log")
        await asyncio.gather(*(self.replicas[name].start() for name in names))

    async def take(self, name: str) -> None:
        """Let a department drain and end."""
        await self.replicas.pop(name).child.stop(30)

    async def kill(self, name: str) -> None:
        """End a department as a fault does, by SIGKILL."""
        process = self.replicas.pop(name).child.process
        process.kill()
        await process.wait()

    async def stop(self) -> None:
        """End everything."""
        await self.batches.close()
        await self.client.close()
        await asyncio.gather(*(replica.child.stop() for replica in self.replicas.values() if hasattr(replica, "child")))
        await asyncio.gather(*(engine.stop() for engine in self.engines.values()))

    def database(self, department: str) -> Any:
        """A department's database."""
        return self.client[f"{self.plan.database_prefix}_{department}"]

    def seconds(self, name: str) -> float:
        """Processor seconds of a department or an engine until now."""
        child = self.engines[name] if name in self.engines else self.replicas[name].child
        return processor_seconds(child.process.pid)

    async def ask(self, method: str, **given: Any) -> Any:
        """The answer to an RPC by its name. Policies come to a department within two seconds of its start; until then it is asked again."""
        service = next(found for found in SERVICES.values() if method in found.methods_by_name)
        request = request_class(service.methods_by_name[method])(**given, request_id=new_id())
        for _ in range(100):
            try:
                return await self.batches.call(service.full_name.split(".")[1], service, method, request)
            except CrmError as error:
                last = error
                await asyncio.sleep(0.05)
        raise last

    async def deals(self, count: int) -> list[str]:
        """So many open deals with an owner, on customers of their own; their ids."""
        company = await self.ask("CreateDepartment", name="总部", kind=3)
        person = await self.ask("CreatePerson", name="人", email="first@example.com", roles=[1], home_department_id=company.department.id)
        await self.ask("CreatePipeline", name="way", stages=[{"key": key, "name": key} for key in STAGES], is_default=True)
        await asyncio.sleep(2)  # until sales has heard of the owner
        firms = [(await self.ask("CreateCustomer", kind=1, name=f"firm {number}")).customer.id for number in range(min(count, CUSTOMERS))]
        self._deals = [
            opportunity_pb2.Opportunity(source_key=f"bench:{number}", customer_id=firms[number % len(firms)], owner_id=person.person.id)
            for number in range(count)
        ]
        await self.rename("as it was made")
        ids = [from_source("opportunities", deal.source_key) for deal in self._deals]
        self.turns = dict.fromkeys(ids, 0)
        return ids

    async def rename(self, name: str) -> None:
        """One fact about each deal, by the departments' own batch RPC. Raises BenchError where one was refused."""
        for deal in self._deals:
            deal.name = name
        outcomes = await self.batches.upsert("opportunities", self._deals)
        if refused := next((outcome for outcome in outcomes if outcome.result == _REFUSED), None):
            raise BenchError(f"a deal was refused: {refused.error_message}")

    async def move(self, deal: str) -> None:
        """One product write: a deal goes to its other stage."""
        self.turns[deal] += 1
        stage = STAGES[self.turns[deal] % 2]
        request = opportunity_service_pb2.MoveOpportunityStageRequest(request_id=new_id(), opportunity_id=deal, stage_key=stage)
        await self.batches.call("sales", _OPPORTUNITIES, "MoveOpportunityStage", request)

    async def published(self) -> None:
        """Wait until sales has published every fact."""
        outbox = self.database("sales")["outbox"]
        while await outbox.find_one({"pending": True}):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def stand(folder: Path, names: Sequence[str]) -> AsyncIterator[Stand]:
    """Engines and these departments, for a while. Organization is brought first: the others have their policies from it."""
    folder.mkdir()
    (mongo, uri), (nats, url) = await asyncio.gather(
        start_mongo(folder / "mongo", free_port(), folder / "mongod.log"), start_nats(folder / "nats", free_port(), folder / "nats.log")
    )
    found = Stand(plan_of(uri, url), folder, {"mongod": mongo, "nats-server": nats})
    try:
        await found.bring("organization")
        await found.bring(*names)
        yield found
    finally:
        await found.stop()
