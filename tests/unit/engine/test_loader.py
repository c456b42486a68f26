"""Loaders: one call for the keys of a turn, none asked twice; every asker gets its values, whoever else fails, leaves or is late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from gateway.departments.batching import Loader


class Upper:
    """A load that remembers its calls; keys in `held` make a call wait until they are released."""

    def __init__(self, held: str = "") -> None:
        self.calls: list[list[str]] = []
        self.gates = {key: asyncio.Event() for key in held}

    async def __call__(self, keys: list[str]) -> Sequence[Any]:
        self.calls.append(list(keys))
        for key in keys:
            if key in self.gates:
                await self.gates[key].wait()
        return [key.upper() for key in keys]


async def turns(count: int = 4) -> None:
    """Let the others run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def soon(*askers: Any) -> list[Any]:
    """Their values; nobody waits for ever."""
    return await asyncio.wait_for(asyncio.gather(*askers, return_exceptions=True), 10)


async def test_keys_of_one_turn_go_out_in_one_call_none_twice_in_the_order_asked() -> None:
    load = Upper()
    loader = Loader(load)
    found = await soon(loader.many(["c", "a", "c"]), loader.many(["a", "b"]), loader.many([]))
    assert found == [["C", "A", "C"], ["A", "B"], []]
    assert load.calls == [["c", "a", "b"]]
    assert await loader.many(["b", "c"]) == ["B", "C"]
    assert len(load.calls) == 1


@pytest.mark.parametrize("count", [1, 99, 100, 101, 200, 201])
async def test_no_call_asks_for_more_than_a_hundred_keys(count: int) -> None:
    load = Upper()
    keys = [f"k{number}" for number in range(count)]
    assert await Loader(load).many(keys) == [key.upper() for key in keys]
    assert [len(call) for call in load.calls] == [100] * (count // 100) + ([count % 100] if count % 100 else [])
    assert [key for call in load.calls for key in call] == keys


async def test_an_exception_as_a_value_is_its_key_s_alone() -> None:
    error = ValueError("b")

    async def load(keys: list[str]) -> list[Any]:
        return [error if key == "b" else key for key in keys]

    loader = Loader(load)
    assert await loader.many(["a", "b", "c"]) == ["a", error, "c"]
    assert await loader.many(["b"]) == [error]


async def test_a_key_that_is_under_way_is_not_asked_for_again() -> None:
    load = Upper("a")
    loader = Loader(load)
    first = asyncio.create_task(loader.many(["a"]))
    await turns()
    second = asyncio.create_task(loader.many(["a", "b"]))
    await turns()
    load.gates["a"].set()
    assert await soon(first, second) == [["A"], ["A", "B"]]
    assert load.calls == [["a"], ["b"]]


@pytest.mark.parametrize("order", ["abcdef", "fedcba", "cafebd"])
async def test_an_asker_of_calls_under_way_gets_all_whichever_lands_first(order: str) -> None:
    load = Upper("abcdef")
    loader = Loader(load)
    single = []
    for key in "abcdef":
        single.append(asyncio.create_task(loader.many([key])))
        await turns()
    every = asyncio.create_task(loader.many(list("abcdef")))
    await turns()
    for key in order:
        load.gates[key].set()
        await turns()
    assert await soon(*single, every) == [["A"], ["B"], ["C"], ["D"], ["E"], ["F"], list("ABCDEF")]
    assert len(load.calls) == 6


@pytest.mark.parametrize("after", [0, 1, 2, 4])
async def test_those_who_wait_get_their_values_when_the_first_asker_is_cancelled(after: int) -> None:
    load = Upper("a")
    loader = Loader(load)
    first = asyncio.create_task(loader.many(["a"]))
    others = [asyncio.create_task(loader.many(keys)) for keys in (["a"], ["b", "a"], ["c"])]
    await turns(after)
    first.cancel()
    await turns()
    load.gates["a"].set()
    found = await soon(first, *others)
    assert found[1:] == [["A"], ["B", "A"], ["C"]]


async def test_one_who_waits_may_leave_without_harm() -> None:
    load = Upper("a")
    loader = Loader(load)
    first, second = asyncio.create_task(loader.many(["a"])), asyncio.create_task(loader.many(["a"]))
    await turns()
    second.cancel()
    await turns()
    load.gates["a"].set()
    found = await soon(first, second, loader.many(["a"]))
    assert (found[0], found[2]) == (["A"], ["A"])
    assert isinstance(found[1], asyncio.CancelledError)
    assert load.calls == [["a"]]


async def test_a_load_that_raises_fails_its_keys_and_is_not_asked_once_for_each_who_waits() -> None:
    calls = [0]

    async def load(keys: list[str]) -> list[str]:
        calls[0] += 1
        await asyncio.sleep(0)
        if "a" in keys:
            raise RuntimeError("broken")
        return keys

    loader = Loader(load)
    found = await soon(*[loader.many(["a"]) for _ in range(20)])
    assert [[str(value) for value in values] for values in found] == [["broken"]] * 20
    assert calls[0] == 1
    assert await soon(loader.many(["b"])) == [["b"]]


async def test_a_load_that_gives_too_few_values_is_a_fault() -> None:
    async def load(keys: list[str]) -> list[str]:
        return keys[1:]

    with pytest.raises(ValueError, match="shorter"):
        await Loader(load).many(["a", "b"])


@pytest.mark.parametrize("seed", range(12))
async def test_any_mix_of_askers_calls_and_departures_gives_every_asker_its_values(seed: int) -> None:
    random = Random(seed)
    asked: list[list[str]] = []

    async def load(keys: list[str]) -> list[str]:
        asked.append(keys)
        await turns(random.randint(0, 12))
        return [key.upper() for key in keys]

    loader = Loader(load)

    async def asker(keys: list[str]) -> list[Any]:
        await turns(random.randint(0, 12))
        return await loader.many(keys)

    questions = [random.choices("abcdefgh", k=random.randint(0, 4)) for _ in range(12)]
    tasks = [asyncio.create_task(asker(keys)) for keys in questions]
    leaving = random.sample(range(12), 3) if seed % 2 else []
    for number in leaving:
        await turns(random.randint(0, 6))
        tasks[number].cancel()
    found = await soon(*tasks)
    for number, (keys, values) in enumerate(zip(questions, found, strict=True)):
        if number not in leaving:
            assert values == [key.upper() for key in keys]
    if not leaving:
        flat = [key for call in asked for key in call]
        assert len(flat) == len(set(flat))
