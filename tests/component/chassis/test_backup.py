"""A backup is one moment of all departments, taken while they work; it opens for nobody else, tells of every change, and comes back."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bson
import pytest
import pytest_asyncio

from chassis.messaging import reconciler
from cli.backup.archive import Archive, documents
from cli.backup.restore import restore, verify
from cli.backup.take import take
from cli.engines import EngineError, free_port, start_mongo, start_nats
from cli.plan import new_master, new_masters
from tests.component.chassis.test_events_repair import order
from tests.support.installation import Engines, Installation

SECRET = new_master()


def content(folder: Path, name: str) -> list[dict[str, Any]]:
    """The documents of one collection of a backup."""
    archive, _ = Archive.open(folder, base64.urlsafe_b64decode(SECRET + "=="))
    return [bson.decode(document) for document in documents(archive.read(name))]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def taken(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Installation, Path]]:
    """An installation with a broker of its own, and a backup that was taken while eight people wrote."""
    base: Path = tmp_path_factory.mktemp("backup")
    child, url = await start_nats(base / "nats", free_port(), base / "nats.log")
    crm, folder, stopped = Installation(engines, url), base / "taken", asyncio.Event()
    await crm.start()
    customer = await crm.ask("CreateCustomer", role="COORDINATOR", name="备份", kind=2, phone="13612340000", request_id="backup-customer-1")
    assert customer.customer.id

    async def writes() -> None:
        while not stopped.is_set():
            await order(crm)

    writers = [asyncio.create_task(writes()) for _ in range(8)]
    await asyncio.sleep(0.5)
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
    assert len(orders) > 8
    assert orders == facts == audited
    heard = {row["_id"].rpartition("|")[2] for row in content(folder, "customer.inbox") if row["_id"].startswith("customer-timeline-sales")}
    told = {row["record_id"] for row in content(folder, "customer.timeline_entries") if row["resource"] == "orders"}
    assert (heard & orders, told - facts) == (told, set())  # the other department is at the same moment, or before it: never behind it


def test_nothing_in_it_can_be_read(taken: tuple[Installation, Path]) -> None:
    files = sorted(taken[1].iterdir())
    assert len(files) > 20
    for path in files:
        data = path.read_bytes()
        assert [word for word in ("备份", "13612340000", "OrderCreated", "argon2") if word.encode() in data] == [], path


def damaged(folder: Path, tmp_path: Path, harm: Any) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        os.link(path, copy / path.name)
    harm(copy)
    return copy


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.unlink()
    path.write_bytes(data)


def swap(folder: Path) -> None:
    one, other = folder / "sales.orders.backup", folder / "sales.outbox.backup"
    kept = one.read_bytes()
    one.unlink()
    one.write_bytes(other.read_bytes())
    other.unlink()
    other.write_bytes(kept)


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: 4 + int.from_bytes(data[:4], "big") - 1])


HARMS = {
    "changed": (lambda folder: flip(folder / "sales.orders.backup", 40), r"sales\.orders\.backup was changed or is broken in piece 1"),
    "missing": (lambda folder: (folder / "customer.notes.backup").unlink(), r"customer\.notes\.backup is missing"),
    "swapped": (swap, r"sales\.\w+\.backup was changed or is broken"),
    "cut off": (lambda folder: cut(folder / "sales.outbox.backup"), r"sales\.outbox\.backup was"),
    "empty": (lambda folder: (folder / "sales.orders.backup").unlink() or (folder / "sales.orders.backup").touch(), r"cut off after piece 0"),
    "manifest": (lambda folder: flip(folder / "manifest.json", -20), r"manifest"),
    "unfinished": (lambda folder: (folder / "manifest.json").unlink(), r"has no finished backup"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMS)
def test_every_harm_is_named(taken: tuple[Installation, Path], tmp_path: Path, name: str) -> None:
    harm, words = HARMS[name]
    copy = damaged(taken[1], tmp_path, harm)
    with pytest.raises(EngineError, match=words):
        verify(copy, SECRET)


def test_a_whole_one_is_whole_and_another_key_opens_nothing(taken: tuple[Installation, Path]) -> None:
    assert set(verify(taken[1], SECRET)["departments"]) == {"organization", "customer", "sales", "marketing", "support"}
    with pytest.raises(EngineError, match="of another installation"):
        verify(taken[1], new_master())


async def test_a_folder_in_use_is_not_written_to(taken: tuple[Installation, Path]) -> None:
    crm, folder = taken
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(EngineError, match="is not empty"):
        await take(crm.plan, folder, SECRET)
    assert sorted(path.name for path in folder.iterdir()) == before


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


def elsewhere(crm: Installation, uri: str, url: str) -> Any:
    """Where the restored installation runs: other engines and ports, the same secrets and databases."""
    engines = Engines()
    engines.mongo_uri, engines.nats_url = uri, url
    return replace(engines.plan(), secrets=dict(crm.plan.secrets), database_prefix=crm.plan.database_prefix)
