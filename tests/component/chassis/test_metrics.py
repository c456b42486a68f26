"""What /metrics tells: exact numbers of what waits, NaN for what cannot be seen, and labels that no client can multiply."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import nats
import pytest_asyncio
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from chassis.files.store import ATTACHMENTS
from chassis.files.usage import INDEX, Usage
from chassis.kernel.clock import now
from chassis.messaging.broker import ensure_stream
from chassis.messaging.reactions import INBOX, PARKED, Consumer, Reaction, consumer_config
from chassis.messaging.relay import INDEXES as OUTBOX_INDEXES
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.runtime.measures import Measures
from chassis.storage import chain
from chassis.storage.changes import AUDIT, OUTBOX
from chassis.storage.client import Database, connect
from cli import authority
from cli.documents import register
from cli.engines import free_port
from cli.plan import DEPARTMENTS
from gateway.bootstrap import build
from gateway.settings import Settings
from tests.support.installation import Engines, Installation

LABELS = {
    "crm_rpc_seconds": {"method", "code"}, "crm_mongo_commands": {"command", "collection"}, "crm_mongo_seconds": {"command"},
    "crm_events_published": {"type"}, "crm_events_handled": {"reaction"}, "crm_events_ignored": {"reaction"},
    "crm_events_parked": {"reaction"}, "crm_event_lag_seconds": {"reaction"}, "crm_timer_late_seconds": {"timer"}, "crm_timer_failures": {"timer"},
    "crm_access_refused": {"resource"},
    "crm_consumer_pending": {"consumer"}, "crm_operation_seconds": {"operation", "kind", "outcome"},
    "crm_operation_uncompiled": {"reason"}, "crm_operation_reread": {"type"}, "crm_operation_documents": {"outcome"},
    "crm_operation_plans": {"outcome"}, "crm_operations_shed": set(), "crm_merged_questions": {"outcome"}, "crm_deadlines_missed": {"department"},
    "crm_outbox_pending": set(), "crm_outbox_age_seconds": set(), "crm_parked_events": set(), "crm_audit_unsealed_seconds": set(),
    "crm_mongo_disk_free_ratio": set(), "crm_files_bytes": set(),
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def database(engines: Engines) -> AsyncIterator[Database]:
    """A database of the test's own with the collections that are measured."""
    found = connect(engines.mongo_uri, f"x{secrets.token_hex(4)}")
    await found[OUTBOX].create_indexes(OUTBOX_INDEXES)
    await found[AUDIT].create_indexes(chain.INDEXES)
    yield found
    await found.client.drop_database(found.name)
    await found.client.close()


def values(registry: CollectorRegistry) -> dict[str, float]:
    """Gauges by name and labels."""
    return {",".join((sample.name, *sample.labels.values())): sample.value for family in registry.collect() for sample in family.samples}


async def taken(database: Database, **parts: object) -> dict[str, float]:
    registry = CollectorRegistry()
    await Measures(registry, database, **({"consumers": {}, "identity": None, "files": Usage(0)} | parts)).take()  # type: ignore[arg-type]
    return values(registry)


async def test_what_waits_is_counted_and_its_age_told(database: Database) -> None:
    await database[ATTACHMENTS].create_indexes([INDEX])
    quiet = await taken(database)
    assert 0 < quiet.pop("crm_mongo_disk_free_ratio") < 1
    assert quiet == dict.fromkeys(
        ("crm_outbox_pending", "crm_outbox_age_seconds", "crm_parked_events", "crm_audit_unsealed_seconds", "crm_files_bytes"), 0
    )
    old, older = now() - timedelta(seconds=60), now() - timedelta(seconds=90)
    await database[OUTBOX].insert_many([
        {"_id": "1", "pending": True, "create_time": older}, {"_id": "2", "pending": True, "create_time": old}, {"_id": "0", "create_time": old},
    ])  # fmt: skip
    await database[AUDIT].insert_many([{"_id": "1", "pending": True, "time": old}, {"_id": "0", "block": 1, "time": older}])
    await database[PARKED].insert_many([{"_id": "a"}, {"_id": "b"}, {"_id": "c", "done": old}])
    found = await taken(database)
    assert (found["crm_outbox_pending"], found["crm_parked_events"]) == (2, 2)
    assert 90 <= found["crm_outbox_age_seconds"] < 100
    assert 60 <= found["crm_audit_unsealed_seconds"] < 70


