"""Replicas of one department: they may start at the same moment on nothing, and one that drains says so at once."""

from __future__ import annotations

import asyncio
import importlib

import grpc
import httpx
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from chassis.rpc.channels import Channel
from chassis.rpc.server import DRAIN_SECONDS, OPTIONS
from chassis.storage.encryption import DEPARTMENT, VAULT
from cli.compact import Suite
from cli.engines import free_port
from tests.support.installation import Engines, Installation
from tests.support.names import Names

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


async def _replica(address: str) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    """A server as departments have it, but with connections that end after half a second."""
    age = ("grpc.max_connection_age_ms", 500)
    server, serving = (
        grpc.aio.server(options=[age if name == age[0] else (name, value) for name, value in OPTIONS]),
        health.aio.HealthServicer(),
    )
    health_pb2_grpc.add_HealthServicer_to_server(serving, server)
    server.add_insecure_port(address)
    await serving.set("", health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    return server, serving


async def test_callers_by_name_know_a_new_replica_before_the_old_one_drains() -> None:
    port, names = free_port(), Names(["127.0.0.2"])
    await names.start()
    old, old_health = await _replica(f"127.0.0.2:{port}")
    channel = Channel("sales", f"dns://127.0.0.1:{names.port}/sales.test:{port}")
    stub = health_pb2_grpc.HealthStub(channel.channel)
    stopped = asyncio.Event()

    async def load() -> int:
        count = 0
        while not stopped.is_set():
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=3)  # raises when it fails
            count += 1
        return count

    loads = [asyncio.create_task(load()) for _ in range(4)]
    await asyncio.sleep(0.3)
    new, _ = await _replica(f"127.0.0.3:{port}")
    names.addresses = ["127.0.0.2", "127.0.0.3"]
    await asyncio.sleep(1.5)  # longer than a connection lives
    names.addresses = ["127.0.0.3"]
    await old_health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await asyncio.sleep(DRAIN_SECONDS)
    await old.stop(8)
    await asyncio.sleep(1)
    stopped.set()
    assert min(await asyncio.gather(*loads)) > 0
    await channel.close()
    await new.stop(0)
    names.transport.close()
