"""The doctor: all is well where all is well; each damage is found, named, and comes with the words that mend it."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from pymongo import AsyncMongoClient

from chassis.kernel.clock import now
from chassis.messaging.broker import BrokerRefused, ensure_stream
from cli import authority
from cli.doctor import broker, database, doctor, examine, machine
from cli.doctor.finding import Finding, clock
from cli.engines import Child, free_port, mongod_binary, monitoring, start_nats
from cli.plan import DEPARTMENTS
from tests.component.sales.test_sales import STAGES
from tests.support.installation import Engines, Installation

DAY = timedelta(days=1)
MOMENT = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sick(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation with a broker of its own, to be damaged; each test mends what it broke."""
    folder, monitor = tmp_path_factory.mktemp("sick"), free_port()
    child, url = await start_nats(folder / "nats", free_port(), folder / "nats.log", monitor=monitor)
    installation = Installation(engines, url)
    installation.plan.nats_monitor = f"http://127.0.0.1:{monitor}"
    installation.kept = folder / "nats" / "jetstream"  # type: ignore[attr-defined]
    await installation.start()
    await installation.settled()
    yield installation
    await installation.stop()
    await child.stop()


async def wrong(crm: Installation, folder: Path, **other: Any) -> list[Finding]:
    """What the doctor finds wrong. `other` are parts of another plan."""
    plan = copy.copy(crm.plan)
    for name, value in other.items():
        setattr(plan, name, value)
    return [finding for finding in await examine(plan, folder) if finding.wrong]


