"""An installation whose access and audit can be taken away and given back while it runs, and what it costs by process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

from crm.organization.v1 import person_service_pb2

from bench.gateways import processor_seconds
from bench.load import CONNECTIONS
from bench.suite import ROOT, Bench
from cli.batches import Batches
from cli.sample.staff import Staff

_PEOPLE = person_service_pb2.DESCRIPTOR.services_by_name["PersonService"]
PASSWORD = "bench-only-Kettle-93-lantern"
SIGN_IN = "mutation($i: SessionCreateInput!) { sessionCreate(input: $i) { tokens { accessToken } } }"
PARTS = ("gateway", "departments", "mongod")


class Switched(Bench):
    """`xietong up` by way of the bench's switch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.command = [sys.executable, "-m", "bench.switched"]
        self.environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'gen'}"
        self.environment["CRM_READ_MILLISECONDS"] = "10000"
        self.staff = Staff(1)
        self._tokens: dict[str, tuple[float, list[str]]] = {}
        self._pids: dict[str, list[int]] = {}

    def parts(self) -> dict[str, list[int]]:
        """Process ids of the gateway, the departments, mongod."""
        if not self._pids:
            found: dict[str, list[int]] = {part: [] for part in PARTS}
            for pid, _, words in self._ours():
                part = re.search(r"-m bench.switched (gateway|services)\b|(\bmongod) --dbpath", words)
                if part:
                    found["departments" if part[1] == "services" else part[1] or part[2]].append(pid)
            self._pids = found
        return self._pids

    async def turn(self, number: signal.Signals) -> None:
        """Take away or give back, in every process of ours."""
        for part in ("gateway", "departments"):
            for pid in self.parts()[part]:
                os.kill(pid, number)
        await asyncio.sleep(0.05)

    def seconds(self) -> list[float]:
        """Processor seconds of each part until now."""
        return [sum(map(processor_seconds, pids)) for pids in self.parts().values()]

    async def let_in(self, *posts: tuple[str, int]) -> None:
        """Give people of the sample a password."""
        batches = Batches(self._plan())
        for post, number in posts:
            request = person_service_pb2.SetPasswordRequest(
                request_id=f"bench-{post}-{number}-{time.time_ns()}", person_id=self.staff.id("people", post, number), password=PASSWORD
            )
            await batches.call("organization", _PEOPLE, "SetPassword", request)
        await batches.close()

    async def tokens_of(self, email: str) -> list[str]:
        """A token for each connection, all of one person, from sessions of their own."""
        until, found = self._tokens.get(email, (0.0, []))
        if time.monotonic() > until:
            if email == "demo":
                found = [await self.sign_in() for _ in range(CONNECTIONS)]
            else:
                answers = [await self.ask(SIGN_IN, i={"email": email, "password": PASSWORD}) for _ in range(CONNECTIONS)]
                found = [str(answer["sessionCreate"]["tokens"]["accessToken"]) for answer in answers]  # type: ignore[index]
            self._tokens[email] = (time.monotonic() + 200, found)
        return found


def spread(ratios: Sequence[float]) -> str:
    """Median and quartiles of ratios."""
    low, _, high = quantiles(ratios, n=4)
    return f"{median(ratios):.2f} ({low:.2f}–{high:.2f})"


def ratios(on: Sequence[Mapping[str, float]], off: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """On against off, round by round."""
    return [one[name] / other[name] for one, other in zip(on, off, strict=True)]
