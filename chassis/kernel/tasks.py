"""The end of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 3.0


async def settle(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait for their end, also while being cancelled. One that takes no notice is cancelled again: libraries wait with
    `asyncio.wait_for`, which on Python 3.11 swallows a cancellation that comes together with what it waited for."""
    left, cancelled = set(tasks), None
    while left:
        for task in left:
            task.cancel()
        try:
            ended, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
            continue
        for task in ended:
            _ = task.cancelled() or task.exception()  # what it raised is nobody's business any more
    if cancelled:
        raise cancelled
