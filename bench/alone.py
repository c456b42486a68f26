"""Table one: the gateways alone, before departments that answer from memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.canned import customer_id
from bench.compare import Behind, Table, compare, show
from bench.gateways import APOLLO, CACHED, HIVE, OURS, PLAIN, ROOT, YOGA, Gateway, addresses, compose_hive, processor_seconds
from bench.load import CONNECTIONS
from cli.engines import free_port, start_nats
from gateway.departments.clients import DEPARTMENTS
from gateway.graph.contract import to_global

SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
WARM = 10.0


async def gateways_alone(folder: Path, *, node: bool) -> tuple[Table, list[str]]:
    """The table and its text."""
    port = free_port()
    canned = subprocess.Popen([sys.executable, "-m", "bench.canned", str(port)], cwd=ROOT, stdout=subprocess.PIPE)
    nats, url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
    gateways: list[Gateway] = []
    try:
        assert canned.stdout is not None
        canned.stdout.readline()
        environment = addresses(dict.fromkeys(DEPARTMENTS, f"127.0.0.1:{port}")) | {
            "CRM_NATS_URL": url, "CRM_LOG_LEVEL": "WARNING", "CRM_MOST_COST_PER_MINUTE": "0", "CRM_READ_MILLISECONDS": "5000",
        }  # fmt: skip
        names = [OURS, PLAIN, CACHED]
        if node:
            compose_hive(environment)
            names += [YOGA, APOLLO, HIVE]
        for name in names:
            gateways.append(await Gateway.start(name, environment, folder / f"{name}.log"))
        behind = Behind(("departments",), lambda: (processor_seconds(canned.pid),))
        table = await compare(gateways, _nobodies, to_global("Customer", customer_id(3)), behind, seconds=SECONDS, rounds=ROUNDS, warm=WARM)
        return table, ["## Gateways", "", *show("Alone: the same canned departments, 16 connections", table, gateways, behind)]
    finally:
        for gateway in gateways:
            gateway.stop()
        canned.terminate()
        canned.wait(10)
        await nats.stop()


async def _nobodies() -> list[str]:
    return [f"caller-{number}" for number in range(CONNECTIONS)]
