"""A backup is one moment of all departments, taken while they work; it opens for nobody else, tells of every change, and comes back."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bson
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from chassis.messaging import reconciler
from cli.backup.drill import drill
from cli.backup.repository import Repository
from cli.backup.restore import restore, verify
from cli.backup.take import take
from cli.engines import EngineError, free_port, start_mongo, start_nats
from cli.plan import new_master, new_masters
from tests.component.chassis.test_events_repair import order
from tests.support.files import PDF, attach
from tests.support.installation import Engines, Installation

SECRET = new_master()


def content(folder: Path, name: str) -> list[dict[str, Any]]:
    """The documents of one collection of the newest backup."""
    repository, (department, collection) = Repository(folder, SECRET), name.split(".")
    return [bson.decode(document) for document in repository.documents(repository.manifest(repository.newest()), department, collection)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def taken(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Installation, Path]]:
    """An installation with a broker of its own, and a backup that was taken while eight people wrote."""
    base: Path = tmp_path_factory.mktemp("backup")
    child, url = await start_nats(base / "nats", free_port(), base / "nats.log")
    crm, folder, stopped, written = Installation(engines, url), base / "taken", asyncio.Event(), asyncio.Semaphore(0)
    await crm.start()
    customer = await crm.ask("CreateCustomer", role="COORDINATOR", name="备份", kind=2, phone="13612340000", request_id="backup-customer-1")
    await attach(crm, "customer", "customers", customer.customer.id, "备份.pdf", PDF)

    async def writes() -> None:
        while not stopped.is_set():
            await order(crm)
            written.release()

    writers = [asyncio.create_task(writes()) for _ in range(8)]
    for _ in range(20):
        await written.acquire()
    await take(crm.plan, folder, SECRET)
    stopped.set()
    await asyncio.gather(*writers)
    yield crm, folder
    await crm.stop()
    await child.stop()


def test_a_backup_is_one_moment(taken: tuple[Installation, Path]) -> None:
    _, folder = taken
    orders = {row["_id"] for row in content(folder, "sales.orders")}
    facts = {row["headers"]["ce-subject"] for row in content(folder, "sales.outbox") if row["headers"]["ce-type"].endswith("OrderCreated")}
    audited = {row["record_id"] for row in content(folder, "sales.audit_entries") if row["action"] == "OrderCreated"}
    assert len(orders) >= 20
    assert orders == facts == audited
    heard = {row["_id"].rpartition("|")[2] for row in content(folder, "customer.inbox") if row["_id"].startswith("customer-timeline-sales")}
    told = {row["record_id"] for row in content(folder, "customer.timeline_entries") if row["resource"] == "orders"}
    assert (heard & orders, told - facts) == (told, set())  # the other department is at the same moment, or before it: never behind it


def test_nothing_in_it_can_be_read_and_nobody_but_the_owner_reaches_it(taken: tuple[Installation, Path]) -> None:
    paths = [taken[1], *taken[1].rglob("*")]
    files = [path for path in paths if path.is_file()]
    assert len(files) > 20
    assert {path.stat().st_mode & 0o077 for path in paths} == {0}
    for path in files:
        data = path.read_bytes()
        assert [word for word in ("备份", "13612340000", "OrderCreated", "argon2") if word.encode() in data] == [], path


def test_files_are_in_it_with_their_parts_sealed(taken: tuple[Installation, Path]) -> None:
    _, folder = taken
    (file,) = content(folder, "customer.attachments")
    (part,) = content(folder, "customer.file_parts")
    assert part["_id"] == f"{file['_id']}:00" and file["size"] == len(PDF) < len(part["data"])
    assert PDF[:20] not in part["data"]


def chunk(folder: Path, name: str) -> Path:
    """The file of the first chunk of a collection."""
    repository, (department, collection) = Repository(folder, SECRET), name.split(".")
    return repository.path(repository.manifest(repository.newest())["departments"][department][collection]["chunks"][0])


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.unlink()
    path.write_bytes(data)


def digit(path: Path, place: int) -> None:
    """Change one of its hexadecimal digits into another one."""
    data = bytearray(path.read_bytes())
    data[place] = ord("1") if data[place] == ord("0") else ord("0")
    path.unlink()
    path.write_bytes(data)


def exchange(folder: Path) -> None:
    one, other = chunk(folder, "sales.orders"), chunk(folder, "customer.customers")
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


def cut(path: Path, length: int) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:length])


def manifest(folder: Path) -> Path:
    return next((folder / "manifests").iterdir())


BROKEN = r"was changed or is broken; sales\.orders in 2\w+\.\w+Z needs it"
HARMS = {
    "changed": (lambda folder: flip(chunk(folder, "sales.orders"), 40), BROKEN),
    "missing": (lambda folder: chunk(folder, "customer.customers").unlink(), r"is missing; customer\.customers in"),
    "exchanged": (exchange, r"was changed or is broken; customer\.customers in"),
    "cut off": (lambda folder: cut(chunk(folder, "sales.orders"), -1), BROKEN),
    "empty": (lambda folder: cut(chunk(folder, "sales.orders"), 0), BROKEN),
    "manifest": (lambda folder: digit(manifest(folder), -20), r"Z\.json was changed or is broken"),
    "renamed": (lambda folder: manifest(folder).rename(folder / "manifests" / "20200101T000000.000Z.json"), r"000Z\.json was changed"),
    "unfinished": (lambda folder: manifest(folder).unlink(), r"has no finished backup"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMS)
async def test_every_harm_is_named_before_anything_is_written(taken: tuple[Installation, Path], tmp_path: Path, name: str) -> None:
    crm, folder = taken
    harm, words = HARMS[name]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=os.link)
    harm(copy)
    with pytest.raises(EngineError, match=words):
        verify(copy, SECRET)
    nowhere = replace(crm.plan, database_prefix=f"t{secrets.token_hex(4)}")
    with pytest.raises(EngineError, match=words):
        await restore(nowhere, copy, SECRET)
    async with AsyncMongoClient[dict[str, Any]](crm.plan.mongo_uri) as client:
        assert [found for found in await client.list_database_names() if found.startswith(nowhere.database_prefix)] == []


def test_a_whole_one_is_whole_and_another_key_opens_nothing(taken: tuple[Installation, Path]) -> None:
    assert set(verify(taken[1], SECRET)["departments"]) == {"organization", "customer", "sales", "marketing", "support"}
    with pytest.raises(EngineError, match="of another installation"):
        verify(taken[1], new_master())
    with pytest.raises(EngineError, match=r"has no backup 20200101T000000\.000Z; «xietong backup list» shows those it has"):
        verify(taken[1], SECRET, "20200101T000000.000Z")


async def test_a_folder_with_something_else_is_not_written_to(taken: tuple[Installation, Path], tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(EngineError, match="is not empty, and no repository of backups"):
        await take(taken[0].plan, tmp_path, SECRET)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


async def test_what_was_restored_works_and_hears_what_it_had_not(
    taken: tuple[Installation, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, folder = taken
    mongo, uri = await start_mongo(tmp_path / "mongo", free_port(), tmp_path / "mongod.log")
    nats, url = await start_nats(tmp_path / "nats", free_port(), tmp_path / "nats.log")
    plan = replace(elsewhere(crm, uri, url), masters=dict(crm.plan.masters))
    with pytest.raises(EngineError, match="the master keys of organization are not those of the backup"):
        await restore(replace(plan, masters=new_masters()), folder, SECRET)
    await restore(plan, folder, SECRET)
    with pytest.raises(EngineError, match="has data; restore into an empty installation"):
        await restore(plan, folder, SECRET)
    monkeypatch.setattr(reconciler, "SETTLED_SECONDS", 0)
    back = Installation(plan=plan)
    await back.suite.start()
    try:
        sales, customer = back.suite["sales"].database, back.suite["customer"].database
        orders = await sales["orders"].count_documents({})

        async def all_told() -> bool:
            return len(await customer["timeline_entries"].distinct("record_id", {"resource": "orders"})) == orders

        await back.until(all_told, 40)
        assert await customer["timeline_entries"].count_documents({"resource": "orders"}) == orders
        row = await customer["customers"].find_one({"name": "备份"})
        assert row
        call = back.suite["customer"].own_call("Test")
        store = next(store for store in back.suite["customer"].stores if store.resource == "customers")
        assert (await store.read(call, row["_id"]))["phone"] == "13612340000"
    finally:
        await back.suite.stop()
        await nats.stop()
        await mongo.stop()


async def test_a_drill_restores_compares_and_opens_every_key(
    taken: tuple[Installation, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, folder = taken
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await drill(crm.plan, folder, SECRET)
    table = capsys.readouterr().out.partition("department ")[2].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in table[1:6]}
    manifest = verify(folder, SECRET)
    for department, collections in manifest["departments"].items():
        assert rows[department][:2] == [str(len(collections)), f"{sum(row['count'] for row in collections.values()):,}"]
        assert rows[department][3:] == ["equal", str(collections["subject_keys"]["count"])]
    assert f"{manifest['name']} was restored and equals what was written, hash by hash, in " in table[6]
    assert list(tmp_path.iterdir()) == []


async def test_a_drill_finds_a_master_key_that_is_missing(taken: tuple[Installation, Path], tmp_path: Path) -> None:
    crm, folder = taken
    new = new_masters()
    both = replace(crm.plan, masters={name: f"{new[name]},{old}" for name, old in crm.plan.masters.items()})
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=os.link)
    await take(both, copy, SECRET)
    with pytest.raises(EngineError, match=r"a key of personal data of organization does not open: the master key .* is missing"):
        await drill(replace(crm.plan, masters=new), copy, SECRET)


def elsewhere(crm: Installation, uri: str, url: str) -> Any:
    """Where the restored installation runs: other engines and ports, the same secrets and databases."""
    engines = Engines()
    engines.mongo_uri, engines.nats_url = uri, url
    return replace(engines.plan(), secrets=dict(crm.plan.secrets), database_prefix=crm.plan.database_prefix)
