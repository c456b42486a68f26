"""A whole installation under TLS: it works as without, and each department's credentials open nothing of another one's."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from chassis.access.identity import Identity
from chassis.access.link import OrganizationLink
from chassis.kernel.errors import CrmError
from chassis.messaging.broker import MANAGED_API
from chassis.rpc.channels import Channel
from chassis.rpc.service import request_class
from cli import authority
from cli.engines import free_port
from cli.guarded import start_guarded
from cli.plan import DEPARTMENTS, HOST, MONGO_USER, Plan, mongo_tls, new_masters, new_secrets
from cli.rebuild import rebuild
from gateway.graph.contract import to_global
from gateway.graph.noun import NOUNS
from services.support.bootstrap import build as build_support
from services.support.settings import Settings as SupportSettings
from tests.e2e.test_graph_websocket import ask, heard, listening, socket
from tests.support.installation import Installation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Departments and gateway over TLS, with engines of their own."""
    folder = tmp_path_factory.mktemp("guarded")
    mongo, broker = free_port(), free_port()
    plan = Plan(
        mongo_uri=f"mongodb://{HOST}:{mongo}/?replicaSet=crm", nats_url=f"tls://{HOST}:{broker}",
        grpc={name: free_port() for name in DEPARTMENTS}, ops={name: free_port() for name in (*DEPARTMENTS, "gateway")},
        gateway_port=free_port(), faq_port=free_port(), smtp_port=free_port(), secrets=new_secrets(), masters=new_masters(), tls=folder / "tls",
    )  # fmt: skip
    engines = await start_guarded(plan, folder, folder / "logs", mongo, broker)
    installation = Installation(plan=plan)
    try:
        await installation.start()
        yield installation
    finally:
        await installation.stop()
        for engine in engines:
            await engine.stop()


def identity(guarded: Installation, name: str) -> Identity:
    found = guarded.plan.identity(name)
    assert found
    return found


async def test_facts_reach_reactions_and_subscribers(guarded: Installation) -> None:
    made = await guarded.ask("CreateCustomer", role="COORDINATOR", name="加密公司", kind=1)
    customer = to_global("Customer", made.customer.id)
    async with socket(guarded) as connection:
        await ask(connection, "1", "subscription($id: ID!) { recordChanged(id: $id) { eventType record { id } } }", id=customer)
        await listening(guarded)
        await guarded.ask("MoveCustomerLifecycle", role="COORDINATOR", customer_id=made.customer.id, lifecycle=2, reason="x")
        told = (await heard(connection))["payload"]["data"]["recordChanged"]
        assert told == {"eventType": "crm.customer.v1.CustomerLifecycleMoved", "record": {"id": customer}}
    ticket = await guarded.ask("CreateTicket", role="COORDINATOR", customer_id=made.customer.id, subject="热线", channel=1)
    query = "query($id: ID!) { customer(id: $id) { timeline { nodes { subject } } tickets { nodes { number } } } }"

    async def arrived() -> bool:
        found = (await guarded.data(query, id=customer))["customer"]
        return {"subject": "热线"} in found["timeline"]["nodes"] and found["tickets"]["nodes"] == [{"number": ticket.ticket.number}]

    await guarded.until(arrived, 10)


async def test_a_policy_change_is_heard_in_every_account(guarded: Installation) -> None:
    person = await guarded.person("encrypted", "SALES_REP")
    await guarded.until(lambda: all(person in guarded.suite[name].authority.directory.members for name in DEPARTMENTS), 5)


# ---- gRPC: who calls


async def refusal(call: Awaitable[Any]) -> str:
    try:
        await call
    except CrmError as error:
        return error.code
    return "done"


def listing(guarded: Installation, noun: str, method: str, channel: Channel, token: str) -> Awaitable[Any]:
    service = NOUNS[noun].service
    return channel.call(service, method, request_class(service.methods_by_name[method])(), token=token, seconds=2)


