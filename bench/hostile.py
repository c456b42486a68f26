"""A normal client alone, then beside a hostile one: `python -m bench.hostile`. The hostile one has a process of its own and asks again as
soon as it was answered: documents that the limits refuse, the most expensive one that they allow, wrong sign-ins."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import httpx

from bench.suite import Bench
from cli.words import say

# Both are one person, who may ask for so much a minute: longer, and the normal client is refused too.
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
A_SECOND = 5
NORMAL = """query($id: ID!) { customer(id: $id) { name owner { name } contacts(first: 5) { nodes { id name } }
    opportunities(first: 5) { nodes { id name stageKey } } tickets(first: 5) { nodes { id subject } } } }"""
_SIGN_IN = "mutation($i: SessionCreateInput!) { sessionCreate(input: $i) { errors { code } } }"
HOSTILE: dict[str, tuple[str, dict[str, object]]] = {
    "ten thousand levels": ("{a" * 10_000 + "}" * 10_000, {}),
    "a thousand aliases": ("{ " + " ".join(f"a{number}: __typename" for number in range(1000)) + " }", {}),
    "forty thousand directives": ("{ __typename " + "@x" * 40_000 + " }", {}),
    "fragments that double": (
        "{ viewer { ...F0 } } "
        + " ".join(f"fragment F{number} on Person {{ ...F{number + 1} ...F{number + 1} }}" for number in range(30))
        + " fragment F30 on Person { id }",
        {},
    ),
    "a hundred of a hundred of a hundred": (
        "{ customers(first: 100) { nodes { contacts(first: 100) { nodes { customer { orders(first: 100) { nodes { id } } } } } } } }",
        {},
    ),
    "as much as is allowed": ("{ customers(first: 100) { nodes { id name contacts(first: 20) { nodes { id name } } orders(first: 20) { nodes { id } } } } }", {}),
    "a wrong sign-in": (_SIGN_IN, {"i": {"email": "admin@example.com", "password": "wrong password"}}),
}  # fmt: skip


async def main() -> None:
    """Both, three times in turn; the median of the ratios counts on a noisy machine."""
    with tempfile.TemporaryDirectory() as text:
        bench = Bench(Path(text) / "data")
        del bench.environment["CRM_MOST_COST_PER_MINUTE"]
        await bench.start("--customers", "500")
        try:
            await _rounds(bench)
        finally:
            await bench.stop()


async def _rounds(bench: Bench) -> None:
    normal, hostile = await bench.sign_in(), await bench.sign_in()
    customer = await bench.busiest_customer(normal)
    await _measured(bench, normal, customer, 3)
    ratios = []
    for _ in range(3):
        alone = await _measured(bench, normal, customer, SECONDS)
        with subprocess.Popen([sys.executable, "-m", "bench.hostile", bench.url, hostile], stdout=subprocess.PIPE, text=True) as attacker:
            beside = await _measured(bench, normal, customer, SECONDS)
            attacker.terminate()
            sent = attacker.communicate()[0].strip()
        ratios.append(beside[1] / alone[1])
        say(f"alone p50 {alone[0]:.1f} p99 {alone[1]:.1f} ms; beside p50 {beside[0]:.1f} p99 {beside[1]:.1f} ms: {ratios[-1]:.2f} ({sent})")
    say(f"p99 beside a hostile client / alone: {sorted(ratios)[1]:.2f} (median of 3; wanted: at most 2)")


async def _measured(bench: Bench, token: str, customer: str, seconds: float) -> tuple[float, float]:
    """(p50, p99) in milliseconds of a client that asks at a steady pace, counted from when it should have asked. Raises SystemExit where it is refused."""
    times: list[float] = []
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:

        async def one(due: float) -> None:
            answer = (await http.post(bench.url, json={"query": NORMAL, "variables": {"id": customer}})).json()
            if "errors" in answer:
                raise SystemExit(f"bench: {answer['errors']}")
            times.append((time.perf_counter() - due) * 1000)

        begun, asked = time.perf_counter(), []
        for number in range(int(seconds * A_SECOND)):
            due = begun + number / A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(asyncio.create_task(one(due)))
        await asyncio.gather(*asked)
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]


def _attack(url: str, token: str) -> None:
    """The hostile client, until it is ended."""
    sent = 0
    try:
        with httpx.Client(timeout=30) as http:
            while True:
                for query, variables in HOSTILE.values():
                    headers = {} if query == _SIGN_IN else {"Authorization": f"Bearer {token}"}
                    http.post(url, json={"query": query, "variables": variables}, headers=headers)
                    sent += 1
    except KeyboardInterrupt:
        print(f"{sent} hostile requests", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import signal

        signal.signal(signal.SIGTERM, signal.default_int_handler)
        _attack(*sys.argv[1:])
    else:
        asyncio.run(main())
