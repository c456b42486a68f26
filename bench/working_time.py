"""What working time costs: to add and to count, in microseconds a question, and to compile eight years of a calendar, in milliseconds."""

from __future__ import annotations

import random
import timeit
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from chassis.kernel.worktime import Plan, compiled, spans_of

FIRST, LAST = date(2024, 1, 1), date(2031, 12, 31)
QUESTIONS, REPEATS = 2_000, 7
SHIFTS = spans_of([{"start": "08:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}, {"start": "22:00", "end": "06:00"}])


def working_time() -> list[str]:
    """Lines of a table: the best of seven rounds each, for the machine is noisy; three shifts a day with a lunch break and a night."""
    lines = ["| zone | add µs (goal 5) | worked µs | eight years compiled ms (goal 50) |", "|---|---|---|---|"]
    rng = random.Random(1)
    for zone in ("Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"):
        plan = Plan(zone, (*[SHIFTS] * 5, (), ()), {FIRST + timedelta(days=index): () for index in range(0, 2_800, 14)})
        known = compiled(plan, FIRST, LAST)
        begin = datetime(2025, 1, 1, tzinfo=UTC)
        asked = [(begin + timedelta(minutes=rng.randrange(10**6)), rng.randrange(10**6)) for _ in range(QUESTIONS)]
        added = _best(lambda: [known.add(moment, seconds) for moment, seconds in asked]) / QUESTIONS  # noqa: B023
        counted = _best(lambda: [known.worked(begin, moment) for moment, _ in asked]) / QUESTIONS  # noqa: B023
        made = _best(lambda: compiled(plan, FIRST, LAST))  # noqa: B023
        lines.append(f"| {zone} | {added * 1e6:.1f} | {counted * 1e6:.1f} | {made * 1e3:.1f} |")
    return lines


def _best(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=1, repeat=REPEATS))


if __name__ == "__main__":
    print("\n".join(working_time()))
