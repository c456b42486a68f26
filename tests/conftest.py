"""Fixtures: engines once a run; one installation for all tests that do not stop departments; a fresh one for those that do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.observe import logs
from cli.engines import free_port, start_nats
from tests.support.installation import Engines, Installation


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    """Real mongod and nats-server on free ports."""
    logs.configure("tests", "WARNING")
    found = Engines()
    await found.start(tmp_path_factory.mktemp("engines"))
    yield found
    await found.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crm(engines: Engines) -> AsyncIterator[Installation]:
    """One installation for all tests that leave it running."""
    installation = Installation(engines)
    await installation.start()
    # The deadline of 300 ms is for test_graph_outages to judge, in installations of its own. Here a busy machine must not decide.
    installation.suite["gateway"].clients.read_seconds = 3.0
    yield installation
    await installation.stop()


@contextlib.asynccontextmanager
async def _apart(engines: Engines, folder: Path) -> AsyncIterator[Installation]:
    nats, url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
    installation = Installation(engines, url)
    await installation.start()
    yield installation
    await installation.stop()
    await nats.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def own_crm(engines: Engines, tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation of the test's own, with its own broker: it may stop and break what it likes."""
    async with _apart(engines, tmp_path) as installation:
        yield installation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def file_crm(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """One for all tests of a file, with its own broker: what they break they mend."""
    async with _apart(engines, tmp_path_factory.mktemp("file")) as installation:
        yield installation


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def renewed(request: pytest.FixtureRequest) -> None:
    """Nobody's token ends in the middle of a test of the common installation."""
    if "crm" in request.fixturenames:
        await request.getfixturevalue("crm").renew()