async def test_a_model_is_folded_anew_between_accounts(guarded: Installation) -> None:
    await guarded.ask("CreateCustomer", role="COORDINATOR", kind=1, name="折叠公司")
    await guarded.settled()
    entries = guarded.suite["customer"].database["timeline_entries"]
    lost = await entries.find_one_and_delete({})
    assert lost is not None
    found = await rebuild(guarded.plan, "timeline")
    assert f"1 were missing: {lost['_id']}" in found.findings
    assert not [line for line in found.findings if "were too many" in line or "were other" in line]
    assert await entries.find_one({"_id": lost["_id"]})
    assert any("equal to" in line for line in (await rebuild(guarded.plan, "work")).findings)


@pytest.mark.parametrize("who", ["nobody", "a stranger"])
async def test_without_a_certificate_of_ours_nobody_gets_in(guarded: Installation, tmp_path: Path, who: str) -> None:
    stranger = authority.ensure(tmp_path)["sales"]
    shown = None if who == "nobody" else Identity(identity(guarded, "sales").authority, stranger.own)
    channel = Channel("customer", guarded.plan.address("customer"), shown)
    assert await refusal(listing(guarded, "Customer", "ListCustomers", channel, guarded.tokens["COORDINATOR"])) == "UNAVAILABLE"
    await channel.close()


async def test_a_department_is_called_by_its_declared_callers_only(guarded: Installation) -> None:
    asked = {}
    for caller in (*DEPARTMENTS, "gateway"):
        channel = Channel("sales", guarded.plan.address("sales"), identity(guarded, caller))
        asked[caller] = await refusal(listing(guarded, "Order", "ListOrders", channel, guarded.tokens["COORDINATOR"]))
        await channel.close()
    allowed = {caller for caller, code in asked.items() if code == "done"}
    assert allowed == {"organization", "customer", "marketing", "support", "gateway"}
    assert {code for caller, code in asked.items() if caller not in allowed} == {"NOT_ALLOWED"}


async def test_a_stolen_service_token_is_worth_nothing_without_its_certificate(guarded: Installation) -> None:
    organization = Channel("organization", guarded.plan.address("organization"), identity(guarded, "marketing"))
    token = await OrganizationLink(organization, "marketing", guarded.plan.secrets["marketing"]).token()
    codes = []
    for caller in ("marketing", "sales"):
        channel = Channel("customer", guarded.plan.address("customer"), identity(guarded, caller))
        codes.append(await refusal(listing(guarded, "Customer", "ListCustomers", channel, token)))
        await channel.close()
    await organization.close()
    assert codes == ["done", "UNAUTHENTICATED"]


async def test_a_stolen_secret_is_worth_nothing_over_the_certificate_of_another(guarded: Installation) -> None:
    codes = {}
    for holder in ("marketing", "sales", "cli", "gateway"):
        channel = Channel("organization", guarded.plan.address("organization"), identity(guarded, holder))
        codes[holder] = await refusal(OrganizationLink(channel, "marketing", guarded.plan.secrets["marketing"]).token())
        await channel.close()
    assert codes == {"marketing": "done", "sales": "UNAUTHENTICATED", "cli": "UNAUTHENTICATED", "gateway": "UNAUTHENTICATED"}


async def test_no_department_runs_programs_of_its_own_in_the_database(guarded: Installation) -> None:
    uri = guarded.plan.mongo_uri_of("sales")
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, serverSelectionTimeoutMS=5000)
    script: dict[str, Any] = {"$function": {"body": "function() { return true }", "args": [], "lang": "js"}}
    async with client:
        rows = client[f"{guarded.plan.database_prefix}_sales"]["of_a_test"]
        await rows.insert_one({"_id": "x"})
        assert await rows.find_one({"_id": "x"})
        for query in ({"$where": "sleep(1) || true"}, {"$expr": script}):
            with pytest.raises(OperationFailure, match=r"(?i)script"):
                await rows.find_one(query)
        await rows.delete_many({})


# ---- NATS: what sales can do


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sales(guarded: Installation) -> AsyncIterator[tuple[Any, list[str]]]:
    """A connection with the certificate of sales, and what the server said to it."""
    said: list[str] = []

    async def hear(error: Exception) -> None:
        said.append(str(error).lower())

    context = identity(guarded, "sales").context()
    connection = await nats.connect(guarded.plan.nats_url, tls=context, error_cb=hear, allow_reconnect=False)
    yield connection, said
    await connection.close()


