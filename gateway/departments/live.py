"""Facts for subscribers: one listener on the broker, a bounded queue for each subscription, an end with the token.

What was missed is not this module's business: `following` asks the departments for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.access.tokens import claims_of
from chassis.kernel.errors import Conflict, unauthenticated
from gateway.departments.presence import Presences

QUEUE = 200
REMEMBERED = 10_000
STILL_SECONDS = 2.0


@dataclass(frozen=True)
class Fact:
    """What a subscriber is told of an event; never its payload."""

    event_id: str
    event_type: str
    department: str
    noun: str
    record_id: str
    customer_id: str
    time: datetime


class Mark(Enum):
    """What stands among the facts of a queue: facts are missing from LOST to BACK; SLOW ends it; STILL tells that nothing happens."""

    LOST = "lost"
    BACK = "back"
    SLOW = "slow"
    STILL = "still"


Heard = asyncio.Queue[Fact | Mark]


class Live:
    """Hands facts on to subscriptions. `start` once the broker is there; `lost` and `back` when it goes away and comes again."""

    def __init__(self) -> None:
        self._listeners: set[Heard] = set()
        self._told: OrderedDict[str, None] = OrderedDict()
        self.presences = Presences()

    async def start(self, nats: Client) -> None:
        """Listen to the facts of every department."""
        await nats.subscribe("crm.*.v1.>", cb=self._heard)
        await self.presences.start(nats)
        with contextlib.suppress(NatsError):  # then the connection is going, and `back` will be told
            await nats.flush()

    async def _heard(self, message: Msg) -> None:
        headers = message.headers or {}
        if "ce-id" not in headers:
            return
        event_type, department = headers["ce-type"], message.subject.split(".")[1]
        if event_type.split(".")[1] != department:  # who may publish on a subject is the broker's to say, not a header's
            return
        if self._repeated(f"{department} {headers['ce-id']}"):
            return
        fact = Fact(
            headers["ce-id"], event_type, department, headers["ce-aggregate"].rsplit(".", 1)[1], headers["ce-subject"],
            headers.get("ce-survivor") or headers.get("ce-customer", ""), datetime.fromisoformat(headers["ce-time"]),
        )  # fmt: skip
        self._tell(fact)

    async def lost(self) -> None:
        """The broker is away: from now on nothing is heard."""
        self._tell(Mark.LOST)

    async def back(self) -> None:
        """The broker is there again, and listened to."""
        self._tell(Mark.BACK)

    def _tell(self, item: Fact | Mark) -> None:
        for queue in list(self._listeners):
            full = queue.qsize() >= QUEUE
            if full:  # a reader that does not keep up is told so, behind what it has not read yet: there is no gap before
                self._listeners.discard(queue)
            queue.put_nowait(Mark.SLOW if full else item)

    def _repeated(self, fact: str) -> bool:
        """Whether this fact was heard lately: a relay that ends before it has marked what it published leaves that to the next one."""
        if fact in self._told:
            return True
        self._told[fact] = None
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return False

    @contextlib.contextmanager
    def listening(self) -> Iterator[Heard]:
        """A queue of what happens from now on."""
        queue: Heard = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)


async def heard(queue: Heard, token: str, still: Callable[[], Awaitable[None]]) -> AsyncIterator[Fact | Mark]:
    """What a queue holds, STILL where that is nothing for two seconds, until the token (verified by a department before) ends. `still` raises
    when the session was ended; it is asked every few seconds, for whoever listens in silence asks nobody else.

    Raises NotAllowed at its end, Conflict for a reader that is too slow.
    """
    ends, asked = float(claims_of(token).get("exp", 0)), time.monotonic()
    while (left := ends - time.time()) > 0:
        if time.monotonic() - asked >= STILL_SECONDS:
            await still()
            asked = time.monotonic()
        try:
            async with asyncio.timeout(min(left, STILL_SECONDS)):
                item = await queue.get()
        except TimeoutError:
            item = Mark.STILL
        if item is Mark.SLOW:
            raise Conflict("you read more slowly than facts happen; subscribe again after the last cursor", code="BUSY")
        yield item
    raise unauthenticated("The token has expired." if token else "There is no token.")
