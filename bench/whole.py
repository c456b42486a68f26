"""Table two: the whole system on MongoDB with access on, each gateway in turn before the same departments."""

from __future__ import annotations

from pathlib import Path

from bench.alone import ROUNDS, SECONDS, WARM
from bench.compare import Behind, Table, compare, show
from bench.gateways import APOLLO, HIVE, OURS, YOGA, Gateway, addresses, processor_seconds
from bench.suite import Bench


async def whole_system(bench: Bench, folder: Path, *, node: bool) -> tuple[Table, list[str]]:
    """The table and its text."""
    environment = addresses(bench.departments()) | {
        "CRM_NATS_URL": bench.nats_url(),
        "CRM_LOG_LEVEL": "WARNING",
        "CRM_MOST_COST_PER_MINUTE": "0",
        "CRM_READ_MILLISECONDS": "5000",
    }
    processes = bench.processes()
    behind = Behind(tuple(processes), lambda: [sum(map(processor_seconds, pids)) for pids in processes.values()])
    customer = await bench.busiest_customer(await bench.sign_in())
    gateways: list[Gateway] = []
    try:
        for name in [OURS, *([YOGA, APOLLO, HIVE] if node else [])]:
            gateways.append(await Gateway.start(name, environment, folder / f"{name} whole.log"))
        table = await compare(gateways, bench.callers, customer, behind, seconds=SECONDS, rounds=ROUNDS, warm=WARM)
        return table, show("Whole system: MongoDB, access on, 2,000 sample customers, 16 connections", table, gateways, behind)
    finally:
        for gateway in gateways:
            gateway.stop()
