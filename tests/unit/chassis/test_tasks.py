"""Ending tasks: also those that take no notice at first, and also when whoever ends them is ended."""

from __future__ import annotations

import asyncio

import pytest

from chassis.kernel import tasks
from chassis.kernel.tasks import settle


class Deaf:
    """A task that swallows some cancellations before it ends, as libraries do that wait with `asyncio.wait_for`."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def run(self) -> None:
        """Until it has been told often enough."""
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.left -= 1
                if self.left <= 0:
                    raise


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.02)


async def begun(*works: Deaf) -> list[asyncio.Task[None]]:
    made = [asyncio.create_task(work.run()) for work in works]
    await asyncio.sleep(0)
    return made


async def test_who_takes_no_notice_is_told_again_until_it_ends() -> None:
    made = await begun(Deaf(1), Deaf(3), Deaf(5))
    async with asyncio.timeout(10):
        await settle(made)
    assert [task.cancelled() for task in made] == [True, True, True]


async def test_nothing_is_no_work_and_what_failed_fails_nobody_else() -> None:
    async def fails() -> None:
        raise ValueError

    failed = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await settle([])
    await settle([failed, *await begun(Deaf(1))])


async def test_who_is_ended_meanwhile_leaves_when_its_tasks_have_ended() -> None:
    made = await begun(Deaf(4))
    ending = asyncio.create_task(settle(made))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert made[0].cancelled()
