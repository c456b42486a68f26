"""What rights beside a list cost, and commands on many records: `python -m bench.rights`.

A hundred customers are asked for in turn without rights, with five of them and with all, over one connection. BENCH_ROUNDS may be set.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import orjson

from bench.figure import Figure, table
from bench.load import Connection, request_of
from bench.suite import Bench
from chassis.kernel.ids import new_id
from cli.words import say

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "200"))
LIST = "{ customers(first: 100) { nodes { id name level state: lifecycle @ } } }"
ASKED = {
    "none": "",
    "five": 'can(actions: ["update", "archive", "assign", "moveLifecycle", "erase"]) { action allowed code }',
    "all": "can { action allowed code message }",
    "fields": "fieldAccess { field access }",
}
GOAL_MS = 10.0


async def main() -> None:
    """Start a sample company and measure."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "data")
        await bench.start("--customers", "2000")
        try:
            say("\n".join(table(await _rights(bench))))
            say("\n".join(table([await _bulk(bench)])))
        finally:
            await bench.stop()


async def _rights(bench: Bench) -> list[Figure]:
    token = await bench.sign_in()
    requests = {name: request_of(bench.url, token, LIST.replace("@", asked), {}) for name, asked in ASKED.items()}
    connection = await Connection.open(bench.url)
    took: dict[str, list[float]] = {name: [] for name in requests}
    for number in range(ROUNDS + 20):
        for name, request in requests.items():
            began = time.perf_counter()
            answer = await connection.ask(request)
            if number == 0 and "errors" in orjson.loads(answer):
                raise SystemExit(f"bench: {answer[:500]!r}")
            if number >= 20:
                took[name].append((time.perf_counter() - began) * 1000)
    connection.close()
    plain, found = median(took["none"]), [Figure("a list of 100 customers", f"{median(took['none']):.1f} ms")]
    for name, words in (("five", "`can` of five commands"), ("all", "`can` of all, with sentences"), ("fields", "`fieldAccess`")):
        more = median(took[name]) - plain
        found.append(Figure(f"{words} on 100 records", f"{more:.1f} ms more", f"≤ {GOAL_MS:.0f} ms more", more <= GOAL_MS))
    return found


async def _bulk(bench: Bench) -> Figure:
    token = await bench.sign_in()
    ids: list[str] = []
    after = None
    for _ in range(5):
        page: dict[str, object] = await bench.ask(
            "query($a: String) { customers(first: 100, after: $a) { nodes { id } pageInfo { endCursor } } }", token, a=after
        )
        ids += [node["id"] for node in page["customers"]["nodes"]]  # type: ignore[index]
        after = page["customers"]["pageInfo"]["endCursor"]  # type: ignore[index]
    change = "mutation($i: CustomersBulkUpdateInput!) { customersBulkUpdate(input: $i) { outcomes { ok errors { message } } errors { message } } }"
    began = time.perf_counter()
    told = await bench.ask(change, token, i={"ids": ids, "industry": f"bench {new_id()}"})
    seconds = time.perf_counter() - began
    if told["customersBulkUpdate"]["errors"]:  # type: ignore[index]
        raise SystemExit(f"bench: after {seconds:.1f} s {told}")
    done = [one["ok"] for one in told["customersBulkUpdate"]["outcomes"]]  # type: ignore[index]
    return Figure(
        f"`customersBulkUpdate` on {len(ids)} records, {done.count(True)} done", f"{seconds:.2f} s, {len(ids) / seconds:.0f} a second"
    )


if __name__ == "__main__":
    asyncio.run(main())
