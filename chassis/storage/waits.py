"""Mends how the driver waits. Nothing else of the driver is touched, and this goes when its own wait stands being cancelled twice.

pymongo 4.20 waits for a server or a connection with `asyncio.wait_for(condition.wait())`, which on Python 3.11 runs in a task of its own. A
caller that is cancelled a second time while that task takes the lock back goes away without it: the lock of the topology is held for ever,
and with it every later operation of the process waits. A request whose deadline ends while its client goes does just that.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo.asynchronous import pool, topology


async def _wait(condition: Any, seconds: float | None) -> bool:
    """As the driver's, without a task in between: the lock is held again whenever this ends, however often it is cancelled."""
    try:
        async with asyncio.timeout(seconds):
            return bool(await condition.wait())
    except TimeoutError:
        return False


def mend() -> None:
    """Put our wait in the place of the driver's. Raises RuntimeError when the driver has none there any more."""
    for module in (pool, topology):
        if not hasattr(module, "_async_cond_wait"):
            raise RuntimeError(f"{module.__name__} waits in another way now; see whether chassis/storage/waits.py is needed still")
        vars(module)["_async_cond_wait"] = _wait
