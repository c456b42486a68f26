"""A department's doors for those who run it: alive, ready, metrics, gRPC health and reflection."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cli.plan import DEPARTMENTS
from services.sales.bootstrap import build
from services.sales.settings import Settings
from tests.support.installation import Engines, Installation


async def test_every_service_says_that_it_lives_and_is_ready(crm: Installation) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for name in (*DEPARTMENTS, "gateway"):
            base = f"http://127.0.0.1:{crm.plan.ops[name]}"
            assert (await http.get(f"{base}/healthz")).json() == {"service": name, "status": "ok"}
            ready = await http.get(f"{base}/readyz")
            assert (ready.status_code, set(ready.json().values()) - {name}) == (200, {True})


async def test_metrics_count_calls_queries_events_and_operations(crm: Installation) -> None:
    await crm.data('mutation { customerCreate(input: {kind: COMPANY, name: "计数"}) { errors { code } } }')
    await crm.data("{ viewer { id } __schema { queryType { name } } }")
    await crm.settled()
    async with httpx.AsyncClient(trust_env=False) as http:
        customer = (await http.get(f"http://127.0.0.1:{crm.plan.ops['customer']}/metrics")).text
        gateway = (await http.get(f"http://127.0.0.1:{crm.plan.ops['gateway']}/metrics")).text
    assert 'crm_rpc_seconds_count{code="OK",method="CustomerService/CreateCustomer"}' in customer
    assert 'crm_mongo_commands_total{collection="customers"' in customer
    assert 'crm_events_published_total{type="crm.customer.v1.CustomerCreated"}' in customer
    assert 'crm_events_handled_total{reaction="timeline"}' in customer
    assert 'crm_operation_seconds_count{kind="mutation",operation="other",outcome="ok"}' in gateway
    assert 'crm_operation_uncompiled_total{reason="introspection"}' in gateway


async def test_reflection_lists_the_services_but_not_in_production(crm: Installation, engines: Engines) -> None:
    async with grpc.aio.insecure_channel(crm.plan.address("sales")) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]
        assert "crm.sales.v1.OpportunityService" in {one.name for answer in answers for one in answer.list_services_response.service}
    settings = Settings.from_env(engines.plan().environment("sales"))
    quiet = build(replace(settings, environment="production"))
    await quiet.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{quiet.port}") as channel:
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED  # with nothing written: a refusal that comes first is then no fault
    finally:
        await quiet.stop()


async def test_a_stopping_department_says_so_and_finishes_what_runs(own_crm: Installation) -> None:
    import asyncio

    async with grpc.aio.insecure_channel(own_crm.plan.address("sales")) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        said = (await stub.Check(health_pb2.HealthCheckRequest())).status
        server = own_crm.suite["sales"].server
        before = server.calls
        commands = [asyncio.create_task(own_crm.ask("CreateProduct", code=f"drain-{number}", name="x")) for number in range(40)]
        await own_crm.until(lambda: server.calls == before + 40)  # all have arrived; later ones would rightly be refused
        stopping = asyncio.create_task(own_crm.suite.stop("sales"))
        watched = SimpleNamespace(drained=False)
        for _ in range(40):
            watched.drained |= (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.NOT_SERVING
            if watched.drained:
                break
            await asyncio.sleep(0.01)
        answers = await asyncio.gather(*commands)
        await stopping
    assert said == health_pb2.HealthCheckResponse.SERVING
    assert watched.drained
    assert {answer.product.version for answer in answers} == {1}