async def test_what_a_consumer_has_not_heard_is_its_lag(engines: Engines, database: Database) -> None:
    connection = await nats.connect(engines.nats_url)
    context, name = connection.jetstream(), f"s{secrets.token_hex(4)}"
    await ensure_stream(context, name)
    consumer = Consumer("tests", Reaction("watch", name, (), None, (INBOX,)), context, database, None, Metrics(), Traces("tests"))  # type: ignore[arg-type]
    await context.add_consumer(f"CRM_{name.upper()}", consumer_config(consumer.durable, consumer.reaction))
    for number in range(3):
        await context.publish(f"crm.{name}.v1.customer.updated.{number}", b"")
    (await (await context.pull_subscribe_bind(consumer.durable, f"CRM_{name.upper()}")).fetch(1))[0]  # delivered is not heard
    found = await taken(database, consumers={consumer.durable: consumer})
    await context.delete_stream(f"CRM_{name.upper()}")
    await connection.close()
    assert found[f"crm_consumer_pending,{consumer.durable}"] == 3


async def test_the_end_of_the_certificate_is_told(database: Database, tmp_path: Path) -> None:
    made = now().replace(microsecond=0)
    identity = authority.ensure(tmp_path, ("sales",), made)["sales"]
    assert (await taken(database, identity=identity))["crm_certificate_end_time_seconds"] == made.timestamp() + 365 * 86400


async def test_what_cannot_be_seen_is_no_number() -> None:
    away = connect(f"mongodb://127.0.0.1:{free_port()}/?replicaSet=crm&serverSelectionTimeoutMS=200", "away")
    found = await taken(away)
    await away.client.close()
    assert len(found) == 6
    assert all(math.isnan(value) for value in found.values())


async def test_no_client_can_multiply_labels(crm: Installation, tmp_path: Path) -> None:
    (tmp_path / "one.graphql").write_text("query Known { viewer { name } }")
    register(tmp_path, tmp_path / "register.json")
    given = crm.plan.environment("gateway") | {"CRM_DOCUMENTS": str(tmp_path / "register.json"), "CRM_READ_MILLISECONDS": "3000"}
    gateway = build(Settings.from_env(given | {"CRM_HTTP_ADDRESS": "127.0.0.1:0", "CRM_OPS_ADDRESS": "127.0.0.1:0"}))
    await gateway.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False) as http:
            texts = [
                "query Known { viewer { name } }",
                "{ viewer { name } }",
                *(f"query Q{secrets.token_hex(4)} {{ viewer {{ name }} }}" for _ in range(30)),
            ]
            for text in texts:
                answer = await http.post("/graphql", json={"query": text}, headers=crm.bearer("COORDINATOR"))
                assert answer.json() == {"data": {"viewer": {"name": "人 COORDINATOR"}}}
            shown = (await http.get(f"http://127.0.0.1:{gateway.ops_port}/metrics")).text
    finally:
        await gateway.stop()
    counts = {
        sample.labels["operation"]: sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
        if sample.name == "crm_operation_seconds_count"
    }
    assert counts == {"Known": 1, "other": 31}
    assert 'crm_operation_documents_total{outcome="miss"} 32.0' in shown


async def test_every_series_has_few_labels_and_none_names_a_record_or_person(crm: Installation) -> None:
    made = await crm.ask("CreateCustomer", role="COORDINATOR", name="标签公司", kind=1)
    await crm.graph('{ customers(first: 1, filter: {name: {contains: "x"}}) { nodes { name } } }')
    await crm.settled()
    async with httpx.AsyncClient(trust_env=False) as http:
        shown = {
            name: (await http.get(f"http://127.0.0.1:{crm.plan.ops[name]}/metrics", timeout=10)).text for name in (*DEPARTMENTS, "gateway")
        }
    for text in shown.values():
        families = [family for family in text_string_to_metric_families(text) if family.samples]
        found = {family.name: {key for sample in family.samples for key in sample.labels} - {"le"} for family in families}
        assert {name: labels for name, labels in found.items() if LABELS.get(name) != labels} == {}
        told = {value for family in families for sample in family.samples for value in sample.labels.values()}
        assert [value for value in told if made.customer.id in value or re.search(r"[0-9a-f]{12}|[^\x00-\x7f]", value)] == []
        assert sum(len(family.samples) for family in families) < 5000
    assert {f'crm_consumer_pending{{consumer="{name}"}} 0.0' in shown["customer"] for name in crm.suite["customer"].consumers} == {True}
