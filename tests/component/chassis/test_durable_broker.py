"""A department does not start on a NATS server that acknowledges what a power cut would take; it says so in one line."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.messaging.broker import BrokerRefused, check_writes
from cli.engines import free_port, monitoring, start_nats
from cli.plan import Plan
from tests.support.installation import Engines, Installation

ROOT = Path(__file__).parents[3]


@pytest_asyncio.fixture(loop_scope="session")
async def lazy(engines: Engines, tmp_path: Path) -> AsyncIterator[Plan]:
    """Where NATS writes to disk every two minutes, as it does unless told otherwise."""
    port, monitor = free_port(), free_port()
    text = f'host: 127.0.0.1\nport: {port}\n{monitoring(monitor)}jetstream {{ store_dir: "{tmp_path / "nats"}", max_file_store: 1GB }}\n'
    child, url = await start_nats(tmp_path / "nats", port, tmp_path / "nats.log", text)
    plan = engines.plan(url)
    plan.nats_monitor = f"http://127.0.0.1:{monitor}"
    yield plan
    await child.stop()


async def refused(plan: Plan, **environment: str) -> tuple[int, str]:
    """How a sales department of its own process ends: exit code and everything that it said."""
    given = {**os.environ, **plan.environment("sales"), "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}", **environment}
    command = [sys.executable, "-m", "services.sales"]
    process = await asyncio.create_subprocess_exec(*command, env=given, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    try:
        _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode()


async def test_a_server_that_does_not_write_through_is_refused_in_one_line(lazy: Plan) -> None:
    where = lazy.nats_monitor.removeprefix("http://")
    words = f"NATS at {where} acknowledges facts that are not on its disk yet; set «sync_interval: always» in its jetstream block"
    assert await refused(lazy) == (1, f"sales: {words}\n")


async def test_in_production_nobody_starts_without_knowing(lazy: Plan) -> None:
    lazy.nats_monitor = ""
    code, said = await refused(lazy, CRM_ENVIRONMENT="production")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("sales: CRM_NATS_MONITOR_URL is not set: ")


async def test_without_nats_a_department_ends_within_seconds_instead_of_waiting(lazy: Plan) -> None:
    away = f"127.0.0.1:{free_port()}"
    code, said = await refused(lazy, CRM_NATS_URL=f"nats://{away}")
    assert code == 1
    assert said.splitlines()[-1].startswith(f"sales: NATS at {away} (CRM_NATS_URL) does not answer: ")
    assert said.endswith("; start it or correct the address\n")


async def test_a_monitoring_port_that_does_not_answer_is_refused(lazy: Plan) -> None:
    lazy.nats_monitor = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BrokerRefused, match=re.escape("(CRM_NATS_MONITOR_URL) does not answer: ")):
        await check_writes(lazy.nats_monitor)


async def test_a_server_that_writes_through_is_taken(engines: Engines, crm: Installation) -> None:
    assert crm.plan.nats_monitor == engines.nats_monitor
    await check_writes(engines.nats_monitor)
