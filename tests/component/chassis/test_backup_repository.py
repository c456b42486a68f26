"""A repository of backups stores each chunk once; whatever is written, removed, killed or broken, each kept backup is exactly its moment."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bson
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from cli.backup import schedule as scheduling
from cli.backup.repository import Repository, chunks_of
from cli.backup.restore import restore, show, verify
from cli.backup.retention import Policy, prune
from cli.backup.schedule import due, schedule
from cli.backup.take import take
from cli.doctor.machine import LAST_BACKUP, backup
from cli.engines import Child, EngineError, free_port, mongod_command
from cli.installation import ROOT
from cli.installation import Installation as OnThisMachine
from cli.plan import Plan, new_master
from tests.support.installation import Engines

SECRET = new_master()
Documents = dict[int, dict[str, Any]]


class Data:
    """Documents of two departments, in a database of their own, and what they were at each backup."""

    def __init__(self, plan: Plan, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self.plan, self.client = plan, client
        self.now: dict[str, Documents] = {"customer": {}, "sales": {}}
        self.then: dict[str, dict[str, Documents]] = {}

    def table(self, department: str) -> Any:
        return self.client[f"{self.plan.database_prefix}_{department}"]["things"]

    async def put(self, department: str, first: int, count: int, value: int) -> None:
        rows = {number: {"_id": number, "value": value, "text": f"{value}-{number}" * 20} for number in range(first, first + count)}
        await self.table(department).delete_many({"_id": {"$in": list(rows)}})
        await self.table(department).insert_many(list(rows.values()))
        self.now[department] |= rows

    async def drop(self, department: str, first: int, count: int) -> None:
        await self.table(department).delete_many({"_id": {"$gte": first, "$lt": first + count}})
        self.now[department] = {number: row for number, row in self.now[department].items() if not first <= number < first + count}

    async def take(self, folder: Path) -> dict[str, Any]:
        manifest = await take(self.plan, folder, SECRET)
        self.then[manifest["name"]] = {department: dict(rows) for department, rows in self.now.items()}
        return manifest

    def check(self, folder: Path) -> list[str]:
        """Every backup that is there is exactly its moment; their names."""
        repository = Repository(folder, SECRET)
        for name in repository.names():
            manifest = verify(folder, SECRET, name)
            for department, rows in self.then[name].items():
                there = "things" in manifest["departments"][department]
                found = [bson.decode(row) for row in repository.documents(manifest, department, "things")] if there else []
                assert found == [row for _, row in sorted(rows.items())]
        return repository.names()


async def empty(client: AsyncMongoClient[dict[str, Any]], prefix: str) -> None:
    for name in await client.list_database_names():
        if name.startswith(f"{prefix}_"):
            await client.drop_database(name)


@pytest_asyncio.fixture(loop_scope="session")
async def data(engines: Engines) -> AsyncIterator[Data]:
    async with AsyncMongoClient[dict[str, Any]](engines.mongo_uri) as client:
        found = Data(engines.plan(), client)
        yield found
        await empty(client, found.plan.database_prefix)


async def test_what_did_not_change_is_not_stored_again(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await data.put("sales", 0, 5000, 1)
    first = await data.take(tmp_path)
    assert 100 < first["added"]["chunks"] == len(chunks_of(first)) < 220
    assert (await data.take(tmp_path))["added"] == {"chunks": 0, "bytes": 0}
    for number in range(0, 5000, 500):
        await data.put("sales", number, 1, 2)
    await data.put("sales", 5000, 60, 1)
    third = await data.take(tmp_path)
    assert 11 <= third["added"]["chunks"] <= 24  # a changed document is in one chunk, or ended one
    await data.drop("sales", 100, 1)
    assert (await data.take(tmp_path))["added"]["chunks"] <= 2
    assert len(data.check(tmp_path)) == 4
    capsys.readouterr()
    show(tmp_path, SECRET)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["documents", "5,000", "5,000", "5,060", "5,059"]


places = st.sampled_from(("customer", "sales"))
numbers = st.integers(0, 400)
counts = st.integers(1, 300)
few = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), places, numbers, counts, st.integers(0, 3)),
        st.tuples(st.just("drop"), places, numbers, counts),
        st.just(("take",)),
        st.just(("take",)),
        st.tuples(st.just("prune"), st.builds(Policy, last=few, daily=few, monthly=few).filter(lambda policy: policy != Policy())),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=12, deadline=None)
@given(steps=steps)
async def test_every_kept_backup_is_its_moment_after_any_writes_deletions_backups_and_prunes(engines: Engines, steps: list[Any]) -> None:
    async with AsyncMongoClient[dict[str, Any]](engines.mongo_uri) as client:
        data = Data(engines.plan(), client)
        with TemporaryDirectory() as text:
            folder = Path(text) / "repository"
            await data.take(folder)
            for step in steps:
                if step[0] == "prune":
                    before = Repository(folder, SECRET).names()
                    prune(folder, SECRET, step[1])
                    assert Repository(folder, SECRET).names() == sorted(step[1].kept(before))
                else:
                    await getattr(data, step[0])(*(step[1:] if step[0] != "take" else (folder,)))
            names, repository = data.check(folder), Repository(folder, SECRET)
            prune(folder, SECRET, Policy(last=100))
            assert repository.present().keys() == set().union(*(chunks_of(repository.manifest(name)) for name in names))
            there = replace(data.plan, database_prefix=f"t{secrets.token_hex(4)}")
            await restore(there, folder, SECRET, names[0])
            for department, rows in data.then[names[0]].items():
                found = await client[f"{there.database_prefix}_{department}"]["things"].find().sort("_id").to_list()
                assert found == [row for _, row in sorted(rows.items())]
        await empty(client, there.database_prefix)
        await empty(client, data.plan.database_prefix)


async def three(data: Data, folder: Path) -> list[str]:
    """A repository with three backups that share chunks and have some of their own."""
    for value in range(3):
        await data.put("sales", 150 * value, 300, value)
        await data.take(folder)
    return Repository(folder, SECRET).names()


async def test_a_prune_that_is_killed_at_any_step_harms_nothing(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = await three(data, tmp_path / "repository")
    unlink, left, killed = Path.unlink, 0, 0

    def until_killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        unlink(path, missing_ok)

    for number in range(100):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "repository", folder, copy_function=os.link)
        left = number
        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(Path, "unlink", until_killed)
            prune(folder, SECRET, Policy(last=1))
            break
        killed += 1
        assert data.check(folder) == names[min(number, 2) :]
        prune(folder, SECRET, Policy(last=1))
        repository = Repository(folder, SECRET)
        assert repository.present().keys() == chunks_of(repository.manifest(names[2]))
    assert 6 <= killed < 100


async def test_a_backup_that_is_killed_leaves_the_earlier_ones_and_the_next_is_whole(data: Data, tmp_path: Path) -> None:
    here = OnThisMachine.open(tmp_path / "installation")
    data.plan = replace(here.plan(mongo_uri=data.plan.mongo_uri), tls=None)  # the databases that the command line uses
    folder, secret = tmp_path / "repository", here.kept["backup"]
    await data.put("sales", 0, 300, 1)
    first = await take(data.plan, folder, secret)
    await data.put("sales", 300, 30_000, 2)
    environment = os.environ | {
        "CRM_DATA_DIR": str(here.folder), "CRM_MONGO_URI": data.plan.mongo_uri, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "backup", "take", str(folder), env=environment, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    repository = Repository(folder, secret)
    while len(repository.present()) < first["added"]["chunks"] + 20:
        assert process.returncode is None
        await asyncio.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    assert repository.names() == [first["name"]]
    assert verify(folder, secret) == first
    second = await take(data.plan, folder, secret)
    assert verify(folder, secret)["departments"]["sales"]["things"]["count"] == 30_300
    prune(folder, secret, Policy(last=2))
    assert repository.present().keys() == chunks_of(first) | chunks_of(second)


async def test_a_full_disk_harms_no_earlier_backup(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = await three(data, tmp_path)
    store, left = Repository.store, 3

    def until_full(repository: Repository, chunk: str, content: bytes) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(repository.path(chunk)))
        return store(repository, chunk, content)

    await data.put("customer", 0, 2000, 7)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left on device"):
        patched.setattr(Repository, "store", until_full)
        await data.take(tmp_path)
    assert data.check(tmp_path) == names
    left_over = len(Repository(tmp_path, SECRET).present())
    assert prune(tmp_path, SECRET, Policy(last=3)) == []
    assert len(Repository(tmp_path, SECRET).present()) == left_over - 3
    assert len(data.check(tmp_path)) == 3


async def test_half_a_chunk_that_a_power_cut_left_is_written_again(data: Data, tmp_path: Path) -> None:
    await data.put("sales", 0, 300, 1)
    whole = Repository(tmp_path / "whole", SECRET)
    await data.take(whole.folder)
    torn = Repository(tmp_path / "torn", SECRET)
    with torn.writing():
        for chunk in whole.present():
            torn.path(chunk).parent.mkdir(exist_ok=True)
            torn.path(chunk).touch()
    await data.take(torn.folder)
    assert len(data.check(torn.folder)) == 1


async def test_two_at_once_are_refused_and_nothing_is_removed_under_a_reader(data: Data, tmp_path: Path) -> None:
    names = await three(data, tmp_path)
    repository = Repository(tmp_path, SECRET)
    files = set(tmp_path.rglob("*"))
    with repository.writing():
        words = rf"another backup or prune is writing to .* \(process {os.getpid()} on .*, since .* UTC\); wait until it has ended"
        with pytest.raises(EngineError, match=words):
            await data.take(tmp_path)
        with pytest.raises(EngineError, match=words):
            prune(tmp_path, SECRET, Policy(last=1))
        assert verify(tmp_path, SECRET)["name"] == names[2]
        with repository.removing(), pytest.raises(EngineError, match="old backups are being removed from"):
            verify(tmp_path, SECRET)
    with repository.reading(), repository.reading():
        with pytest.raises(EngineError, match=r"is reading .*; nothing was removed"):
            prune(tmp_path, SECRET, Policy(last=1))
        assert set(tmp_path.rglob("*")) == files
        await data.take(tmp_path)
    assert prune(tmp_path, SECRET, Policy(last=1)) == names


async def test_a_backup_with_a_gap_counts_for_nothing_and_one_that_nobody_can_open_stops_the_removal(data: Data, tmp_path: Path) -> None:
    names = await three(data, tmp_path)
    repository = Repository(tmp_path, SECRET)
    own = chunks_of(repository.manifest(names[2])) - chunks_of(repository.manifest(names[1]))
    repository.path(own.pop()).unlink()
    assert prune(tmp_path, SECRET, Policy(last=1)) == names[:1]
    assert repository.names() == names[1:]
    assert verify(tmp_path, SECRET, names[1])["name"] == names[1]
    fourth = await data.take(tmp_path)  # stores again what is missing
    assert data.check(tmp_path) == [*names[1:], fourth["name"]]
    (repository.manifests / f"{names[1]}.json").write_text("{}")
    present = repository.present()
    with pytest.raises(EngineError, match=rf"{names[1]}\.json is no manifest of a backup; put it back from a copy, or remove it"):
        prune(tmp_path, SECRET, Policy(last=1))
    assert repository.present() == present
    await data.take(tmp_path)


async def test_a_clock_that_went_back_is_told(data: Data, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "29990101T000000.000Z.json").touch()
    with pytest.raises(EngineError, match=r"but the newest backup is of 29990101T000000\.000Z; set the clock of this machine"):
        await data.take(tmp_path)


async def test_a_schedule_tells_of_a_failure_goes_on_and_keeps_to_the_interval(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRM_MONGO_URI", data.plan.mongo_uri)
    monkeypatch.setattr(scheduling, "RETRY", timedelta(milliseconds=50))
    here, folder = OnThisMachine.open(tmp_path / "installation"), tmp_path / "repository"
    repository, day = Repository(folder, here.kept["backup"]), timedelta(days=1)

    async def until(condition: Any) -> None:
        while not condition():
            await asyncio.sleep(0.01)

    with repository.writing():
        task = asyncio.create_task(schedule(here, folder, day, Policy(last=2)))
        await asyncio.wait_for(until((here.folder / LAST_BACKUP).exists), 10)
        found = backup(here.folder, datetime.now(UTC))
        assert found.text.startswith("the last try failed: another backup or prune is writing to")
        assert found.wrong
    await asyncio.wait_for(until(lambda: "failed" not in json.loads((here.folder / LAST_BACKUP).read_text())), 20)
    out = capsys.readouterr().out
    assert "backup failed: another backup or prune is writing to" in out
    await asyncio.sleep(0.3)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert len(repository.names()) == 1
    assert backup(here.folder, datetime.now(UTC)).text == "the last one is 0 days and 0 hours old"
    assert timedelta(hours=23, minutes=58) < due(folder, here.kept["backup"], day) < day
    assert due(folder, here.kept["backup"], timedelta(microseconds=1)) == timedelta()


async def test_a_database_that_has_just_started_is_no_reason_for_a_traceback(engines: Engines, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "mongo").mkdir()
    child = await Child.start("mongod", mongod_command(tmp_path / "mongo", port), tmp_path / "mongo.log")
    plan = engines.plan()
    plan.mongo_uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"  # a member without a set: it answers, and knows no time
    try:
        with pytest.raises(EngineError, match="has just started"):
            await take(plan, tmp_path / "backups", "secret")
    finally:
        await child.stop()
    assert not list((tmp_path / "backups" / "manifests").iterdir())
