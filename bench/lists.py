"""What a count costs beside its list: `python -m bench.lists FOLDER`. The same page with and without its count, in turn; medians of one run.

BENCH_CUSTOMERS sets how many customers there are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from statistics import median

import httpx

from bench.figure import Figure, table
from bench.suite import Bench
from cli.words import say

CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "12000"))
ROUNDS, MOST_RATIO = 150, 1.4
_ROWS = "nodes { id name level region createTime owner { name } }"
_BELOW = "customers(first: 20) { nodes { name tickets(first: 5) { nodes { subject } %s } } }"
PAIRS = {
    "20 of all customers": (f"{{ customers(first: 20) {{ {_ROWS} }} }}", f"{{ customers(first: 20) {{ {_ROWS} totalCount {{ count exact }} }} }}"),
    "20 of all customers, counted to 10,000": (
        f"{{ customers(first: 20) {{ {_ROWS} }} }}", f"{{ customers(first: 20) {{ {_ROWS} totalCount(most: 10000) {{ count exact }} }} }}",
    ),
    "20 customers whose name holds 公司": (
        f'{{ customers(first: 20, filter: {{name: {{contains: "公司"}}}}) {{ {_ROWS} }} }}',
        f'{{ customers(first: 20, filter: {{name: {{contains: "公司"}}}}) {{ {_ROWS} totalCount {{ count exact }} }} }}',
    ),
    "tickets of 20 customers": (f"{{ {_BELOW % ''} }}", f"{{ {_BELOW % 'totalCount { count }'} }}"),
}  # fmt: skip


async def measured(url: str, token: str, queries: tuple[str, ...]) -> list[float]:
    """The median of each query in milliseconds, asked in turn."""
    times: list[list[float]] = [[] for _ in queries]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        for number in range(ROUNDS + 10):
            for query, kept in zip(queries, times, strict=True):
                begun = time.perf_counter()
                answer = (await http.post(url, json={"query": query})).json()
                if "errors" in answer:
                    raise SystemExit(f"bench: {answer['errors']}")
                if number >= 10:
                    kept.append((time.perf_counter() - begun) * 1000)
    return [median(kept) for kept in times]


async def main(folder: Path) -> None:
    """The table."""
    bench = Bench(folder / "data")
    bench.environment["CRM_READ_MILLISECONDS"] = "5000"  # a ratio is measured, beside whatever else the machine does
    await bench.start("--customers", str(CUSTOMERS))
    figures = []
    try:
        for words, queries in PAIRS.items():
            alone, counted = await measured(bench.url, await bench.sign_in(), queries)
            ratio = counted / alone
            told = f"{alone:.1f} ms alone, {counted:.1f} ms with its count: {ratio:.2f} ×"
            figures.append(Figure(words, told, f"≤ {MOST_RATIO} ×", ratio <= MOST_RATIO))
    finally:
        await bench.stop()
    say("\n".join(table(figures)))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(place))
