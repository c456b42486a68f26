"""The executor alone: plans against graphql-core on the same schema, departments that answer from memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from graphql import execute, parse

from bench.canned import Canned
from bench.load import QUERIES
from gateway.bootstrap import shared_schema
from gateway.context import Context
from gateway.engine import Engine
from gateway.graph.contract import to_global
from gateway.graph.readings import Readings


async def executor_alone(rounds: int = 5) -> dict[str, tuple[float, float]]:
    """Milliseconds of one execution, (graphql-core, plan), for each query: medians of interleaved rounds."""
    schema, canned, found = shared_schema()._schema, Canned(), {}
    for name, text in QUERIES.items():
        document: Any = parse(text)
        variables = {"id": to_global("Customer", canned.ids[0])} if "$id" in text else {}
        operation = Engine(schema, Readings(shared_schema())).prepare(document, document.definitions[0])

        async def core(document: Any = document, variables: Any = variables) -> Any:
            return await execute(schema, document, None, Context(canned, None, request_id="bench"), variables)  # type: ignore[arg-type, misc]

        async def plan(operation: Any = operation, variables: Any = variables) -> Any:
            return await operation.execute(Context(canned, None, request_id="bench"), variables)  # type: ignore[arg-type]

        assert (await core()).data == (await plan()).data
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for side, run in enumerate((core, plan)):
                times[side].append(await _milliseconds(run, 400 if name == "Q3" else 20))
        found[name] = (median(times[0]), median(times[1]))
    return found


async def _milliseconds(run: Callable[[], Awaitable[Any]], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        await run()
    return (time.process_time() - begun) * 1000 / times


if __name__ == "__main__":
    for query, (core, plan) in asyncio.run(executor_alone()).items():
        print(f"{query}: graphql-core {core:.3f} ms, plan {plan:.3f} ms, ratio {core / plan:.1f}")
