"""Calls of one caller are merged, those of two never; nobody joins a call that has left; a cancelled sender takes nobody along."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.departments.merging import WAIT_SECONDS, Merging


class Department:
    """Remembers what it was asked; answers after a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked: list[list[str]] = []

    async def load(self, keys: list[str]) -> list[Any]:
        self.asked.append(keys)
        await asyncio.sleep(self.seconds)
        return [f"{key}!" for key in keys]


async def test_one_caller_at_the_same_time_is_one_call() -> None:
    merging, department = Merging(), Department()
    found = await asyncio.gather(*[merging.many(("token", "q"), [f"k{n}", "shared"], department.load) for n in range(5)])
    assert found == [[f"k{n}!", "shared!"] for n in range(5)]
    assert department.asked == [["k0", "shared", "k1", "k2", "k3", "k4"]]


async def test_two_callers_are_never_one_call() -> None:
    merging, mine, yours = Merging(), Department(), Department()
    await asyncio.gather(merging.many(("mine", "q"), ["a"], mine.load), merging.many(("yours", "q"), ["b"], yours.load))
    assert (mine.asked, yours.asked) == ([["a"]], [["b"]])


async def test_nobody_joins_a_call_that_has_left() -> None:
    merging, department = Merging(), Department(0.005)
    first = asyncio.create_task(merging.many("q", ["a"], department.load))
    while not department.asked:
        await asyncio.sleep(0)
    later = await asyncio.gather(merging.many("q", ["a"], department.load), merging.many("q", ["b"], department.load))
    assert (await first, later) == (["a!"], [["a!"], ["b!"]])
    assert department.asked == [["a"], ["a", "b"]]


async def test_a_call_that_hangs_holds_the_next_one_up_for_moments_only() -> None:
    merging, hanging, department = Merging(), Department(5), Department()
    stuck = asyncio.create_task(merging.many("q", ["a"], hanging.load))
    while not hanging.asked:
        await asyncio.sleep(0)
    assert await asyncio.wait_for(merging.many("q", ["b"], department.load), WAIT_SECONDS * 50) == ["b!"]
    stuck.cancel()


async def test_those_who_wait_for_a_cancelled_sender_ask_themselves() -> None:
    merging, department = Merging(), Department(0.05)
    sender = asyncio.create_task(merging.many("q", ["a"], department.load))
    waiting = [asyncio.create_task(merging.many("q", [key], department.load)) for key in ("b", "c")]
    await asyncio.sleep(0.01)
    sender.cancel()
    assert await asyncio.gather(*waiting) == [["b!"], ["c!"]]
    assert department.asked == [["a", "b", "c"], ["b", "c"]]


async def test_no_call_has_more_than_a_hundred_keys_and_nothing_is_kept() -> None:
    merging, department = Merging(), Department()
    await asyncio.gather(*[merging.many("q", [f"{n}-{i}" for i in range(90)], department.load) for n in range(3)])
    assert [len(keys) for keys in department.asked] == [100, 100, 70]
    assert (merging._making, merging._sent) == ({}, {})
