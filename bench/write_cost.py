"""What a write of the product costs against a bare insert that is as safe, in the same mongod, in turn.

The product's: a deal goes to another stage, by RPC: state, version, outbox, answer under its request id, audit, one transaction; with what
follows from it (publishing, sealing). The bare one: the deal's document under a new id, majority and journal. Nobody else writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

from bson import ObjectId
from pymongo.write_concern import WriteConcern

from bench.figure import Figure
from bench.stand import Stand, stand
from bench.switches import ratios, spread

AT_ONCE = 16
SEAL_SECONDS = 2.0
WARM = 100
PARTS = ("sales", "mongod", "nats-server")
# A transaction with an outbox row against the insert, 798 to 1,696 a second: what the design measured, not a goal.
PROTOTYPE = "no goal (prototype: 2.1 ×)"
Write = Callable[[int], Awaitable[object]]


async def write_cost(folder: Path, rounds: int, writes: int) -> list[Figure]:
    """`writes` pairs one after the other, then `rounds` of as many of each kind at 16 connections."""
    async with stand(folder, ("customer", "sales")) as found:
        deals = await found.deals(500)
        await found.take("customer")  # nobody but the webhooks of organization listens
        bare, product = await _kinds(found, deals)
        await _pairs(bare, product, WARM)
        pairs = await _pairs(bare, product, writes)
        idle = await _idle(found)
        samples: dict[str, list[dict[str, float]]] = {"bare": [], "product": []}
        for number in range(rounds):
            order = (("bare", bare), ("product", product))
            for name, write in order if number % 2 else reversed(order):
                samples[name].append(await _sample(found, write, writes, idle))
    return [_alone(pairs), *_together(samples)]


async def _kinds(found: Stand, deals: list[str]) -> tuple[Write, Write]:
    """How to write the bare way and the product's way, by number."""
    document = await found.database("sales")["opportunities"].find_one({"_id": deals[0]})
    plain = found.client["bare"].get_collection("deals", write_concern=WriteConcern("majority", j=True))

    async def bare(_: int) -> None:
        await plain.insert_one({**document, "_id": ObjectId()})

    async def product(number: int) -> None:
        await found.move(deals[number % len(deals)])

    return bare, product


async def _pairs(bare: Write, product: Write, count: int) -> list[tuple[float, float]]:
    """Milliseconds of one of each, one after the other."""
    found = []
    for number in range(count):
        times: dict[Write, float] = {}
        for write in (bare, product) if number % 2 else (product, bare):
            begun = time.perf_counter()
            await write(number)
            times[write] = (time.perf_counter() - begun) * 1000
        found.append((times[bare], times[product]))
    return found


async def _idle(found: Stand) -> dict[str, float]:
    """Processor seconds a second while nothing is written."""
    await asyncio.sleep(SEAL_SECONDS)
    before = {name: found.seconds(name) for name in PARTS}
    await asyncio.sleep(SEAL_SECONDS)
    return {name: (found.seconds(name) - before[name]) / SEAL_SECONDS for name in PARTS}


async def _sample(found: Stand, write: Write, writes: int, idle: dict[str, float]) -> dict[str, float]:
    """Writes a second, and processor milliseconds of a write until everything that follows from it is done, less what idling costs."""
    before, begun, numbers = {name: found.seconds(name) for name in PARTS}, time.perf_counter(), iter(range(writes))

    async def worker() -> None:
        for number in numbers:
            await write(number)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    wall = time.perf_counter() - begun
    await found.published()
    await asyncio.sleep(SEAL_SECONDS)
    spent = time.perf_counter() - begun
    used = {name: (found.seconds(name) - before[name] - idle[name] * spent) * 1000 / writes for name in PARTS}
    return used | {"wall": wall, "rate": writes / wall, "all": sum(used.values())}


def _alone(pairs: list[tuple[float, float]]) -> Figure:
    low, middle, high = quantiles([product / bare for bare, product in pairs], n=4)
    bare, product = (median(times) for times in zip(*pairs, strict=True))
    words = f"{middle:.1f} × ({low:.1f}–{high:.1f}): p50 {product:.1f} ms against {bare:.1f} ms"
    return Figure(f"time of a write against a bare majority insert, {len(pairs):,} pairs one after the other", words, PROTOTYPE)


def _together(samples: dict[str, list[dict[str, float]]]) -> list[Figure]:
    bare, product = samples["bare"], samples["product"]
    rates = [median(row["rate"] for row in rows) for rows in (product, bare)]
    slower = f"{spread(ratios(product, bare, 'wall'))} × the time: {rates[0]:,.0f}/s against {rates[1]:,.0f}/s"
    mongod = [median(row["mongod"] for row in rows) for rows in (product, bare)]
    used = {name: median(row[name] for row in product) for name in ("all", *PARTS)}
    words = (
        f"{used['all']:.2f} ms in all ({', '.join(f'{name} {used[name]:.2f}' for name in PARTS)}); mongod "
        f"{spread(ratios(product, bare, 'mongod'))} × its {mongod[1]:.2f} ms of a bare one"
    )
    return [
        Figure(f"the same, {AT_ONCE} at once, {len(bare)} rounds in turn", slower, PROTOTYPE),
        Figure("processor time of a write, publishing and sealing included", words, "names no figure"),
    ]
