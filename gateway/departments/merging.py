"""One call for what one caller asks in several operations at the same time.

Only questions under the very same token are merged: the department judges that token for all their keys, so nobody gets a row by
it that they would not get alone. A question joins only a call that has not been sent, so an operation sees what was committed
before it began. What is asked while a call of the same kind is on its way waits for its end, WAIT_SECONDS at the most, and goes
out together: alone nobody waits, under load calls grow instead of their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any

from gateway.departments.batching import Load, in_parts

WAIT_SECONDS = 0.01


class _Call:
    """A call in the making, then on its way; `values` is None until it has ended well."""

    def __init__(self) -> None:
        self.keys: dict[str, None] = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.values: dict[str, Any] | None = None


class Merging:
    """The calls of all callers, by caller and question."""

    def __init__(self) -> None:
        self._making: dict[Hashable, _Call] = {}
        self._sent: dict[Hashable, _Call] = {}
        self.sent = self.joined = 0

    async def many(self, question: Hashable, keys: Sequence[str], load: Load) -> list[Any]:
        """The values of the keys; `load` is used if this asker sends the call. `question` must hold the caller's token."""
        while True:
            call = self._making.get(question)
            if call is None:
                call = self._making[question] = _Call()
                call.keys.update(dict.fromkeys(keys))
                self.sent += 1
                await self._send(question, call, load)
            else:
                call.keys.update(dict.fromkeys(keys))
                self.joined += 1
                await asyncio.shield(call.ended)
            if call.values is not None:  # else the one who sent it was cancelled: ask anew
                return [call.values[key] for key in keys]

    async def _send(self, question: Hashable, call: _Call, load: Load) -> None:
        try:
            await asyncio.sleep(0)
            ahead = self._sent.get(question)
            if ahead is not None:
                await asyncio.wait({ahead.ended}, timeout=WAIT_SECONDS)
            del self._making[question]
            self._sent[question] = call
            call.values = await in_parts(list(call.keys), load)
        finally:
            if self._making.get(question) is call:
                del self._making[question]
            if self._sent.get(question) is call:
                del self._sent[question]
            call.ended.set_result(None)
