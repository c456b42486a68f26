"""Read models folded from facts, and how one is folded anew beside live traffic: into a collection of its own, which then takes the place
of the old one in one step."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from chassis.kernel.errors import Conflict
from chassis.messaging.broker import stream_name
from chassis.messaging.envelope import Event
from chassis.messaging.reactions import INBOX, Reaction, checked, durable_name
from chassis.messaging.upcasting import understood
from chassis.rpc.call import Call
from chassis.storage.client import Database

Document = dict[str, Any]
BATCH = 500
# What a collection that is being folded has behind its name, before a digit.
ASIDE = "__rebuild"
ASIDES = 8
FETCH_SECONDS = 2
READERS, READER_SECONDS = 2, 120


@dataclass(frozen=True)
class Model:
    """A collection that is nothing but the fold of facts. `reactions` have the names of those that keep it live; their `handle` writes this
    collection alone. `after` gets, of a model that was wrong, the documents that differed, old and new, and mends what was made of them."""

    name: str
    collection: str
    reactions: tuple[Reaction, ...]
    after: Callable[[Call, Sequence[Document]], Awaitable[None]] | None = None


class Aside:
    """A database in which one collection is another one. Everything else is as it is there."""

    def __init__(self, database: Database, names: Mapping[str, str]) -> None:
        self._database, self._names = database, dict(names)

    def __getitem__(self, name: str) -> Any:
        return self._database[self._names.get(name, name)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def aside_of(collection: str, term: int) -> str:
    """Where a model is folded under a term of the lease: not where one folded that has lost it and may not know that yet. A department may
    not drop collections, so there are a few that take turns."""
    return f"{collection}{ASIDE}{term % ASIDES}"


def reader_name(durable: str, turn: int) -> str:
    """The consumer by which a reaction's facts are folded anew; two take turns. Named, so that a department can be given the right to it."""
    return f"{durable}-fold{turn % READERS}"


def is_aside(collection: str) -> bool:
    """Whether a collection is one of those."""
    return collection[:-1].endswith(ASIDE)


@dataclass
class Fold:
    """The facts of one reaction in the order of their records' versions, from the first that the stream holds.

    `turn` is the term under which it folds: two that fold at once read by consumers of their own. `position` is the last place in the
    stream that was read, `count` the facts that had their turn. `held` are facts whose predecessor has not come yet: one that was lost and
    published again stands behind its successors.
    """

    owner: str
    reaction: Reaction
    context: JetStreamContext
    turn: int = 0
    position: int = 0
    count: int = 0
    unreadable: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    held: dict[str, dict[int, Event]] = field(default_factory=dict)
    _subscription: JetStreamContext.PullSubscription | None = None
    _ahead: list[Msg] = field(default_factory=list)

    @property
    def stream(self) -> str:
        """The stream that it reads."""
        return stream_name(self.reaction.department)

    @property
    def durable(self) -> str:
        """The consumer that keeps the model live."""
        return durable_name(self.owner, self.reaction)

    @property
    def reader(self) -> str:
        """The consumer by which it reads, which may not be there."""
        return reader_name(self.durable, self.turn)

    async def begin(self) -> int:
        """Open the stream at its first fact; how many there are."""
        await self._let_go()
        config = ConsumerConfig(
            durable_name=self.reader, deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, filter_subject=self.reaction.subject,
            inactive_threshold=READER_SECONDS, mem_storage=True, num_replicas=1,
        )  # fmt: skip
        info = await self.context.add_consumer(self.stream, config)
        self._subscription = await self.context.pull_subscribe_bind(info.name, self.stream)
        return int(info.num_pending or 0)

    async def close(self) -> None:
        """Let the stream go."""
        if self._subscription:
            await self._subscription.unsubscribe()
            await self._let_go()

    async def _let_go(self) -> None:
        with contextlib.suppress(NotFoundError):
            await self.context.delete_consumer(self.stream, self.reader)

    async def next(self, until: int) -> list[Event]:
        """Facts up to a place in the stream, as many as come at once and have their turn; none when that place is reached."""
        found: list[Event] = []
        while not found and self.position < until:
            messages = self._ahead or await self._fetch()
            if not messages:  # the rest up to there concerns others
                self.position = until
                break
            inside = [message for message in messages if message.metadata.sequence.stream <= until]
            self._ahead = messages[len(inside) :]
            for message in inside:
                if self.reaction.hears(message.subject):
                    found += self._read(message)
            self.position = until if self._ahead else inside[-1].metadata.sequence.stream
        self.count += len(found)
        return found

    async def _fetch(self) -> list[Msg]:
        if self._subscription is None:
            raise RuntimeError("the fold was not begun")
        try:
            return await self._subscription.fetch(BATCH, timeout=FETCH_SECONDS)
        except TimeoutError:
            return []

    def _read(self, message: Msg) -> list[Event]:
        """What a message brings in its turn; one that this build cannot read has no effect, as in the live model, which set it aside."""
        try:
            event = understood(checked(message), self.reaction.upcasters)
        except (KeyError, ValueError):
            headers = message.headers or {}
            record, version = headers.get("ce-subject", ""), headers.get("ce-version", "")
            if version.isdigit() and int(version) == self.seen.get(record, 0) + 1:
                self.seen[record] = int(version)
            self.unreadable += 1
            return []
        return self._in_turn(event)

    def _in_turn(self, event: Event) -> list[Event]:
        """The fact, and what waited for it; nothing when it is a repeat or has to wait itself."""
        last = self.seen.get(event.aggregate_id, 0)
        if event.version <= last:
            return []
        waiting = self.held.setdefault(event.aggregate_id, {})
        waiting[event.version] = event
        found = []
        while last + 1 in waiting:
            last += 1
            found.append(waiting.pop(last))
        self.seen[event.aggregate_id] = last
        if not waiting:
            del self.held[event.aggregate_id]
        return found

    async def must_be_whole(self, database: Database) -> None:
        """Refuse where the live model has heard facts that the stream does not hold, by its marks in the inbox."""
        missing, first = 0, ""
        async for row in database[INBOX].find({"_id": {"$gt": f"{self.durable}|", "$lt": f"{self.durable}}}"}}):
            record = row["_id"].rpartition("|")[2]
            if self.seen.get(record, 0) < row["version"]:
                missing, first = missing + 1, first or f"of {record} version {self.seen.get(record, 0) + 1}"
        if missing:
            raise Conflict(
                f"{self.stream} no longer holds every fact of {missing:,} records ({first}): the model cannot be folded from nothing, and stays as it is",
                retryable=False,
            )