async def test_all_is_well_and_said_so(sick: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await doctor(SimpleNamespace(plan=lambda: sick.plan, folder=tmp_path))  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "✗" not in said
    assert said.splitlines()[-1].strip().startswith("all ")
    for name in (*DEPARTMENTS, "gateway", "MongoDB", "NATS", "certificates", "this machine", "backup"):
        assert f"  {name} " in said


async def test_open_work_of_somebody_who_left_is_told_and_that_nobody_administers(sick: Installation, tmp_path: Path) -> None:
    leaver = await sick.person("leaver of the doctor", "SALES_REP")
    await sick.ask("DeactivatePerson", person_id=leaver)
    people, tickets = sick.suite["organization"].database["people"], sick.suite["support"].database["tickets"]
    made = (await sick.ask("CreateTicket", role="SUPPORT_AGENT", subject="坏了", channel=1)).ticket.id
    await tickets.update_one({"_id": made}, {"$set": {"owner_id": leaver}})
    await people.update_many({"roles": "ADMINISTRATOR"}, {"$set": {"state": "LEFT"}})
    try:
        found = [finding for finding in await wrong(sick, tmp_path) if finding.part == "people"]
        assert [finding.text for finding in found] == [
            "nobody can give roles and change people", "open work of people who have left: 1 tickets",
        ]  # fmt: skip
    finally:
        await people.update_many({"roles": "ADMINISTRATOR"}, {"$set": {"state": "ACTIVE"}})
        await tickets.update_one({"_id": made}, {"$set": {"owner_id": sick.people["SUPPORT_AGENT"]}})
    assert [finding for finding in await wrong(sick, tmp_path) if finding.part == "people"] == []


async def test_a_dropped_index_is_named_and_the_exit_code_is_1(
    sick: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await sick.suite["sales"].database["outbox"].drop_index("expire")
    with pytest.raises(SystemExit) as ended:
        await doctor(SimpleNamespace(plan=lambda: sick.plan, folder=tmp_path))  # type: ignore[arg-type]
    await sick.suite["sales"].ensure_indexes()
    assert ended.value.code == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗")]
    assert said == ["✗ sales         indexes are missing: outbox.expire; restart the department: it makes them"]


async def test_an_index_with_other_keys_is_missing(sick: Installation, tmp_path: Path) -> None:
    audit = sick.suite["support"].database["audit_entries"]
    await audit.drop_index("by_block")
    await audit.create_index([("block", -1)], name="by_block")
    found = await wrong(sick, tmp_path)
    await audit.drop_index("by_block")
    await sick.suite["support"].ensure_indexes()
    assert [(one.part, one.text) for one in found] == [("support", "indexes are missing: audit_entries.by_block")]


async def test_a_stream_that_would_drop_facts_is_named(sick: Installation, tmp_path: Path) -> None:
    context = sick.suite["sales"].jetstream
    await context.update_stream(
        StreamConfig(name="CRM_SALES", subjects=["crm.sales.v1.>"], discard=DiscardPolicy.OLD, max_msgs=10_000, duplicate_window=120)
    )
    found = await wrong(sick, tmp_path)
    await ensure_stream(context, "sales")
    text = "the stream CRM_SALES has not the settings that safety needs (discard, max_msgs)"
    assert [(one.part, one.text) for one in found] == [("sales", text)]


async def test_a_stream_in_memory_cannot_be_mended_by_settings(engines: Engines) -> None:
    connection = await nats.connect(engines.nats_url)
    context = connection.jetstream()
    await context.add_stream(StreamConfig(name="CRM_FLEETING", subjects=["crm.fleeting.v1.>"], storage=StorageType.MEMORY))
    with pytest.raises(BrokerRefused, match="the stream CRM_FLEETING was made with another storage than safety needs"):
        await ensure_stream(context, "fleeting")
    await context.delete_stream("CRM_FLEETING")
    await connection.close()


async def test_a_consumer_that_is_gone_is_named(sick: Installation, tmp_path: Path) -> None:
    await sick.suite.stop("marketing")
    connection = await nats.connect(sick.plan.nats_url)
    await connection.jetstream().delete_consumer("CRM_CUSTOMER", "marketing-collaboration-customer")
    await connection.close()
    found = await wrong(sick, tmp_path)
    await sick.suite.start(["marketing"])
    await sick.until(lambda: sick.suite["marketing"].authority.directory.revision)
    assert [(one.part, one.text) for one in found] == [
        ("marketing", "does not answer"), ("marketing", "consumers are missing: marketing-collaboration-customer")
    ]  # fmt: skip


async def test_a_stopped_gateway_is_found(sick: Installation, tmp_path: Path) -> None:
    await sick.suite.stop("gateway")
    found = await wrong(sick, tmp_path)
    await sick.suite.start(["gateway"])
    assert [(one.part, one.text) for one in found] == [("gateway", "does not answer")]


async def test_a_parked_fact_is_told_with_the_command_that_shows_it(sick: Installation, tmp_path: Path) -> None:
    hearers = {name: [one for one in sick.suite[name].reactions if one.department == "sales" and (not one.aggregates or "Order" in one.aggregates)]
               for name in ("organization", "customer")}  # fmt: skip
    parked = {name: sick.suite[name].database["parked_events"] for name in hearers}
    headers = {"ce-id": "x", "ce-type": "crm.sales.v1.OrderCreated", "ce-subject": "x", "ce-version": "1"}
    await sick.suite["sales"].jetstream.publish("crm.sales.v1.order.created.x", b"\xff", headers=headers)  # a body that nobody can read

    async def arrived() -> bool:
        return all([await parked[name].count_documents({}) == len(reactions) for name, reactions in hearers.items()])

    await sick.until(arrived)
    found = await wrong(sick, tmp_path)
    for rows in parked.values():
        await rows.delete_many({})
    assert [(one.part, one.text) for one in found] == [(name, f"{len(reactions)} facts are parked") for name, reactions in hearers.items()]
    assert "./xietong events parked" in found[0].mend


async def test_an_outbox_that_does_not_empty_is_told_with_its_age(sick: Installation, tmp_path: Path) -> None:
    department = sick.suite["sales"]
    theirs = {"$set": {"holder": "somebody who hangs", "until": now() + timedelta(minutes=5)}}
    await department.database["leases"].update_one({"_id": "relay"}, theirs)
    await asyncio.sleep(5)  # until our relay wants its lease again
    await sick.ask("CreatePipeline", name="p", stages=STAGES)
    await department.database["outbox"].update_one({"pending": True}, {"$set": {"create_time": now() - timedelta(seconds=100)}})
    found = await wrong(sick, tmp_path)
    await department.database["leases"].delete_one({"_id": "relay"})
    await sick.settled()
    assert [(one.part, re.sub(r"1\d\d s", "100 s", one.text)) for one in found] == [("sales", "a fact waits 100 s to be published")]


async def test_engines_that_do_not_answer_are_found(sick: Installation, tmp_path: Path) -> None:
    away = free_port()
    mongo, broker_url = f"mongodb://127.0.0.1:{away}/?replicaSet=crm", f"nats://127.0.0.1:{away}"
    found = await wrong(sick, tmp_path, mongo_uri=mongo, nats_url=broker_url, nats_monitor="")
    assert [(one.part, one.text.split(":")[0]) for one in found] == [
        ("MongoDB", "does not answer"), ("NATS", "does not answer"), ("NATS", "whether it writes through to disk cannot be seen"),
    ]  # fmt: skip


async def test_a_broker_that_does_not_write_through_and_one_whose_store_is_full_are_found(sick: Installation, tmp_path: Path) -> None:
    port, monitor = free_port(), free_port()
    text = f'host: 127.0.0.1\nport: {port}\n{monitoring(monitor)}jetstream {{ store_dir: "{tmp_path / "nats"}", max_file_store: 10MB }}\n'
    child, url = await start_nats(tmp_path / "nats", port, tmp_path / "nats.log", text)
    connection = await nats.connect(url)
    await connection.jetstream().add_stream(StreamConfig(name="FULL", subjects=["full"]))
    for _ in range(9):
        await connection.jetstream().publish("full", b"x" * 1_000_000)
    await connection.close()
    found = await wrong(sick, tmp_path, nats_monitor=f"http://127.0.0.1:{monitor}")
    await child.stop()
    assert [(one.part, one.text) for one in found] == [
        (f"NATS 127.0.0.1:{monitor}", "does not write facts through to disk"), (f"NATS 127.0.0.1:{monitor}", "0.01 GB of 0.01 GB store used"),
    ]  # fmt: skip


async def test_a_mongod_without_a_replica_set_is_found(tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "mongo"
    data.mkdir()
    child = await Child.start(
        "mongod", [mongod_binary(), "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1"], tmp_path / "log"
    )
    async with AsyncMongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/", tz_aware=True, serverSelectionTimeoutMS=20_000) as client:
        found = [finding for finding in await database._set(client) if finding.wrong]
    await child.stop()
    assert found == [Finding("MongoDB", "is no replica set", "start it with --replSet and rs.initiate(), one member is enough")]


def test_a_member_that_is_away_and_a_majority_that_forgets_are_found() -> None:
    status = {"set": "crm", "members": [{"name": "a", "stateStr": "PRIMARY"}, {"name": "b", "stateStr": "SECONDARY"}, {"name": "c", "stateStr": "(not reachable/healthy)"}],
              "optimes": {"lastAppliedWallTime": MOMENT, "lastCommittedWallTime": MOMENT - timedelta(seconds=60)}}  # fmt: skip
    found = [one.text for one in database.members(status, {"writeConcernMajorityJournalDefault": False}) if one.wrong]
    assert found == [
        "replica set crm, 2 of 3 members; away: c", "acknowledges majority writes before they are on disk", "the majority is 60 s behind the primary",
    ]  # fmt: skip


def test_certificates_that_ended_end_soon_or_cannot_be_read_are_named(tmp_path: Path) -> None:
    authority.ensure(tmp_path, ("sales",), MOMENT - 366 * DAY)
    authority.ensure(tmp_path, ("support",), MOMENT - 355 * DAY)
    authority.ensure(tmp_path, ("customer",), MOMENT)
    (tmp_path / "gateway.pem").write_text("no certificate")
    found = [finding.text for finding in machine.certificates(tmp_path, MOMENT)]
    assert found == ["gateway.pem cannot be read", "sales ended on 2027-02-28", "support ends in 10 days"]
    (tmp_path / "gateway.pem").unlink()
    authority.ensure(tmp_path, ("sales", "support"), MOMENT)
    assert machine.certificates(tmp_path, MOMENT) == [Finding("certificates", "all 4 hold, the first ends in 365 days")]


def test_a_clock_that_is_apart_is_told_with_its_direction() -> None:
    after = MOMENT + timedelta(seconds=1)
    assert clock("sales", MOMENT - timedelta(seconds=1), MOMENT, after).wrong is False
    assert clock("sales", MOMENT - timedelta(seconds=90), MOMENT, after).text == "clock is 90 s behind this machine's"
    assert clock("sales", after + timedelta(seconds=90), MOMENT, after).text == "clock is 90 s ahead of this machine's"


@pytest.mark.parametrize("part", [".", "*/streams/CRM_SALES", "*/streams/CRM_SALES/msgs", "*"])
async def test_a_store_that_was_removed_under_the_running_server_is_told(sick: Installation, tmp_path: Path, part: str) -> None:
    kept: Path = sick.kept  # type: ignore[attr-defined]
    (found,) = [kept] if part == "." else kept.glob(part)
    aside = tmp_path / "aside"
    found.rename(aside)
    try:
        told = [one for one in await wrong(sick, tmp_path) if "removed from under it" in one.text]
    finally:
        aside.rename(found)
    assert len(told) == 1
    assert "CRM_SALES" in told[0].text
    assert "lose-nats.md" in told[0].mend
    assert await wrong(sick, tmp_path) == []


def test_of_a_server_elsewhere_no_files_are_looked_for(tmp_path: Path) -> None:
    streams = {"account_details": [{"stream_detail": [{"name": "CRM_SALES"}]}]}
    for page in ({}, streams, streams | {"config": {"store_dir": "/nowhere/jetstream"}}):
        assert broker.store("NATS", page, tmp_path) == []
    place = {"config": {"store_dir": str(tmp_path / "nats" / "jetstream")}}
    assert [one.wrong for one in broker.store("NATS", streams | place, tmp_path)] == [True]
    assert [one.wrong for one in broker.store("NATS", place, tmp_path)] == [False]


def test_an_old_backup_and_one_that_is_gone_are_told(tmp_path: Path) -> None:
    assert machine.backup(tmp_path, MOMENT) == Finding("backup", "none was ever taken (./xietong backup take FOLDER)")
    (tmp_path / "kept").mkdir()
    machine.took_backup(tmp_path, tmp_path / "kept")
    taken = datetime.fromisoformat(json.loads((tmp_path / machine.LAST_BACKUP).read_text())["time"])
    assert machine.backup(tmp_path, taken + timedelta(hours=5)) == Finding("backup", "the last one is 0 days and 5 hours old")
    assert machine.backup(tmp_path, taken + 3 * DAY).wrong
    (tmp_path / "kept").rmdir()
    assert machine.backup(tmp_path, taken).text.startswith("the last one is no longer at ")


def test_a_disk_with_little_room_is_told() -> None:
    assert database.disk("MongoDB", 9e9, 100e9) == Finding(
        "MongoDB", "9.0 GB of 100.0 GB disk free", "give it more room before writes are refused"
    )
    assert database.disk("MongoDB", 11e9, 100e9).wrong is False


def test_a_server_whose_clock_is_apart_is_told() -> None:
    page = {"config": {"sync_always": True}, "now": "2027-03-01T11:00:00.123456789Z"}
    assert [one.text for one in broker.server("NATS", page, MOMENT, MOMENT) if one.wrong] == ["clock is 3600 s behind this machine's"]
