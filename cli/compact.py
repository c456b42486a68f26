"""All departments and the gateway in one process: for a very small machine, and for tests. Same code, same data, same API."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from typing import Any

from chassis.runtime.department import Department
from cli.plan import DEPARTMENTS, Plan


class Suite:
    """The services of a plan in this event loop; each can be stopped and started alone."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.running: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Department:
        """A running department."""
        found: Department = self.running[name]
        return found

    async def start(self, names: Iterable[str] = (*DEPARTMENTS, "gateway")) -> None:
        """Start services in this order."""
        for name in names:
            package = "gateway" if name == "gateway" else f"services.{name}"
            settings = importlib.import_module(f"{package}.settings").Settings.from_env(self.plan.environment(name))
            service = importlib.import_module(f"{package}.bootstrap").build(settings)
            await service.start()
            self.running[name] = service

    async def stop(self, *names: str) -> None:
        """Stop services; when none is named all of them: the gateway, then the departments at once, for each waits until its clients
        have noticed. Raises what the first of them raises, when all have ended."""
        for name in names or [name for name in self.running if name == "gateway"]:
            await self.running.pop(name).stop()
        if not names:
            departments = [self.running.pop(name).stop() for name in reversed(tuple(self.running))]
            for result in await asyncio.gather(*departments, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
