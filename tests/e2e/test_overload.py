"""More than can be done: what is beyond is refused at once and can be repeated, nothing waits past its deadline, memory stays where it was."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from tests.support.installation import Engines, Installation

FLOOD, MOST = 300, 100
QUESTION = "{ customers(first: 5) { nodes { name } } }"


@pytest_asyncio.fixture(loop_scope="session")
async def alone(tmp_path: Path) -> AsyncIterator[tuple[Engines, Installation]]:
    """An installation with a database of its own, which may be made to stall."""
    engines = Engines()
    await engines.start(tmp_path)
    installation = Installation(engines)
    await installation.start()
    yield engines, installation
    await installation.stop()
    await engines.stop()


def resident() -> int:
    """Megabytes of this process, in which the gateway and all departments run."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20


async def test_while_the_database_stalls_the_flood_is_refused_and_afterwards_all_is_as_before(alone: tuple[Engines, Installation]) -> None:
    engines, crm = alone
    assert (await crm.data(QUESTION))["customers"] is not None
    limits = httpx.Limits(max_connections=FLOOD)
    async with httpx.AsyncClient(base_url=crm.http.base_url, timeout=60, limits=limits) as http:

        async def ask() -> tuple[int, str, str, float]:
            begin = time.perf_counter()
            answer = await http.post("/graphql", json={"query": QUESTION}, headers=crm.bearer("COORDINATOR"))
            error = (answer.json().get("errors") or [{}])[0].get("extensions", {})
            return answer.status_code, error.get("code", ""), answer.headers.get("retry-after", ""), time.perf_counter() - begin

        operations = crm.suite["gateway"].operations
        operations.admission.most = MOST
        before = resident()
        engines.mongo.process.send_signal(signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(ask() for _ in range(FLOOD)))
        finally:
            engines.mongo.process.send_signal(signal.SIGCONT)
        codes = Counter((status, code, retry) for status, code, retry, _ in answers)
        assert set(codes) <= {(503, "OVERLOADED", "1"), (200, "DEADLINE_EXCEEDED", ""), (200, "UNAVAILABLE", "")}, codes
        assert codes[503, "OVERLOADED", "1"] >= 50, codes
        assert resident() - before < 250
        slowest = max(seconds for *_, seconds in answers)
        print(
            f"{FLOOD} at once on a stalled database: {dict(codes)}, the slowest answer after {slowest:.2f} s, {resident() - before} MB more"
        )

        async def well() -> bool:
            return (await ask())[:2] == (200, "")

        await crm.until(well)
    assert operations.admission.running == 0


async def test_what_is_beyond_the_most_at_once_is_told_when_to_come_again(crm: Installation) -> None:
    gateway = crm.suite["gateway"].operations
    most, gateway.admission.most = gateway.admission.most, 0
    try:
        response = await crm.http.post("/graphql", json={"query": QUESTION}, headers=crm.bearer("COORDINATOR"))
    finally:
        gateway.admission.most = most
    error = response.json()["errors"][0]
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert (error["extensions"]["code"], error["extensions"]["retryable"]) == ("OVERLOADED", True)
    assert error["message"] == "0 operations are under way, which is all that is taken at once; ask again in 1 s"
