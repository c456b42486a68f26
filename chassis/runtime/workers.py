"""Work beside the server that must go on: whatever ends it, it is begun again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from nats.errors import Error as NatsError
from pymongo.errors import ConnectionFailure, ExecutionTimeout

from chassis.kernel.errors import CrmError

log = logging.getLogger("crm.department")
Worker = Callable[[], Awaitable[None]]
AGAIN_SECONDS = 1.0
# Somebody else is away or stands still: nothing for whoever looks for a fault.
AWAY = (CrmError, OSError, NatsError, ConnectionFailure, ExecutionTimeout)


async def watched(run: Worker) -> None:
    """Run a worker until it ends by itself or is cancelled. One that fails is said, in a line where somebody else is away and with its
    traceback otherwise, and begun again after a second."""
    while True:
        try:
            await run()
            return
        except AWAY as error:
            log.warning("worker waits", extra={"worker": name_of(run), "reason": str(error)[:200] or type(error).__name__})
        except Exception as error:  # a background worker must not die for good
            log.error("worker failed", extra={"worker": name_of(run)}, exc_info=error)
        await asyncio.sleep(AGAIN_SECONDS)


def name_of(run: Worker) -> str:
    """What a worker is called in logs; one that runs under a lease by its own name."""
    while isinstance(run, partial) and run.args:
        run = run.args[0]
    return getattr(run, "__qualname__", str(run))
