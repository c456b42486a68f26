"""`xietong up` as a new user meets it: one block, a login that works, Ctrl-C, a killed parent, and one clear line for what is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from cli.engines import is_free

ROOT = Path(__file__).resolve().parents[2]
OFFSETS = (0, 10, 17, 22, 23, 25, 31, 32, 33, 34, 35, 41, 42, 43, 44, 45, 46)


def free_base() -> int:
    """A base whose ports are all free."""
    for base in range(21000, 29000, 60):
        if all(is_free(base + offset) for offset in OFFSETS):
            return base
    raise AssertionError("no free range of ports")


class Up:
    """A running `xietong up`."""

    def __init__(self, folder: Path, *options: str, **extra: str) -> None:
        self.base = free_base()
        self.environment = {**os.environ, "CRM_DATA_DIR": str(folder), "CRM_PORT_BASE": str(self.base), **extra}
        self.log = folder.with_suffix(".log")
        with self.log.open("wb") as sink:
            command = [str(ROOT / "xietong"), "up", *options]
            self.process = subprocess.Popen(command, env=self.environment, stdout=sink, stderr=subprocess.STDOUT)

    @property
    def said(self) -> str:
        """Everything that it printed."""
        return self.log.read_text()

    async def ready(self) -> str:
        """Wait for the block; what was said until then."""
        for _ in range(900):
            if "Ctrl-C stops everything" in self.said:
                return self.said
            assert self.process.poll() is None, self.said
            await asyncio.sleep(0.1)
        raise AssertionError(self.said)

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.to_thread(self.process.wait, 40)

    async def free_again(self) -> bool:
        """Whether every port is given back within fifteen seconds: no child is left."""
        for _ in range(150):
            if all(is_free(self.base + offset) for offset in OFFSETS):
                return True
            await asyncio.sleep(0.1)
        return False


@pytest_asyncio.fixture(loop_scope="session")
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A data folder whose processes do not outlive the test."""
    yield tmp_path / "data"


async def sign_in(base: int, said: str) -> str:
    """The access token of the demo login."""
    email, password = re.findall(r"demo login +(\S+) +(\S+)", said)[0]
    query = "mutation($i: SessionCreateInput!) { sessionCreate(input: $i) { tokens { accessToken } errors { code } } }"
    async with httpx.AsyncClient(timeout=20) as http:
        body = {"query": query, "variables": {"i": {"email": email, "password": password}}}
        answer = (await http.post(f"http://127.0.0.1:{base}/graphql", json=body)).json()
    return str(answer["data"]["sessionCreate"]["tokens"]["accessToken"])


async def test_a_new_user_starts_it_queries_stops_it_and_starts_it_again(folder: Path) -> None:
    up = Up(folder, "--customers", "60")
    said = await up.ready()
    token = await sign_in(up.base, said)
    query = re.findall(r"```graphql\n(\{.*?\})\n```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    async with httpx.AsyncClient(timeout=20, headers={"Authorization": f"Bearer {token}"}) as http:
        answer = (await http.post(f"http://127.0.0.1:{up.base}/graphql", json={"query": query})).json()
        assert "errors" not in answer
        found = answer["data"]["search"]["hits"][0]["record"]
        assert "北京" in found["name"]
        assert found["owner"]["post"] == "销售代表"
        faq = await http.get(f"http://127.0.0.1:{up.base + 10}/faq?lang=zh")
        assert "如何重置密码" in faq.text
    up.process.send_signal(signal.SIGINT)
    assert await up.ended() == 0
    assert await up.free_again()
    again = Up(folder)
    said_again = await again.ready()
    assert "sample company" not in said_again
    assert re.findall(r"demo login.*", said_again) == re.findall(r"demo login.*", said)
    again.process.kill()  # the parent is gone in an instant; nothing may be left behind
    await again.ended()
    assert await again.free_again()


async def test_compact_serves_the_same_graph_from_one_process(folder: Path) -> None:
    up = Up(folder, "--compact", "--customers", "20")
    token = await sign_in(up.base, await up.ready())
    async with httpx.AsyncClient(timeout=20, headers={"Authorization": f"Bearer {token}"}) as http:
        body = {"query": "{ customers(first: 100) { nodes { name } } }"}
        answer = (await http.post(f"http://127.0.0.1:{up.base}/graphql", json=body)).json()
    assert len(answer["data"]["customers"]["nodes"]) == 20
    up.process.terminate()
    assert await up.ended() == 0
    assert await up.free_again()


async def refused(folder: Path, **extra: str) -> str:
    """The one line of an `up` that cannot start."""
    up = Up(folder, **extra)
    assert await up.ended() == 1
    assert "Traceback" not in up.said
    assert await up.free_again()
    return next(line for line in up.said.splitlines() if line.startswith("xietong:"))


async def test_broken_settings_are_told_in_one_line(folder: Path) -> None:
    folder.mkdir()
    (folder / "installation.json").write_text("{")
    assert "installation.json is broken" in await refused(folder)


async def test_broken_data_is_told_in_one_line(folder: Path) -> None:
    mongo = folder / "mongo"
    mongo.mkdir(parents=True)
    for name in ("WiredTiger", "WiredTiger.wt", "storage.bson"):
        (mongo / name).write_text("broken")
    assert "mongod ended before it was ready; its data may be broken" in await refused(folder)


async def test_an_unreachable_database_is_told_in_one_line(folder: Path) -> None:
    line = await refused(folder, CRM_MONGO_URI="mongodb://127.0.0.1:1/?replicaSet=none")
    assert line.startswith("xietong: MongoDB at 127.0.0.1 (CRM_MONGO_URI) does not answer")


async def test_a_port_in_use_is_told_in_one_line(folder: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environment = {**os.environ, "CRM_DATA_DIR": str(folder), "CRM_PORT_BASE": str(port)}
    result = await asyncio.to_thread(
        subprocess.run, [str(ROOT / "xietong"), "up"], env=environment, capture_output=True, text=True, timeout=30
    )
    server.close()
    assert result.returncode == 1
    assert result.stderr.startswith(f"xietong: port {port} (the graph)")
    assert json.loads((folder / "installation.json").read_text())["email"] == "demo@xietong.example"
