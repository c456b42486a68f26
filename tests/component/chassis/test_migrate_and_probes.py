"""What a cluster asks of a service's process: `--migrate`, probes without certificates, addresses with a resolver."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pymongo import AsyncMongoClient

from chassis.messaging.broker import ensure_stream
from chassis.rpc.server import LIVE
from chassis.runtime.settings import SettingsError
from cli.authority import ensure
from cli.compact import Suite
from cli.engines import free_port
from cli.plan import DEPARTMENTS, Plan
from services.sales.settings import Settings
from tests.support.installation import Engines, Installation

ROOT = Path(__file__).parents[3]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def run(name: str, plan: Plan, *arguments: str) -> tuple[int, str]:
    """A service's process to its end: exit code and complaints."""
    module = "gateway" if name == "gateway" else f"services.{name}"
    environment = {**os.environ, **plan.environment(name), "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, complaints = await process.communicate()
    return process.returncode or 0, complaints.decode()


async def indexes(plan: Plan, name: str) -> dict[str, set[str]]:
    async with AsyncMongoClient(plan.mongo_uri) as client:
        database = client[f"{plan.database_prefix}_{name}"]
        return {table: set(await database[table].index_information()) for table in await database.list_collection_names()}


async def test_migrating_makes_the_indexes_of_a_running_department_needs_no_nats_and_may_be_repeated(
    engines: Engines, crm: Installation
) -> None:
    plan = engines.plan(nats_url="nats://127.0.0.1:1")
    assert await asyncio.gather(*(run(name, plan, "--migrate") for name in DEPARTMENTS)) == [(0, "")] * 5
    assert await run("sales", plan, "--migrate") == (0, "")
    for name in DEPARTMENTS:
        made, running = await indexes(plan, name), await indexes(crm.plan, name)
        assert len(made) > 8
        assert made == {table: running[table] for table in made}


async def test_migrating_without_a_database_is_refused_with_one_line(engines: Engines) -> None:
    plan = engines.plan()
    plan.mongo_uri = "mongodb://127.0.0.1:1/?replicaSet=crm"
    code, complaints = await run("sales", plan, "--migrate")
    assert code == 1
    assert complaints.startswith("sales: MongoDB at 127.0.0.1 (CRM_MONGO_URI) does not answer")
    assert complaints.count("\n") == 1


async def test_an_argument_that_a_service_does_not_know_is_refused(engines: Engines) -> None:
    code, complaints = await run("sales", engines.plan(), "--migrate", "--verbose")
    assert (code, complaints) == (
        2, "sales: --verbose is not known; settings come from the environment, the only argument is --migrate\n"
    )  # fmt: skip


async def probed(address: str, service: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        return int((await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=3)).status)


async def test_a_department_without_its_organization_lives_but_is_not_ready(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, door = engines.plan(), f"127.0.0.1:{free_port()}"
    told = plan.environment("customer") | {"CRM_HEALTH_ADDRESS": door}
    monkeypatch.setattr(plan, "environment", lambda name: told)
    suite = Suite(plan)
    await suite.start(["customer"])
    try:
        assert await probed(door, LIVE) == SERVING
        assert await probed(door, "") == NOT_SERVING
    finally:
        await suite.stop()
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await probed(door, LIVE)
    assert gone.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_door_for_probes_answers_nothing_but_health(engines: Engines, crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, door = engines.plan(), f"127.0.0.1:{free_port()}"
    told = plan.environment("sales") | {"CRM_HEALTH_ADDRESS": door}
    monkeypatch.setattr(plan, "environment", lambda name: told)
    suite = Suite(plan)
    await suite.start(["sales"])
    try:
        async with grpc.aio.insecure_channel(door) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary("/crm.sales.v1.ProductService/BatchGetProducts")(b"", timeout=3)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    finally:
        await suite.stop()


async def test_a_door_for_probes_that_is_taken_is_named(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = engines.plan()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        door = f"127.0.0.1:{taken.getsockname()[1]}"
        told = plan.environment("sales") | {"CRM_HEALTH_ADDRESS": door}
        monkeypatch.setattr(plan, "environment", lambda name: told)
        code, complaints = await run("sales", plan)
    assert code == 1
    assert f"sales: {door} is in use; stop what listens there or choose another port" in complaints.splitlines()


@pytest.mark.parametrize("wrong", ["0", "2", "4", "many", "-1"])
def test_copies_of_a_stream_are_one_three_or_five(engines: Engines, wrong: str) -> None:
    told = engines.plan().environment("sales")
    with pytest.raises(SettingsError, match=f"CRM_NATS_REPLICAS='{wrong}'"):
        Settings.from_env(told | {"CRM_NATS_REPLICAS": wrong})
    assert [Settings.from_env(told | {"CRM_NATS_REPLICAS": text}).nats_replicas for text in ("1", "3", "5")] == [1, 3, 5]
    assert Settings.from_env(told).nats_replicas == 1


async def test_more_copies_than_servers_are_refused_by_the_broker_and_nothing_is_made(engines: Engines) -> None:
    import nats
    from nats.js.errors import Error as JetStreamError
    from nats.js.errors import NotFoundError

    connection = await nats.connect(engines.nats_url)
    context = connection.jetstream()
    with pytest.raises(JetStreamError, match="replicas > 1 not supported"):
        await ensure_stream(context, "copies", replicas=3)
    with pytest.raises(NotFoundError):
        await context.stream_info("CRM_COPIES")
    await connection.close()


async def test_a_resolvers_address_reaches_a_department_over_tls_by_its_name(tmp_path: Path) -> None:
    """`dns:///name:port` as the manifests write it, with the certificate that names the name."""
    identity = ensure(tmp_path)["sales"]
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", identity.server_credentials())
    await server.start()
    async with grpc.aio.secure_channel(f"dns:///localhost:{port}", identity.channel_credentials()) as channel:
        await asyncio.wait_for(channel.channel_ready(), 5)
    await server.stop(0)
