"""The committed NATS configuration and the administration step, on three real servers; MongoDB's beginning on a real mongod."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.js.errors import Error as JetStreamError
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from chassis.access.identity import Identity
from chassis.messaging.broker import MANAGED_API, check_stream
from cli import authority, mongo_users, platform
from cli.engines import Child, EngineError, free_port, mongod_command, nats_binary
from cli.plan import DEPARTMENTS, MONGO_USER, mongo_tls

NATS = Path(__file__).parents[3] / "deploy" / "platform" / "nats"


@dataclass
class Cluster:
    """Three servers with the committed configuration; only addresses and paths are those of this machine."""

    folder: Path
    known: dict[str, Identity]
    ports: list[int]
    servers: list[Child]

    def url(self, server: int = 0) -> str:
        return f"tls://127.0.0.1:{self.ports[server]}"

    async def connect(self, name: str, server: int = 0) -> nats.NATS:
        return await nats.connect(self.url(server), tls=self.known[name].context(), allow_reconnect=False)


def configured(folder: Path, known: dict[str, Identity], name: str, ports: tuple[int, int], routes: list[int]) -> Path:
    """The committed files in a folder of a server's own."""
    folder.mkdir(parents=True)
    settings = (NATS / "nats.conf").read_text()
    for there, here in {
        "$POD_NAME": name, "port: 4222": f"host: 127.0.0.1\nport: {ports[0]}", "http_port: 8222": "", "/var/run/nats": str(folder),
        '"/data"': f'"{folder}"', '"5s"': '"100ms"',
    }.items():  # fmt: skip
        assert there in settings
        settings = settings.replace(there, here)
    cluster = (NATS / "cluster.conf").read_text().replace("port: 6222", f"host: 127.0.0.1\n  port: {ports[1]}")
    listed = ", ".join(f'"tls://127.0.0.1:{port}"' for port in routes)
    cluster = re.sub(r"routes: \[.*\]", f"routes: [{listed}]", cluster)
    for file, text in {"nats.conf": settings, "cluster.conf": cluster, "accounts.conf": (NATS / "accounts.conf").read_text()}.items():
        own = re.sub(r"/etc/crm/tls/tls\.(crt|key)", str(known["nats"].own), text)
        (folder / file).write_text(own.replace("/etc/crm/tls/ca.crt", str(known["nats"].authority)))
    return folder / "nats.conf"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    known = authority.ensure(folder / "tls")
    clients, routes = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    found = Cluster(folder, known, clients, [])
    for number in range(3):
        config = configured(folder / f"nats-{number}", known, f"nats-{number}", (clients[number], routes[number]), routes)
        command = [nats_binary(), "-c", str(config)]
        found.servers.append(await Child.start(f"nats-{number}", command, folder / f"nats-{number}.log"))
    try:
        yield found
    finally:
        for server in found.servers:
            await server.stop()


