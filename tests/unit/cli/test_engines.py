"""A mongod that takes long to come up is waited for, with a word now and then; one that ends is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pymongo.errors import AutoReconnect

from cli import engines
from cli.engines import Child, EngineError, until_primary


@pytest_asyncio.fixture
async def child(tmp_path: Path) -> AsyncIterator[Child]:
    """A process that runs; whether it leads a set is what the test says."""
    started = await Child.start("mongod", ["sleep", "60"], tmp_path / "mongod.log")
    yield started
    await started.stop()


async def test_one_that_recovers_is_waited_for_and_spoken_of(
    child: Child, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines, "TELL_SECONDS", 0.2)
    asked: list[int] = []

    async def is_primary() -> bool:
        asked.append(1)
        if len(asked) < 4:
            raise AutoReconnect("not yet")
        return len(asked) > 12

    await until_primary(child, is_primary)
    said = capsys.readouterr().out.splitlines()
    assert len(asked) == 13
    assert 1 <= len(said) <= 6
    assert all("mongod is not ready after" in line and str(child.log) in line for line in said)


async def test_patience_has_an_end(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PRIMARY_SECONDS", 0.2)

    async def never() -> bool:
        return False

    with pytest.raises(EngineError, match="did not become primary within 0 s"):
        await until_primary(child, never)


async def test_one_that_ends_is_said_at_once(tmp_path: Path) -> None:
    ended = await Child.start("mongod", ["false"], tmp_path / "mongod.log")
    await ended.process.wait()

    async def never() -> bool:
        return False

    with pytest.raises(EngineError, match="mongod ended before it was ready"):
        await until_primary(ended, never)
