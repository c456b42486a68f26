"""Replicas of one department: they may start at the same moment on nothing, and one that drains says so at once."""

from __future__ import annotations

import asyncio
import importlib

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.storage.encryption import DEPARTMENT, VAULT
from cli.compact import Suite
from tests.support.installation import Engines, Installation

TOGETHER = ("organization", "sales")


async def test_replicas_that_start_at_one_moment_on_an_empty_database_all_come_up(engines: Engines) -> None:
    plan = engines.plan()
    departments = []
    for number in range(2):
        for name in TOGETHER:
            own = {} if number == 0 else {"CRM_GRPC_ADDRESS": "127.0.0.1:0", "CRM_OPS_ADDRESS": "127.0.0.1:0"}
            settings = importlib.import_module(f"services.{name}.settings").Settings.from_env({**plan.environment(name), **own})
            departments.append(importlib.import_module(f"services.{name}.bootstrap").build(settings))
    started = await asyncio.gather(*(department.start() for department in departments), return_exceptions=True)
    try:
        assert [str(found) for found in started if found] == []

        async def all_ready() -> bool:
            return all([all((await department.ready()).values()) for department in departments])

        await Installation.until(all_ready)
        for department in departments[:2]:
            assert await department.database["leases"].count_documents({"_id": "relay"}) == 1
            assert await department.database[VAULT].count_documents({"_id": DEPARTMENT}) == 1
    finally:
        await asyncio.gather(*(department.stop() for department in departments), return_exceptions=True)


async def test_a_replica_that_drains_says_so_and_still_answers(engines: Engines) -> None:
    suite = Suite(engines.plan())
    await suite.start(TOGETHER)
    sales = suite["sales"]

    async def ready() -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{sales.ops_port}/readyz")).status_code

    async def answers() -> int:
        async with grpc.aio.insecure_channel(suite.plan.address("sales")) as channel:
            return int((await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=3)).status)

    async def up() -> bool:
        return await ready() == 200

    await Installation.until(up)
    assert await answers() == health_pb2.HealthCheckResponse.SERVING
    stopping = asyncio.create_task(suite.stop("sales"))
    await asyncio.sleep(0)
    assert (await ready(), await answers()) == (503, health_pb2.HealthCheckResponse.NOT_SERVING)
    await stopping
    await suite.stop()
