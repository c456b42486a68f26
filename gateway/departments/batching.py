"""Batched reads of one operation: the keys asked for on one level go out in one call, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

BATCH = 100
Load = Callable[[list[str]], Awaitable[Sequence[Any]]]


class _Flight:
    """Keys that go out in one call, and a future for those who wait for others to send it."""

    __slots__ = ("keys", "landed")

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Loader:
    """What one question gives for each key. Keys asked for in one turn of the loop go out together, none of them twice.

    `load` gives one value a key, in their order; an exception as a value is that key's error. Whoever asks first sends the call,
    so a level costs one future at the most; if that one is cancelled, those who wait ask themselves.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._values: dict[str, Any] = {}
        self._flights: dict[str, _Flight] = {}
        self._boarding: _Flight | None = None

    async def many(self, keys: Sequence[str]) -> list[Any]:
        """The values of the keys, in their order."""
        values = self._values
        while True:
            own = self._board([key for key in keys if key not in values])
            others = {flight.landed for key in keys if (flight := self._flights.get(key)) is not None and flight is not own}
            if own is not None:
                await self._fly(own)
            for landed in others:
                await asyncio.shield(landed)
            try:
                return [values[key] for key in keys]
            except KeyError:  # whoever sent one of the calls was cancelled
                continue

    def _board(self, keys: Sequence[str]) -> _Flight | None:
        """Put keys on the next flight; gives the flight when it must be sent by the one who asks."""
        flight = self._boarding or _Flight()
        new = [key for key in dict.fromkeys(keys) if key not in self._flights]
        flight.keys += new
        self._flights.update(dict.fromkeys(new, flight))
        if not new or flight is self._boarding:
            return None
        self._boarding = flight
        return flight

    async def _fly(self, flight: _Flight) -> None:
        try:
            await asyncio.sleep(0)  # the other edges of this level board too
            self._boarding, keys = None, flight.keys
            self._values.update(await in_parts(keys, self._load))
        finally:
            if self._boarding is flight:
                self._boarding = None
            for key in flight.keys:
                del self._flights[key]
            flight.landed.set_result(None)


async def in_parts(keys: list[str], load: Load) -> dict[str, Any]:
    """The value of each key, asked for in calls of no more keys than a department takes. A load that raises fails its keys."""
    parts = [keys[begin : begin + BATCH] for begin in range(0, len(keys), BATCH)]
    answers = [await _part(parts[0], load)] if len(parts) == 1 else await asyncio.gather(*[_part(part, load) for part in parts])
    return {key: value for part, values in zip(parts, answers, strict=True) for key, value in zip(part, values, strict=True)}


async def _part(keys: list[str], load: Load) -> Sequence[Any]:
    try:
        return await load(keys)
    except Exception as error:
        return [error] * len(keys)
