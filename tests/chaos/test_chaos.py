"""A short run of chaos with three seeds, and the proof that the checker would notice: broken on purpose, it is seen to be broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.leaders import WEIGHTS, leader_schedule
from tests.chaos.pulse import silence
from tests.chaos.run import run
from tests.chaos.schedule import Fault, schedule
from tests.support.samples import sample

SECONDS = 20.0
LINKS = ["gateway→sales", "customer→nats", "sales→mongod"]
# Kills of those who consume and of those who publish.
KILLS = [Fault(2.0 + 2.5 * number, "kill", (("customer", "sales")[number % 2],), 0.1) for number in range(5)]
# A pause is no test for a busy machine; `make chaos REPLICAS=3` has it.
LEADERS = [Fault(0.5, "kill primary", ("mongod",), 0.5), Fault(7.0, "kill stream leader", ("customer",), 0.5)]
# Ten seconds are for `make chaos` to judge, which has the machine for itself; here a busy machine must not decide.
PATIENCE = 40.0


def test_a_seed_gives_the_same_losses_of_leaders_of_every_kind() -> None:
    assert leader_schedule(7, 600) == leader_schedule(7, 600)
    assert {fault.kind for seed in range(3) for fault in leader_schedule(seed, 600)} == set(WEIGHTS)


def test_a_seed_gives_the_same_schedule_and_ten_minutes_of_it_three_hundred_faults() -> None:
    first = schedule(7, 600, LINKS)
    assert first == schedule(7, 600, list(reversed(LINKS)))
    assert first != schedule(8, 600, LINKS)
    assert min(len(schedule(seed, 600, LINKS)) for seed in range(1, 21)) >= 300
    assert {fault.kind for fault in first} >= {
        "kill",
        "kill mongod",
        "kill nats",
        "pause",
        "cut",
        "hold there",
        "slow",
        "wipe nats",
        "clock",
    }


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", sample([1, 2, 3], 1, "chaos"))
async def test_whatever_falls_down_nothing_is_lost_and_nothing_happens_twice(seed: int, tmp_path: Path) -> None:
    report = await run(tmp_path, seed, SECONDS, settle_seconds=PATIENCE)
    print(report)
    assert not report.violations, str(report)
    assert report.faults.total() >= 5
    assert report.outcomes["acknowledged"] >= 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("broken", "faults", "seen"), sample([
    ("acknowledge-before-effect", KILLS, "consumers heard 1…n"),
    ("no-version-check", [], "facts of a record are 1…n"),
    ("mark-before-publish", KILLS, "streams = outboxes"),
], 1, "broken"))  # fmt: skip
async def test_broken_machinery_is_seen_to_be_broken(broken: str, faults: list[Fault], seen: str, tmp_path: Path) -> None:
    """A fault must fall into the moment that is broken: on a busy machine the first seconds may miss it."""
    for seed in (1, 2, 3):
        report = await run(tmp_path / str(seed), seed, 15, broken=broken, faults=faults)
        if [one for one in report.violations if one.startswith(seen)]:
            return
    raise AssertionError(f"not seen to be broken\n{report}")


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_killed_leaders_lose_nothing_and_are_followed_by_others(tmp_path: Path) -> None:
    report = await run(tmp_path, 1, 17, replicas=3, faults=LEADERS, settle_seconds=PATIENCE, gap_seconds=PATIENCE)
    print(report)
    assert not report.violations, str(report)
    assert [(gap.taken.kind, gap.taken.name[:-2]) for gap in report.gaps] == [("kill primary", "mongod"), ("kill stream leader", "nats")]
    assert report.outcomes["acknowledged"] >= 20


def test_silence_is_the_longest_time_without_a_moment_and_begins_before_the_loss() -> None:
    assert silence([9.8, 13.0, 13.2, 14.0], 10.0, 14.5) == pytest.approx(3.2)
    assert silence([9.8, 10.0], 10.0, 14.5) == 4.5
    assert silence([], 10.0, 14.5) == 4.5