def told(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name in [name for name in os.environ if name.startswith("CRM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


async def prepared(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, replicas: str = "3") -> None:
    """The administration step as its Job runs it; the servers take a moment to find each other."""
    known = cluster.known["cli"]
    told(
        monkeypatch, CRM_NATS_URL=cluster.url(), CRM_NATS_REPLICAS=replicas, CRM_TLS_AUTHORITY=str(known.authority),
        CRM_TLS_IDENTITY=str(known.own),
    )  # fmt: skip
    for attempt in range(20):
        try:
            await platform.prepare()
        except EngineError:
            if attempt == 19:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def test_the_administration_step_makes_every_stream_with_three_copies_and_may_be_repeated(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepared(cluster, monkeypatch)
    await prepared(cluster, monkeypatch)
    administrator = await cluster.connect("cli")
    streams = await administrator.jetstream(timeout=10).streams_info()
    assert {stream.config.name: stream.config.num_replicas for stream in streams} == {f"CRM_{name.upper()}": 3 for name in DEPARTMENTS}
    assert sum(stream.state.consumer_count for stream in streams) == len(platform.wanted())
    await administrator.close()


async def test_a_department_finds_its_stream_on_the_cluster_and_nobody_elses(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(cluster, monkeypatch)
    sales = await cluster.connect("sales", 1)
    context = sales.jetstream(prefix=MANAGED_API, timeout=10)
    await check_stream(context, "sales")
    await context.publish("crm.sales.v1.probe.made.1", b"fact")
    assert (await context.stream_info("CRM_SALES")).state.messages >= 1
    with pytest.raises((JetStreamError, TimeoutError)):
        await sales.jetstream(prefix=MANAGED_API, timeout=0.5).stream_info("CRM_CUSTOMER")
    await sales.close()


async def test_a_server_that_is_lost_takes_no_acknowledged_fact_along(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(cluster, monkeypatch)
    sales = await cluster.connect("sales", 0)
    context = sales.jetstream(prefix=MANAGED_API, timeout=10)
    before = (await context.stream_info("CRM_SALES")).state.messages
    for number in range(20):
        await context.publish(f"crm.sales.v1.probe.made.{number}", b"fact")
    cluster.servers[2].process.kill()
    await cluster.servers[2].process.wait()
    for attempt in range(40):  # the server that is gone may have led the stream
        try:
            await context.publish("crm.sales.v1.probe.made.after", b"fact", headers={"Nats-Msg-Id": "after"}, timeout=1)
            break
        except (JetStreamError, TimeoutError):
            assert attempt < 39
            await asyncio.sleep(0.25)
    assert (await context.stream_info("CRM_SALES")).state.messages == before + 21
    await sales.close()


async def test_a_server_that_is_told_to_go_sends_its_clients_to_the_others(cluster: Cluster) -> None:
    servers = [cluster.url(0), cluster.url(1)]
    sales = await nats.connect(servers, tls=cluster.known["sales"].context(), dont_randomize=True, reconnect_time_wait=0.1)
    assert sales.connected_url is not None
    assert sales.connected_url.port == cluster.ports[0]
    os.kill(int((cluster.folder / "nats-0" / "nats.pid").read_text()), signal.SIGUSR2)  # what `nats-server -sl=ldm` sends
    for _ in range(400):
        if sales.is_connected and sales.connected_url.port == cluster.ports[1]:
            break
        await asyncio.sleep(0.1)
    assert sales.connected_url.port == cluster.ports[1]
    assert await asyncio.wait_for(cluster.servers[0].process.wait(), 20) == 0  # nobody is left on it, so it need not wait longer
    await sales.close()


async def test_more_copies_than_servers_are_refused_with_one_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    known = cluster.known["cli"]
    told(
        monkeypatch,
        CRM_NATS_URL=cluster.url(),
        CRM_NATS_REPLICAS="2",
        CRM_TLS_AUTHORITY=str(known.authority),
        CRM_TLS_IDENTITY=str(known.own),
    )
    with pytest.raises(EngineError, match="CRM_NATS_REPLICAS='2' cannot be used"):
        await platform.prepare()


async def test_the_administration_step_without_certificates_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, CRM_NATS_URL="tls://127.0.0.1:1")
    with pytest.raises(EngineError, match="CRM_TLS_AUTHORITY and CRM_TLS_IDENTITY are not set"):
        await platform.prepare()


async def test_the_committed_accounts_are_those_of_the_departments() -> None:
    made = platform.nats_accounts.accounts(DEPARTMENTS, platform.wanted())
    assert (NATS / "accounts.conf").read_text() == made, "run ./xietong platform accounts --to deploy/platform/nats/accounts.conf"


async def test_a_new_set_begins_with_the_departments_users_and_each_opens_its_own_database_only(tmp_path: Path) -> None:
    known, port = authority.ensure(tmp_path / "tls"), free_port()
    (tmp_path / "data").mkdir()
    engine = known["mongo"]
    command = [
        *mongod_command(tmp_path / "data", port), "--auth", "--clusterAuthMode", "x509", "--tlsMode", "requireTLS",
        "--tlsCAFile", str(engine.authority), "--tlsCertificateKeyFile", str(engine.own),
        "--setParameter", "authenticationMechanisms=MONGODB-X509",
    ]  # fmt: skip
    child = await Child.start("mongod", command, tmp_path / "mongod.log")
    try:
        uri = f"mongodb://127.0.0.1:{port}/?{mongo_tls(engine)}{MONGO_USER}"
        for _ in range(2):
            await mongo_users.begin(uri, DEPARTMENTS)
        async with AsyncMongoClient(f"mongodb://127.0.0.1:{port}/?replicaSet=crm&{mongo_tls(known['sales'])}{MONGO_USER}") as client:
            await client["crm_sales"]["probes"].insert_one({"_id": 1})
            with pytest.raises(OperationFailure, match="not authorized"):
                await client["crm_customer"]["probes"].find_one()
    finally:
        await child.stop()
