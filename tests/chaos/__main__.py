"""`make chaos SEED=… MINUTES=…`: runs of chaos, one report each, a summary at the end; exits 1 when an invariant was broken."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.process import BROKEN
from tests.chaos.pulse import gap_table
from tests.chaos.run import Report, run


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def summary(reports: list[Report]) -> str:
    """One line a seed, as a table."""
    lines = [
        "| seed | seconds | faults | acknowledged | refused | unknown | settled s | of it, all ready and nobody sending | violations |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in reports:
        outcomes = " | ".join(f"{one.outcomes[name]:,}" for name in ("acknowledged", "refused", "unknown"))
        lines.append(
            f"| {one.seed} | {one.seconds:.0f} | {one.faults.total()} | {outcomes} | {one.settled:.1f} | {one.rested:.1f} | {len(one.violations)} |"
        )
    return "\n".join(lines)


async def main() -> int:
    """Run the seeds one after the other."""
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--seed", default="1", help="one, or a range as 1-20")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--broken", choices=BROKEN, default="", help="break the machinery on purpose")
    parser.add_argument("--replicas", type=int, choices=(1, 3), default=1, help="three of each engine, whose leaders are taken away")
    parser.add_argument("--keep", type=Path, help="folder for ledgers, schedules and logs")
    asked = parser.parse_args()
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    reports = []
    for seed in _seeds(asked.seed):
        folder = (asked.keep or Path(tempfile.mkdtemp(prefix="chaos-"))) / f"seed-{seed}"
        report = await run(folder, seed, asked.minutes * 60, broken=asked.broken, replicas=asked.replicas)
        print(report, flush=True)
        reports.append(report)
        if report.violations:
            print(f"  schedule, ledgers and logs: {folder}", flush=True)
        elif not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(summary(reports))
    if gaps := [gap for report in reports for gap in report.gaps]:
        print(gap_table(gaps))
    return 1 if any(report.violations for report in reports) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
