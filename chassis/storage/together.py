"""Commits asked for at the same time, in one transaction: what costs is the transaction, not what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chassis.storage.changes import Changes


class Together:
    """Commits several units of work of one call together: whoever asks while others are written goes with the next. Where what belongs together
    is refused, each is committed alone, so that every one has its own refusal, and none has that of another. Where it is not known whether the
    whole was written, those that were are found by their request ids when they are committed alone.

    `anew` gives an empty unit of work in the name of the same call.
    """

    def __init__(self, anew: Callable[[], Changes]) -> None:
        self._anew, self._writing = anew, False
        self._waiting: list[tuple[Changes, asyncio.Future[None]]] = []

    def fresh(self) -> Changes:
        """An empty unit of work that is committed here."""
        made = self._anew()
        made.by = self._commit
        return made

    async def _commit(self, changes: Changes) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, written))
        if not self._writing:
            self._writing = True
            try:
                await asyncio.sleep(0)  # those that are as far come along
                while self._waiting:
                    batch, self._waiting = self._waiting, []
                    await self._write(batch)
            finally:
                self._writing = False
                for _, left in self._waiting:  # who wrote was stopped, and with it the whole call
                    left.cancel()
        await written

    async def _write(self, batch: list[tuple[Changes, asyncio.Future[None]]]) -> None:
        whole = len(batch) > 1 and await self._whole([changes for changes, _ in batch])
        for changes, written in batch:
            try:
                if not whole:
                    await changes.commit()
            except Exception as refusal:
                if not written.done():
                    written.set_exception(refusal)
            else:
                if not written.done():
                    written.set_result(None)

    async def _whole(self, batch: list[Changes]) -> bool:
        """Whether all of them were committed at once."""
        whole = self._anew()
        try:
            for changes in batch:
                await changes.seal()  # each with its own keys, so that it can still be committed alone
                whole.join(changes)
            await whole.commit()
        except Exception:  # of whom, each will be told alone
            return False
        return True
