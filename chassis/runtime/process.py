"""A process that runs one service until it is told to stop: signals, event loop, exit codes. SIGTERM and SIGINT drain."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

import uvloop

from chassis.kernel.errors import CrmError
from chassis.observe import logs
from chassis.runtime.settings import Settings, SettingsError

STOP_SECONDS = 12


MIGRATE = "--migrate"


class Startable(Protocol):
    """What can be started and stopped."""

    async def start(self) -> None:
        """Up and serving, or an exception."""

    async def stop(self) -> None:
        """Drained and closed."""


def run(name: str, settings: type[Settings], build: Callable[[Any], Startable]) -> None:
    """The main function of a service process. Exits 0 after a signal, 2 for wrong settings, 1 when it cannot start. With `--migrate` it
    brings the service's database to what this build needs and ends."""
    die_with_parent()
    if unknown := [argument for argument in sys.argv[1:] if argument != MIGRATE]:
        print(
            f"{name}: {' '.join(unknown)} is not known; settings come from the environment, the only argument is {MIGRATE}", file=sys.stderr
        )
        raise SystemExit(2)
    try:
        values = settings.from_env()
    except SettingsError as error:
        for line in str(error).splitlines():
            print(f"{name}: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    logs.configure(name, values.log_level)
    try:
        uvloop.run(_migrate(build, values) if MIGRATE in sys.argv[1:] else _run(build, values))
    except (CrmError, OSError) as error:
        print(f"{name}: {getattr(error, 'message', error)}", file=sys.stderr)
        raise SystemExit(1) from None


def _settle_memory() -> None:
    """What was built at the start stays: the collector need not walk through it again and again while requests wait.

    Measured at the gateway: a full collection took 60-100 ms, which was the p99 of small operations.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _run(build: Callable[[Any], Startable], values: Settings) -> None:
    service = build(values)
    stopping = stop_event()
    await service.start()
    _settle_memory()
    await stopping.wait()
    stop = asyncio.ensure_future(service.stop())
    if not (await asyncio.wait([stop], timeout=STOP_SECONDS))[0]:
        os._exit(1)  # what it depends on is gone; nothing is lost, for nothing is acknowledged before it is committed
    stop.result()


async def _migrate(build: Callable[[Any], Any], values: Settings) -> None:
    await build(values).migrate()


def stop_event() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: int) -> None:
        if event.is_set():
            os._exit(128 + number)
        event.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told, number)
    return event


def die_with_parent() -> None:
    """On Linux, be terminated when the parent process ends, however it ends. Asked for by CRM_DIE_WITH_PARENT."""
    if os.environ.get("CRM_DIE_WITH_PARENT") and sys.platform == "linux":
        parent = os.getppid()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # the parent ended before the request was made
            os._exit(0)
