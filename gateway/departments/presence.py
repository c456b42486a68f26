"""Who is at a record at this moment: beats over core NATS, from every gateway to every gateway, kept by none longer than they count."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.kernel.ids import new_id

# A client beats this often while somebody is at a record; who was not heard of for the second time has gone. Seconds.
BEAT_SECONDS, TTL_SECONDS = 10, 25.0
SUBJECT = "presence"
LEFT = "LEFT"
# Records at a time that a gateway remembers: more than a company of thousands looks at.
MOST_RECORDS = 50_000
MOST_PEOPLE = 100
Place = tuple[str, str]  # noun and id of a record


@dataclass(frozen=True)
class Present:
    """Somebody at a record, and at what. `until` is in seconds of the clock by which it was heard."""

    person_id: str
    activity: str
    field: str
    since: datetime
    until: float

    @property
    def shown(self) -> tuple[str, str, str]:
        """What a subscriber sees of it, but for the time."""
        return self.person_id, self.activity, self.field


class Presences:
    """What one gateway has heard. `start` once the broker is there; without it a gateway hears itself alone. `clock` gives seconds that only
    grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[Place, dict[str, Present]] = {}
        self._waiting: dict[Place, set[asyncio.Event]] = {}
        self._nats: Client | None = None
        self._own = new_id()  # by which it knows its own beats when they come back, behind others perhaps
        self._swept = 0.0

    async def start(self, nats: Client) -> None:
        """Hear the beats of every gateway."""
        self._nats = nats
        await nats.subscribe(f"{SUBJECT}.*.*", cb=self._heard)

    async def beat(self, place: Place, person_id: str, activity: str, field: str) -> None:
        """Tell every gateway that a person is at a record, or has left it. Lost with the broker: the next beat tells it again."""
        self._take(place, person_id, activity, field)
        if self._nats is not None and self._nats.is_connected:
            with contextlib.suppress(NatsError):
                await self._nats.publish(".".join((SUBJECT, *place)), orjson.dumps([self._own, person_id, activity, field]))

    async def _heard(self, message: Msg) -> None:
        _, noun, record_id = message.subject.split(".")
        with contextlib.suppress(ValueError, TypeError):  # a gateway of a newer build may tell it otherwise
            said_by, person_id, activity, field = orjson.loads(message.data)
            if said_by != self._own:
                self._take((noun, record_id), str(person_id), str(activity), str(field))

    def _take(self, place: Place, person_id: str, activity: str, field: str) -> None:
        now = self._clock()
        self._sweep(now)
        here = self._places.setdefault(place, {})
        before = here.pop(person_id, None)
        if activity != LEFT and len(here) < MOST_PEOPLE:
            since = before.since if before and before.until > now else datetime.now(UTC)
            here[person_id] = Present(person_id, activity, field, since, now + TTL_SECONDS)
        after = here.get(person_id)
        if (before and before.shown) != (after and after.shown):
            for waiting in self._waiting.get(place, ()):
                waiting.set()

    def _sweep(self, now: float) -> None:
        """Forget records at which nobody is any more; all of them where there are more than a gateway can mean."""
        if now - self._swept < TTL_SECONDS and len(self._places) <= MOST_RECORDS:
            return
        self._swept = now
        here = {place: {key: one for key, one in people.items() if one.until > now} for place, people in self._places.items()}
        left = {place: people for place, people in here.items() if people}
        self._places = left if len(left) <= MOST_RECORDS else {}

    def at(self, place: Place) -> list[Present]:
        """Who is there now, the longest there first."""
        now = self._clock()
        return sorted((one for one in self._places.get(place, {}).values() if one.until > now), key=lambda one: (one.since, one.person_id))

    @contextlib.contextmanager
    def watching(self, place: Place) -> Iterator[asyncio.Event]:
        """An event that is set when somebody comes, goes or does something else."""
        event = asyncio.Event()
        self._waiting.setdefault(place, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[place].discard(event)
            if not self._waiting[place]:
                del self._waiting[place]
