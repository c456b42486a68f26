"""The life of a department: connect, check, index, serve, react, drain. What it serves is given by its composition root."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nats.aio.client import Client
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import PyMongoError

from chassis.access.authority import Authority
from chassis.access.caller import Caller
from chassis.files import api as files_api
from chassis.files.store import ATTACHMENTS, Attachments
from chassis.files.sweep import FileSweep
from chassis.jobs import api as jobs_api
from chassis.jobs.imports import Imports
from chassis.jobs.rebuild import REST, Rebuilds, Stand
from chassis.jobs.store import JOBS, ROWS, JobStore, row_indexes
from chassis.jobs.worker import Jobs
from chassis.kernel.addresses import Network
from chassis.kernel.ids import new_id
from chassis.kernel.tasks import settle
from chassis.messaging import broker
from chassis.messaging.models import Model
from chassis.messaging.reactions import INBOX, PARKED, Consumer, Reaction
from chassis.messaging.reconciler import POSITIONS, Ask, Reconciler
from chassis.messaging.relay import INDEXES as OUTBOX_INDEXES
from chassis.messaging.relay import Relay
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.rpc import audits, collaboration, common, events, numbering, reads
from chassis.rpc import stars as stars_api
from chassis.rpc.call import Call
from chassis.rpc.collaboration import Collaborations
from chassis.rpc.server import Entrance, Server
from chassis.rpc.service import Service
from chassis.runtime import erasure, merging, migrations
from chassis.runtime.measures import Measures
from chassis.runtime.migrations import Migration
from chassis.runtime.ops import HttpServer, ops_app
from chassis.runtime.settings import Settings
from chassis.runtime.timers import Timer, Timers
from chassis.runtime.workers import Worker, watched
from chassis.storage import aliases, chain, client, stars
from chassis.storage.changes import AUDIT, OUTBOX, REQUESTS, Changes
from chassis.storage.encryption import INDEX as VAULT_INDEX
from chassis.storage.encryption import VAULT, Vault
from chassis.storage.files import PARTS
from chassis.storage.lease import LEASES, Lease, Together
from chassis.storage.records import Records

log = logging.getLogger("crm.department")
REQUEST_HOURS = 48


@dataclass
class Department:
    """One department, built but not started. `workers` run beside the server, those that are `alone` in one replica at a time; `web` is its public Flask edge, if it has one.

    `stores` holds the records of its nouns, which come with their services, and those given beside.
    `places` are collections beside those of `stores` whose rows name customers, or in place of them.
    `callers` are the services that may call it, by their certificates. `owners` asks the departments whose facts are reacted to. `deliver` brings checkpoints of the audit to
    their second place. `at_start` runs once the database is there, before anything is served.
    """

    name: str
    settings: Settings
    authority: Authority
    metrics: Metrics
    database: client.Database
    vault: Vault
    services: Sequence[Service]
    callers: frozenset[str]
    stores: Sequence[Records] = ()
    reactions: list[Reaction] = field(default_factory=list)
    owners: dict[str, Ask] = field(default_factory=dict)
    workers: Sequence[Worker] = ()
    alone: Sequence[Worker] = ()
    timers: Sequence[Timer] = ()
    models: Sequence[Model] = ()
    indexes: dict[str, list[IndexModel]] = field(default_factory=dict)
    migrations: Sequence[Migration] = ()
    at_start: Sequence[Worker] = ()
    places: Sequence[merging.Place] = ()
    web: tuple[Any, str, Sequence[Network]] | None = None
    closing: Sequence[Worker] = ()
    deliver: chain.Deliver | None = None
    port: int = 0
    ops_port: int = 0
    web_port: int = 0
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    _leases: list[Lease] = field(default_factory=list)
    _http: list[HttpServer] = field(default_factory=list)

    def __post_init__(self) -> None:
        served = [service.records for service in self.services if service.records]
        self.stores = tuple(dict.fromkeys([*served, *self.stores]))
        self.aliases = aliases.Aliases(self.database)
        self.files = Attachments(self.name, self.settings.most_file_gigabytes << 30)

    async def start(self) -> None:
        """Everything up and serving, or an exception whose message says what to mend."""
        await client.check(self.database, self.settings.mongo_uri)
        await self.ensure_indexes()
        await self.vault.begin()
        await self.aliases.look()
        identity = self.settings.identity
        self.nats: Client = await broker.connect(self.settings.nats_url, f"crm-{self.name}", identity, back=self._broker_back)
        if self.settings.nats_monitor_url or self.settings.environment == "production":
            await broker.check_writes(self.settings.nats_monitor_url)
        if identity:
            self.jetstream = self.nats.jetstream(prefix=broker.MANAGED_API, publish_async_max_pending=4000)
            await broker.check_stream(self.jetstream, self.name)
        else:
            self.jetstream = self.nats.jetstream(publish_async_max_pending=4000)
            await broker.ensure_stream(self.jetstream, self.name, replicas=self.settings.nats_replicas)
        self.traces = Traces(self.name, self.settings.otlp_endpoint)
        together = Together()
        self.relay = Relay(self.name, self.database, self.jetstream, self.metrics, self.traces, self._make_stream, together)
        self.consumers = {consumer.durable: consumer for consumer in map(self._consumer, self.reactions)}
        self.measures = Measures(self.metrics.registry, self.database, self.consumers, identity, self.files.usage)
        for step in self.at_start:
            await step()
        reflect = self.settings.environment != "production"
        collaborations = Collaborations(self.database, *self._of_customers())
        asked = events.service(self.wake, self.consumers, lambda: self.reconciler)
        self.reconciler = Reconciler(self.database, list(self.consumers.values()), self._owners(asked))
        alike = common.services(self.name, self.stores, collaborations, self.services, [self.files])
        files = files_api.service(self.files, self.stores, collaborations)
        common_too = [audits.service(), asked, self._jobs(collaborations), files, stars_api.service(self.stores)]
        self.served = [*self.services, *alike, *numbering.services(self.stores), *common_too]
        self.server = Server(
            self.name, self.served, self.authority, self.database, self.metrics, self.traces, self.changes, collaborations,
            reflect=reflect, entrance=Entrance(identity, self.callers, self.settings.seal, self.settings.time_zone),
        )  # fmt: skip
        self.port = await self.server.start(self.settings.grpc_address, self.settings.health_address)
        await self._start_http()
        await self.nats.subscribe("crm.organization.v1.>", cb=self._organization_changed)
        consumers = [consumer.run for consumer in self.consumers.values()]
        timers = [Timers(self.timers, self.database, self.own_call, self.metrics).run] if self.timers else []
        forgetting = (
            [erasure.Forgetting(self.name, self.database, lambda: self.jetstream, self.wake).run] if erasure.hanging(self.stores) else []
        )
        sweep = merging.Sweep(self.aliases, self.own_call, self._places())
        beside_work = (*self.alone, *timers, *forgetting, sweep.run, FileSweep(self.own_call).run, self.jobs.run, self._migrate_beside)
        alone = {work.__qualname__: work for work in beside_work}
        self._leases = [Lease(self.database, name, together) for name in alone]
        beside = [partial(lease.while_held, work) for lease, work in zip(self._leases, alone.values(), strict=True)]
        self.chain = chain.Chain(self.name, self.database, self.vault, self.deliver)
        self.server.reads.written = self.chain.woken
        for run in [self.relay.run, self.authority.keep_fresh, self.chain.run, self.vault.run, self.aliases.run, self.server.reads.run]:
            self._tasks.append(asyncio.create_task(watched(run)))
        self._tasks.append(asyncio.create_task(self._serve_when_ready([*consumers, self.reconciler.run, *self.workers, *beside])))

    def _places(self) -> list[merging.Place]:
        given = {(place.collection, place.field) for place in self.places}
        return [
            *self.places,
            *(place for place in merging.places([*self.stores, self.files]) if (place.collection, place.field) not in given),
        ]

    def _jobs(self, collaborations: Collaborations) -> Service:
        """JobService, and who works on jobs."""
        imports = Imports(self.name, self.services)
        self.jobs = Jobs(
            self.database, self.vault, lambda: self.authority.directory, self.changes, collaborations, {"IMPORT": imports, "REBUILD": Rebuilds(self.stand)},
            lambda: self.server.asked, self.settings.time_zone, self.settings.seal, self.name,
        )  # fmt: skip
        return jobs_api.service(self.name, JobStore(), self.jobs, imports, frozenset(model.name for model in self.models))

    def stand(self) -> Stand:
        """What it has to fold its models anew."""
        models = {model.name: model for model in self.models}
        return Stand(self.name, self.database, models, self.own_call, self.wanted_indexes, lambda: self.jetstream)

    def _of_customers(self) -> tuple[str, list[str]]:
        """Where the owners of customers are known, and the resources that are open to them."""
        about = [store for store in self.stores if store.opened_by == "customer_id"]
        if self.name != collaboration.SOURCE:
            return collaboration.COLLECTION, [store.resource for store in about]
        # Here most records have their customer's owner for their own.
        return "customers", [store.resource for store in about if "owner_id" in store.descriptor.fields_by_name]

    def _consumer(self, reaction: Reaction) -> Consumer:
        managed = self.settings.identity is not None
        return Consumer(self.name, reaction, self.jetstream, self.database, self.own_call, self.metrics, self.traces, managed=managed)

    async def migrate(self) -> None:
        """Bring the database to what this build needs, and end: safe to repeat, beside running replicas of this build or the last one."""
        try:
            await client.check(self.database, self.settings.mongo_uri)
            await self.ensure_indexes()
            await self.vault.begin()
            await self.aliases.look()
            await migrations.migrate(self.database, self._steps(), self.own_call, again=True)
            await erasure.mend(self.database, self.vault, self.stores)
        finally:
            for close in self.closing:
                await close()
            await self.database.client.close()

    async def _migrate_beside(self) -> None:
        await migrations.migrate(self.database, self._steps(), self.own_call)

    def _steps(self) -> list[Migration]:
        return [*self.migrations, *migrations.rederiving(self.stores)]

    async def _make_stream(self) -> None:
        if self.settings.identity:
            await broker.check_stream(self.jetstream, self.name)  # says that the administration step is to be run
        else:
            await broker.ensure_stream(self.jetstream, self.name, replicas=self.settings.nats_replicas)

    def _owners(self, own: Service) -> dict[str, Ask]:
        """How to ask each department about its facts; about those of one's own without a call."""

        async def ask_own(method: str, request: Any) -> Any:
            return await own.handlers[method](self.own_call(method), request)

        return {**self.owners, self.name: ask_own}

    async def _start_http(self) -> None:
        ops = HttpServer(ops_app(self.name, self.metrics, self.ready, self.measures.take), self.settings.ops_address)
        self._http.append(ops)
        self.ops_port = ops.port
        if self.web:
            app, address, proxies = self.web
            edge = HttpServer(app, address, trusted=proxies)
            self._http.append(edge)
            self.web_port = edge.port
        for server in self._http:
            await server.start()

    async def _serve_when_ready(self, workers: Sequence[Worker]) -> None:
        """Nothing is served and nothing reacts before there is a policy to decide by."""
        while not self.authority.directory.revision:
            await asyncio.sleep(0.02)
        await self.server.set_serving(True)
        self._tasks += [asyncio.create_task(watched(run)) for run in workers]
        log.info("serving", extra={"port": self.port})

    async def _organization_changed(self, _: object) -> None:
        self.authority.changed.set()

    async def _broker_back(self) -> None:
        if relay := getattr(self, "relay", None):
            relay.broker_back()
        for consumer in getattr(self, "consumers", {}).values():
            consumer.broker_back()

    def own_call(self, method: str) -> Call:
        """A call of the department itself, for reactions and workers; its rights are those of its service role."""
        caller = Caller(f"service-{self.name}", frozenset((f"service-{self.name}",)))
        request_id = new_id()
        return Call(
            caller,
            self.authority.directory,
            self.database,
            self.changes(caller.person_id, request_id, method),
            method,
            request_id,
            zone=self.settings.time_zone,
        )

    def changes(self, actor_id: str, request_id: str, method: str) -> Changes:
        """A unit of work of this department."""
        return Changes(self.database, actor_id, request_id, method, self.wake, vault=self.vault, aliases=self.aliases)

    def wake(self, events: int) -> None:
        """Wake the relay and the chain after a commit; a migration has none, and a replica finds what it announced. Long work commits lines of
        the audit alone."""
        if events and (relay := getattr(self, "relay", None)):
            relay.wake(events)
        if sealing := getattr(self, "chain", None):
            sealing.woken.set()

    def wanted_indexes(self) -> dict[str, list[IndexModel]]:
        """Every index that reads stand on, by collection."""
        wanted = {name: list(models) for name, models in self.indexes.items()}
        for store in self.stores:
            wanted.setdefault(store.resource, []).extend(store.indexes())
        for timer in self.timers:
            wanted[timer.store.resource].append(timer.index)
        wanted[collaboration.COLLECTION] = collaboration.INDEXES
        wanted[aliases.COLLECTION] = aliases.INDEXES
        wanted[OUTBOX] = OUTBOX_INDEXES
        wanted[REQUESTS] = [
            IndexModel([("create_time", ASCENDING)], name="expire", expireAfterSeconds=REQUEST_HOURS * 3600),
            IndexModel([("customer_ids", ASCENDING)], name="customers", sparse=True),
        ]
        wanted[VAULT] = [VAULT_INDEX]
        wanted |= {
            JOBS: JobStore().indexes(),
            ROWS: row_indexes(),
            ATTACHMENTS: self.files.indexes(),
            PARTS: [],
            stars.COLLECTION: stars.INDEXES,
        }
        wanted[AUDIT] = [
            IndexModel([("record_id", ASCENDING), ("time", DESCENDING), ("_id", DESCENDING)], name="by_record_time"),
            reads.INDEX,
            *chain.INDEXES,
        ]
        wanted[audits.CHECKPOINTS] = [audits.INDEX]
        return wanted

    async def ensure_indexes(self) -> None:
        """Every wanted index and every other collection; safe to repeat."""
        existing = set(await self.database.list_collection_names())
        for name, models in self.wanted_indexes().items():
            if name not in existing:
                await client.ensure_collection(self.database, name)
            if models:
                await self.database[name].create_indexes(models)
        for name in {
            INBOX,
            PARKED,
            POSITIONS,
            LEASES,
            migrations.COLLECTION,
            REST,
            chain.BLOCKS,
            chain.KEYS,
            audits.CHECKPOINT_KEYS,
        } - existing:
            await client.ensure_collection(self.database, name)

    async def _release(self) -> None:
        for lease in [self.relay.lease, *self._leases]:
            await lease.release()

    async def ready(self) -> dict[str, bool]:
        """What a readiness probe wants to know; a replica that drains is not ready, though it still answers."""
        try:
            await self.database.client.admin.command("ping", maxTimeMS=500)
            mongo = True
        except PyMongoError:
            mongo = False
        return {
            "mongo": mongo,
            "nats": self.nats.is_connected,
            "directory": self.authority.directory.revision > 0,
            "serving": self.server.serving,
        }

    async def stop(self) -> None:
        """Drain, then end what runs and close what is open."""
        await self.server.stop()
        for server in self._http:
            await server.stop()
        await settle(self._tasks)
        for close in self.closing:
            await close()
        try:
            await self.server.reads.flush()
            await self._release()
        except PyMongoError as error:
            log.warning("not everything was written at the end; the lease ends by itself", extra={"reason": str(error)[:200]})
        await broker.close(self.nats)
        await self.database.client.close()
        await asyncio.to_thread(self.traces.flush)
