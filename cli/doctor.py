"""`xietong doctor`: asks every part of a running installation how it is."""

from __future__ import annotations

import sys

import httpx

from cli.installation import Installation
from cli.plan import DEPARTMENTS, HOST
from cli.words import say


async def doctor(installation: Installation) -> None:
    """One line a service; exits 1 when one is not ready."""
    plan, bad = installation.plan(), 0
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        for name in (*DEPARTMENTS, "gateway"):
            try:
                answer = (await http.get(f"http://{HOST}:{plan.ops[name]}/readyz")).json()
                missing = [part for part, fine in answer.items() if fine is False]
                text = "ready" if not missing else f"not ready: {', '.join(missing)}"
            except (httpx.HTTPError, ValueError):
                missing, text = ["process"], "does not answer; start it with «make run» and look into its log"
            bad += bool(missing)
            say(f"  {name:13} {text}")
    if bad:
        sys.exit(1)
