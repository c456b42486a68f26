"""`xietong doctor`: looks at every part of a running installation, and says how to mend what is wrong."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from cli.doctor import broker, database, machine, services, work
from cli.doctor.finding import Finding
from cli.installation import Installation
from cli.nats_accounts import departments_of
from cli.plan import Plan
from cli.words import say


async def doctor(installation: Installation) -> None:
    """One line for each thing that was looked at; exits 1 when one is wrong."""
    found = await examine(installation.plan(), installation.folder)
    for finding in found:
        say(finding.line)
    bad = sum(finding.wrong for finding in found)
    say(f"  {bad} of {len(found)} are wrong" if bad else f"  all {len(found)} are well")
    if bad:
        sys.exit(1)


async def examine(plan: Plan, folder: Path) -> list[Finding]:
    """Everything that there is to say of a plan's services and engines, and of the folder in which they keep their files."""
    departments = departments_of(plan)
    try:
        parts = await asyncio.gather(
            services.look(plan), database.look(plan, departments), work.look(departments), broker.look(plan, departments, folder),
            machine.look(plan, folder),
        )  # fmt: skip
    finally:
        for department in departments:
            await department.database.client.close()
            for close in department.closing:
                await close()
    return [finding for part in parts for finding in part]