API_ATTEMPTS = (
    "STREAM.INFO.CRM_CUSTOMER", "STREAM.MSG.GET.CRM_CUSTOMER", "STREAM.MSG.DELETE.CRM_CUSTOMER", "DIRECT.GET.CRM_CUSTOMER",
    "STREAM.PURGE.CRM_CUSTOMER", "STREAM.PURGE.CRM_SALES", "STREAM.DELETE.CRM_CUSTOMER", "STREAM.DELETE.CRM_SALES",
    "STREAM.UPDATE.CRM_SALES", "STREAM.CREATE.SPY", "STREAM.SNAPSHOT.CRM_CUSTOMER", "STREAM.NAMES", "INFO",
    "CONSUMER.LIST.CRM_CUSTOMER", "CONSUMER.CREATE.CRM_CUSTOMER", "CONSUMER.CREATE.CRM_CUSTOMER.spy",
    "CONSUMER.DURABLE.CREATE.CRM_CUSTOMER.spy", "CONSUMER.CREATE.CRM_SALES.spy",
    "CONSUMER.DELETE.CRM_SALES.customer-timeline-sales", "CONSUMER.INFO.CRM_SALES.customer-timeline-sales",
    "CONSUMER.MSG.NEXT.CRM_SALES.customer-timeline-sales",
)  # fmt: skip


@pytest.mark.parametrize("api", ["$JS.API", MANAGED_API])
@pytest.mark.parametrize("subject", API_ATTEMPTS)
async def test_no_question_to_jetstream_but_its_own(sales: tuple[Any, list[str]], api: str, subject: str) -> None:
    connection, said = sales
    said.clear()
    with pytest.raises((NatsError, JetStreamError, TimeoutError)):
        await connection.request(f"{api}.{subject}", json.dumps({"seq": 1}).encode(), timeout=0.3)
    await connection.flush()
    assert any("permissions violation" in words for words in said)


@pytest.mark.parametrize("subject", ["crm.customer.v1.customer.x.forged", "crm.organization.v1.policy.x", "_INBOX.a.b", "$SYS.REQ.USER.INFO",
                                     "$JS.ACK.CRM_SALES.customer-timeline-sales.1.1.1.1.0", "live.crm.customer.v1.x"])  # fmt: skip
async def test_no_word_on_a_subject_but_its_own(sales: tuple[Any, list[str]], subject: str) -> None:
    await violates(sales, lambda connection: connection.publish(subject, b"x"))


@pytest.mark.parametrize("subject", [">", "*.>", "crm.>", "crm.customer.v1.>", "crm.*.v1.>", "live.>", "$JS.>", "$SYS.>"])
async def test_no_ear_for_others(sales: tuple[Any, list[str]], subject: str) -> None:
    await violates(sales, lambda connection: connection.subscribe(subject))


async def violates(sales: tuple[Any, list[str]], act: Callable[[Any], Awaitable[Any]]) -> None:
    connection, said = sales
    said.clear()
    await act(connection)
    await connection.flush()
    await asyncio.sleep(0.02)
    assert any("permissions violation" in words for words in said)


async def test_no_answer_of_the_server_lands_in_another_stream(guarded: Installation, sales: tuple[Any, list[str]]) -> None:
    """A reply subject is checked by nobody; with one account for all, the server itself would write there."""
    connection, _ = sales
    admin = await nats.connect(guarded.plan.nats_url, tls=identity(guarded, "cli").context())
    before = (await admin.jetstream().stream_info("CRM_CUSTOMER")).state.messages
    await connection.publish("crm.sales.v1.order.created.x", b"x", reply="crm.customer.v1.customer.created.forged")
    await connection.publish(f"{MANAGED_API}.STREAM.INFO.CRM_SALES", b"", reply="crm.customer.v1.customer.created.forged")
    await connection.flush()
    await asyncio.sleep(0.2)
    assert (await admin.jetstream().stream_info("CRM_CUSTOMER")).state.messages == before
    await admin.close()


