"""Rows that are done in the commit that takes them: handed over, in one process, from the call that brings them to who works on their job.

They are stored with their outcomes and never as rows that wait, so nothing has to be sealed, found again and forgotten; where that does not do, they go
the way of all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chassis.kernel.errors import Conflict

# Who works on the job is at other rows, or rests: then these are stored first.
PATIENCE_SECONDS = 0.1


@dataclass
class Offer:
    """Rows that are the next ones of a job, of which customers they tell, and their digest. `done` gets the rows with their outcomes; None where they
    have to go the other way."""

    first: int
    rows: list[bytes]
    customers: list[str]
    digest: str
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Future[list[Any] | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, rows: Sequence[Any] | None = None) -> None:
        """Say what came of it, once."""
        if not self.done.done():
            self.done.set_result(list(rows) if rows is not None else None)


class Offers:
    """At most one a job. Where one had to go the other way, all others of its job do, as long as it is worked on: nothing is tried twice for ever."""

    def __init__(self) -> None:
        self._open: dict[str, Offer] = {}
        self._shut: set[str] = set()

    def shut(self, job_id: str) -> None:
        """One of this job had to go the other way."""
        self._shut.add(job_id)

    def left(self, job_id: str) -> None:
        """Nobody here is at the job any more."""
        self._shut.discard(job_id)

    def taken_from(self, job_id: str) -> bool:
        """Whether anything may be offered of a job now."""
        return job_id not in self._open and job_id not in self._shut

    async def made(self, job_id: str, offer: Offer, seconds: float) -> list[Any] | None:
        """The rows with their outcomes, all committed; None where nobody took them, or they have to go the other way. Raises Conflict BUSY where
        that takes longer than so many seconds: nobody knows then whether they will be taken."""
        if not self.taken_from(job_id):
            return None
        self._open[job_id] = offer
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await offer.begun.wait()
        except TimeoutError:
            if not offer.begun.is_set():
                return None
        finally:
            if self._open.get(job_id) is offer:
                del self._open[job_id]
        await asyncio.wait([offer.done], timeout=max(0.0, seconds))
        if not offer.done.done():
            raise Conflict("these rows are being worked on; send the same again", code="BUSY")
        return offer.done.result()

    def taken(self, job_id: str) -> Offer | None:
        """What is offered of a job; whoever takes it must end it."""
        offer = self._open.pop(job_id, None)
        if offer:
            offer.begun.set()
        return offer
