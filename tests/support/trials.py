"""An import as a job, for tests: its steps, what became of it, and a batch that is held before its commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from crm.customer.v1 import customer_pb2

from chassis.jobs.api import DESCRIPTOR
from chassis.kernel.ids import from_source, new_id
from chassis.rpc.service import request_class
from tests.support.installation import PATIENCE, Installation

REFUSED, CREATED, UNCHANGED = 4, 1, 3


class Trial:
    """An import of customers under keys of its own."""

    def __init__(self, crm: Installation, role: str = "COORDINATOR", department: str = "customer") -> None:
        self.crm, self.role, self.department, self.mark = crm, role, department, new_id()
        self.id = ""

    async def ask(self, method: str, *, role: str = "", **fields: Any) -> Any:
        described = DESCRIPTOR.methods_by_name[method]
        if "request_id" in described.input_type.fields_by_name:
            fields.setdefault("request_id", new_id())
        if self.id and "job_id" in described.input_type.fields_by_name:
            fields.setdefault("job_id", self.id)
        role = role or self.role
        token = await self.crm.link.token() if role == "cli" else self.crm.tokens[role]
        channel = self.crm.channels[self.department]
        return await channel.call(DESCRIPTOR, method, request_class(described)(**fields), token=token, seconds=PATIENCE)

    async def start(self, **fields: Any) -> Any:
        job = (await self.ask("StartImport", resource="customers", **fields)).job
        self.id = job.id
        return job

    def row(self, number: int, name: str = "") -> bytes:
        return customer_pb2.Customer(source_key=f"{self.mark}:{number}", name=name or f"任务 {number}", kind=1).SerializeToString()

    def rows(self, start: int, stop: int) -> list[bytes]:
        return [self.row(number) for number in range(start, stop)]

    async def append(self, first: int, rows: list[bytes], wait: int = 15_000, **more: Any) -> Any:
        return await self.ask("AppendJobRows", first_number=first, rows=rows, wait_milliseconds=wait, **more)

    async def job(self, role: str = "") -> Any:
        return (await self.ask("GetJob", role=role)).job

    async def until(self, *states: int) -> Any:
        async def there() -> bool:
            return (await self.job()).state in states

        await self.crm.until(there)
        return await self.job()

    async def listed(self, result: int = 0, role: str = "") -> list[Any]:
        found, start = [], 0
        while True:
            answer = await self.ask("ListJobRows", role=role, result=result, from_number=start, page_size=7)
            found += answer.rows
            if not answer.HasField("next_number"):
                return found
            start = answer.next_number

    async def stored(self) -> dict[str, Any]:
        query = {"_id": {"$in": [from_source("customers", f"{self.mark}:{number}") for number in range(2000)]}}
        return {row["source_key"]: row async for row in self.crm.suite["customer"].database["customers"].find(query)}

    async def audited(self, record_id: str) -> list[Any]:
        return await self.crm.suite["customer"].database["audit_entries"].find({"record_id": record_id}).sort("_id", 1).to_list()


QUEUED, RUNNING, PAUSED, DONE, FAILED, CANCELLED = range(1, 7)


@contextlib.asynccontextmanager
async def held(crm: Installation, department: str = "customer") -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """As long as the first event is not set, no batch of a job of the department commits; the second tells that one is about to."""
    jobs = crm.suite[department].jobs
    gate, reached, still = asyncio.Event(), asyncio.Event(), jobs.still

    async def wait(job: Any, **more: Any) -> None:
        reached.set()
        await gate.wait()
        await still(job, **more)

    jobs.still = wait  # type: ignore[method-assign]
    try:
        yield gate, reached
    finally:
        gate.set()
        jobs.still = still  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def at_hand(trial: Trial, first: int, rows: list[bytes]) -> AsyncIterator[asyncio.Event]:
    """Rows are sent, and are about to be committed once the event is set."""
    async with held(trial.crm, trial.department) as (gate, reached):
        await trial.append(first, rows, wait=0)
        await reached.wait()
        yield gate