async def test_without_a_certificate_the_broker_is_closed(guarded: Installation) -> None:
    bare = ssl.create_default_context(cafile=str(identity(guarded, "cli").authority))
    for more in ({"tls": bare}, {}):
        with pytest.raises((NatsError, OSError, TimeoutError, ssl.SSLError)):
            await nats.connect(guarded.plan.nats_url, allow_reconnect=False, connect_timeout=2, max_reconnect_attempts=0, **more)


# ---- MongoDB: what customer can do


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mongo(guarded: Installation) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """A client with the certificate of customer."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(guarded.plan.mongo_uri_of("customer"))
    yield client
    await client.close()


OTHER = {"db": "crm_sales", "coll": "orders"}
PIPELINES: dict[str, list[dict[str, Any]]] = {
    "$out": [{"$out": OTHER}],
    "$merge": [{"$merge": {"into": OTHER}}],
    "$lookup": [{"$lookup": {"from": OTHER, "localField": "_id", "foreignField": "customer_id", "as": "x"}}],
    "$unionWith": [{"$unionWith": OTHER}],
}


@pytest.mark.parametrize("stage", PIPELINES)
async def test_no_pipeline_reaches_another_database(mongo: AsyncMongoClient[dict[str, Any]], stage: str) -> None:
    with pytest.raises(OperationFailure):
        await (await mongo["crm_customer"]["customers"].aggregate(PIPELINES[stage])).to_list()


COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "find": ("crm_sales", {"find": "orders"}),
    "insert": ("crm_sales", {"insert": "orders", "documents": [{}]}),
    "update": ("crm_sales", {"update": "orders", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]}),
    "delete": ("crm_sales", {"delete": "orders", "deletes": [{"q": {}, "limit": 0}]}),
    "count": ("crm_sales", {"count": "orders"}),
    "listCollections": ("crm_sales", {"listCollections": 1}),
    "explain": ("crm_sales", {"explain": {"find": "orders"}}),
    "a new database": ("spy", {"insert": "x", "documents": [{}]}),
    "users": ("admin", {"find": "system.users"}),
    "oplog": ("local", {"find": "oplog.rs"}),
    "config": ("config", {"find": "transactions"}),
    "a user of one's own": ("$external", {"createUser": "CN=spy", "roles": []}),
    "a wider role": (
        "crm_customer",
        {"updateRole": "department", "privileges": [{"resource": {"anyResource": True}, "actions": ["anyAction"]}]},
    ),
    "shutdown": ("admin", {"shutdown": 1}),
    "dropping what is audited": ("crm_customer", {"drop": "audit_entries"}),
}


@pytest.mark.parametrize("what", COMMANDS)
async def test_no_command_beyond_its_own_records(mongo: AsyncMongoClient[dict[str, Any]], what: str) -> None:
    database, command = COMMANDS[what]
    with pytest.raises(OperationFailure) as refused:
        await mongo[database].command(command)
    assert refused.value.code == 13  # Unauthorized


async def test_only_its_own_database_is_seen(mongo: AsyncMongoClient[dict[str, Any]]) -> None:
    assert await mongo.list_database_names() == ["crm_customer"]


async def test_who_is_no_user_reads_nothing(guarded: Installation) -> None:
    for name in ("gateway", "nats", "mongo"):
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            f"{guarded.plan.mongo_uri}&{mongo_tls(identity(guarded, name))}{MONGO_USER}", serverSelectionTimeoutMS=2000
        )
        with pytest.raises(PyMongoError):
            await client["crm_customer"]["customers"].find_one({})
        await client.close()


async def test_public_pages_of_a_department_that_listens_on_every_address_reach_it_under_its_certificate(guarded: Installation) -> None:
    grpc_port, web_port = free_port(), free_port()
    environment = guarded.plan.environment("support") | {
        "CRM_GRPC_ADDRESS": f"0.0.0.0:{grpc_port}", "CRM_WEB_ADDRESS": f"127.0.0.1:{web_port}", "CRM_OPS_ADDRESS": "127.0.0.1:0",
    }  # fmt: skip
    replica = build_support(SupportSettings.from_env(environment))
    await replica.start()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            await Installation.until(lambda: replica.authority.directory.revision)
            assert (await http.get(f"http://127.0.0.1:{web_port}/faq")).status_code == 200
    finally:
        await replica.stop()
