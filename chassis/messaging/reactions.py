"""JetStream → effect: pull batches, order each aggregate by its version, commit effect and inbox mark together, then acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from opentelemetry.trace import Span
from pymongo import UpdateOne
from pymongo.errors import ConnectionFailure, DuplicateKeyError, PyMongoError

from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.tasks import settle
from chassis.messaging import quiet
from chassis.messaging.broker import stream_name
from chassis.messaging.envelope import Event, decode, know
from chassis.messaging.upcasting import Upcasters, must_reach_today, understood
from chassis.observe.metrics import Metrics
from chassis.observe.traces import Traces
from chassis.rpc.call import Call
from chassis.storage.changes import AUDIT, OUTBOX, Duplicate
from chassis.storage.client import Database
from chassis.storage.encryption import VAULT

log = logging.getLogger("crm.reactions")
INBOX, PARKED = "inbox", "parked_events"
# What goes with every write: the marks of what was heard, facts, audit, keys of personal data.
ALWAYS = (INBOX, PARKED, OUTBOX, AUDIT, VAULT)
AGGREGATES = "aggregates"
BATCH = 200
GAP_SECONDS = 0.2
RETRY_SECONDS, AWAY_SECONDS = 1.0, 0.5
LONGEST_SECONDS = 2.0
MOST_DELIVERIES = 20
# What a killed process had taken comes again after this; who is at work on something says so in time.
ACK_SECONDS = 2
# By then it has come again.
GAP_DELIVERIES = 6
# What is asked of a server that goes is never answered, and nobody says so: after this it is asked again, of another one.
FETCH_SECONDS = 2.0
Handle = Callable[[Call, Sequence[Event]], Awaitable[None]]
MakeCall = Callable[[str], Call]


@dataclass(frozen=True)
class Reaction:
    """What a department does when others (or it itself) announce facts.

    `handle` gets a batch in order and adds its writes to `call.changes`; it must have the same effect when run again.
    `aggregates` are message names of the announcing department, e.g. "Customer".
    `writes` is its policy: the collections that it may write; anything else is refused with the whole batch.
    `upcasters` say how facts of older shapes are read.
    `after` comes after the commit, before the facts are acknowledged, and again when they come again: for what another reaction may have written
    at the same moment, without knowing of this one.
    """

    name: str
    department: str
    aggregates: tuple[str, ...]
    handle: Handle
    writes: tuple[str, ...]
    upcasters: Upcasters = field(default_factory=dict)
    after: Handle | None = None

    def __post_init__(self) -> None:
        if not self.writes:
            raise RuntimeError(
                f"the reaction «{self.name}» to {self.department} declares nothing that it may write; give it writes=(collection, …)"
            )
        must_reach_today(f"the reaction «{self.name}»", know(self.department), self.aggregates, self.upcasters)

    @property
    def subject(self) -> str:
        """What the consumer filters by: every fact of the aggregates, for versions must be seen without gaps.

        One filter, wider than needed where there are several aggregates: with two, NATS compares the subjects of a block anew for each
        message (measured: 35 times the processor time). What comes beside is passed over.
        """
        if len(self.aggregates) == 1:
            return f"crm.{self.department}.v1.{self.aggregates[0].lower()}.*.*"
        return f"crm.{self.department}.v1.>"

    def hears(self, subject: str) -> bool:
        """Whether a fact on this subject is one of the aggregates'."""
        return not self.aggregates or subject.split(".")[3] in {name.lower() for name in self.aggregates}


def durable_name(owner: str, reaction: Reaction) -> str:
    """The name of the consumer by which a department's reaction reads."""
    return f"{owner}-{reaction.name}-{reaction.department}"


def consumer_config(durable: str, reaction: Reaction) -> ConsumerConfig:
    """The durable by which a reaction reads. Its metadata tell the aggregates, where the filter does not."""
    return ConsumerConfig(
        durable_name=durable, deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_SECONDS,
        filter_subject=reaction.subject, max_ack_pending=BATCH * 5, metadata={AGGREGATES: ",".join(reaction.aggregates)},
    )  # fmt: skip


class Consumer:
    """Runs one reaction of one department until cancelled."""

    def __init__(
        self, owner: str, reaction: Reaction, context: JetStreamContext, database: Database, make_call: MakeCall, metrics: Metrics,
        traces: Traces, *, managed: bool = False,
    ) -> None:  # fmt: skip
        self.reaction, self.context, self.database = reaction, context, database
        self.make_call, self.metrics, self.traces, self.managed = make_call, metrics, traces, managed
        self.read: Callable[[Msg], Event] = checked
        self.durable = durable_name(owner, reaction)
        # Records whose later facts wait for an earlier one.
        self.gaps: set[str] = set()
        self._asking: asyncio.Timeout | None = None  # a question to the broker that waits for an answer

    async def run(self) -> None:
        """Consume until cancelled; whatever fails is waited out and tried again."""
        while True:
            subscription = None
            try:
                subscription = await self._subscribe()
                while True:
                    await self._next(subscription)
            except (NatsError, JetStreamError, PyMongoError, TimeoutError, OSError) as error:
                log.info("reaction waits", extra={"reaction": self.reaction.name, "reason": str(error)[:200]})
                await self._database_back() if isinstance(error, PyMongoError) else await asyncio.sleep(AWAY_SECONDS)
            except CrmError as error:
                log.warning("reaction waits", extra={"reaction": self.reaction.name, "reason": error.message})
                await asyncio.sleep(AWAY_SECONDS)
            finally:
                if subscription is not None:
                    with contextlib.suppress(NatsError):
                        await subscription.unsubscribe()

    def broker_back(self) -> None:
        """What was asked of a broker that went away is never answered: it is asked anew at once."""
        if self._asking:
            self._asking.reschedule(0)

    async def _database_back(self) -> None:
        """Nothing is taken from the stream while the database is away: it would count as tried in vain."""
        while True:
            await asyncio.sleep(AWAY_SECONDS)
            with contextlib.suppress(PyMongoError):
                await self.database.command("ping")
                return

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        stream = stream_name(self.reaction.department)
        if not self.managed:
            await self.context.add_consumer(stream, consumer_config(self.durable, self.reaction))
        elif (await self.context.consumer_info(stream, self.durable)).config.filter_subject != self.reaction.subject:
            raise Conflict(f"the consumer {self.durable} hears other subjects than this build wants; run the administration step")
        return await self.context.pull_subscribe_bind(self.durable, stream)

    async def _next(self, subscription: JetStreamContext.PullSubscription) -> None:
        messages = await self._fetched(subscription)
        mine = [message for message in messages if self.reaction.hears(message.subject)]
        if mine:
            await self.handle(mine)
        for message in messages:
            if not self.reaction.hears(message.subject):
                await message.ack()

    async def _fetched(self, subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        try:
            return await subscription.fetch(BATCH, timeout=FETCH_SECONDS)
        except TimeoutError:  # nothing comes at the moment: what comes next comes alone, and the rest with the next fetch
            found = await self._first(subscription)
            return [found] if found else []

    async def _first(self, subscription: JetStreamContext.PullSubscription) -> Msg | None:
        try:
            async with asyncio.timeout(None) as self._asking:
                return await quiet.first(subscription)
        except TimeoutError:
            return None
        finally:
            self._asking = None

    async def handle(self, messages: list[Msg]) -> None:
        """Bring a batch to its effect; one that fails as a whole is tried by halves, so that what is at fault ends up alone. Where the database
        is away it is handed back, to come again as soon as it is asked for."""
        try:
            async with self._held(messages):
                await self._handle(messages)
        except (Exception, Duplicate) as error:
            if isinstance(error, ConnectionFailure):
                for message in messages:
                    if not message.is_acked:
                        await message.nak()
                raise
            if len(messages) == 1:
                await self._failed(messages[0], error)
                return
            middle = len(messages) // 2
            await self.handle(messages[:middle])
            await self.handle(messages[middle:])

    @contextlib.asynccontextmanager
    async def _held(self, messages: list[Msg]) -> AsyncIterator[None]:
        """Messages that are worked on do not come again meanwhile, however long that takes."""

        async def say() -> None:
            while True:
                for message in messages:
                    if not message.is_acked:
                        await message.in_progress()
                await asyncio.sleep(ACK_SECONDS / 2)

        saying: list[asyncio.Task[None]] = []
        later = asyncio.get_running_loop().call_later(ACK_SECONDS / 2, lambda: saying.append(asyncio.create_task(say())))
        try:
            yield
        finally:
            later.cancel()
            await settle(saying)

    async def _handle(self, messages: list[Msg]) -> None:
        pairs = [(message, understood(self.read(message), self.reaction.upcasters)) for message in messages]
        seen = await self._versions([event for _, event in pairs])
        take: list[tuple[Msg, Event]] = []
        repeats: list[tuple[Msg, Event]] = []
        gaps: list[tuple[Msg, Event]] = []
        for message, event in pairs:
            last = seen.get(event.aggregate_id, 0)
            if event.version <= last:
                repeats.append((message, event))
            elif event.version == last + 1:
                seen[event.aggregate_id] = event.version
                take.append((message, event))
            else:
                gaps.append((message, event))
        if take:
            events = [event for _, event in take]
            with self._span(events):
                await self._commit(events, seen)
        await self._look_again([event for _, event in take + repeats])
        for message, _ in take + repeats:
            await message.ack()
        for message, event in gaps:
            await self._wait_for_gap(message, event)
        self.metrics.events_ignored.labels(self.reaction.name).inc(len(repeats))

    def _span(self, events: Sequence[Event]) -> AbstractContextManager[Span]:
        """The span of a reaction, in the trace of the facts to which it reacts."""
        attributes: dict[str, str | int] = {
            "messaging.system": "nats", "messaging.destination.name": stream_name(self.reaction.department),
            "messaging.operation.name": "process", "messaging.consumer.group.name": self.durable, "messaging.batch.message_count": len(events),
        }  # fmt: skip
        return self.traces.batch(f"process {self.durable}", [event.traceparent for event in events], attributes)

    async def _call(self, event: Event) -> Call:
        call = self.make_call(f"reaction:{self.reaction.name}")
        await call.aliases.fresh()
        call.request_id = event.correlation_id or event.id
        call.changes.only = frozenset((*self.reaction.writes, *ALWAYS))
        return call

    async def _look_again(self, events: list[Event]) -> None:
        if self.reaction.after and events:
            await self.reaction.after(await self._call(events[0]), events)

    async def _commit(self, events: list[Event], seen: dict[str, int]) -> None:
        call = await self._call(events[0])
        await self.reaction.handle(call, events)
        first: dict[str, int] = {}
        for event in events:
            first.setdefault(event.aggregate_id, event.version)
        for identity, version in first.items():
            key = self._key(identity)
            # The guard makes a second consumer of the same durable fail instead of repeating the effect.
            condition = {"_id": key, "version": version - 1} if version > 1 else {"_id": key, "version": {"$exists": False}}
            call.changes.write(INBOX, UpdateOne(condition, {"$set": {"version": seen[identity], "time": call.now}}, upsert=True))
        await call.changes.commit()
        moment = now()
        for event in events:
            self.metrics.event_lag_seconds.labels(self.reaction.name).observe(max(0.0, (moment - event.time).total_seconds()))
        self.metrics.events_handled.labels(self.reaction.name).inc(len(events))

    async def behind(self) -> bool:
        """Whether there are facts in the stream that were not delivered yet."""
        return bool((await self._info()).num_pending)

    async def waiting(self) -> int:
        """Facts in the stream that had no effect yet: not delivered, or not acknowledged."""
        found = await self._info()
        return int(found.num_pending or 0) + int(found.num_ack_pending or 0)

    async def _info(self) -> ConsumerInfo:
        return await self.context.consumer_info(stream_name(self.reaction.department), self.durable)

    def wants(self, aggregate: str) -> bool:
        """Whether facts about this kind of record (full name of its message) are listened to."""
        return not self.reaction.aggregates or aggregate.rpartition(".")[2] in self.reaction.aggregates

    async def heard(self, aggregate_ids: Iterable[str]) -> dict[str, int]:
        """The version up to which each record's facts took effect; without those of which there was none."""
        rows = self.database[INBOX].find({"_id": {"$in": [self._key(identity) for identity in aggregate_ids]}})
        return {row["_id"].rsplit("|", 1)[1]: row["version"] async for row in rows}

    async def replay(self, row: Mapping[str, Any]) -> None:
        """React to a parked fact now, and only once. Raises what the reaction raises; Conflict where an earlier fact is still missing."""
        event = understood(decode(row["headers"], row["payload"]), self.reaction.upcasters)
        if event.version > (await self.heard([event.aggregate_id])).get(event.aggregate_id, 0):
            self.gaps.add(event.aggregate_id)
            raise Conflict(f"an earlier fact of this record is missing; {event.department} is asked for it, try again in a moment")
        call = await self._call(event)
        with self._span([event]):
            if not row.get("waiting"):  # one that only waited came again and took effect in its turn
                await self.reaction.handle(call, [event])
            call.changes.must_match(PARKED, UpdateOne({"_id": row["_id"], "done": None}, {"$set": {"done": now()}}))
            await call.changes.commit()
        await self._look_again([event])
        await self.database[PARKED].delete_one({"_id": row["_id"]})

    def _key(self, aggregate_id: str) -> str:
        return f"{self.durable}|{aggregate_id}"

    async def _versions(self, events: list[Event]) -> dict[str, int]:
        return await self.heard({event.aggregate_id for event in events})

    async def _wait_for_gap(self, message: Msg, event: Event) -> None:
        """Wait for the fact before; the owner is asked for it when the stream does not bring it at once."""
        if message.metadata.num_delivered >= MOST_DELIVERIES * 10:
            await self._park(message, "an earlier version of the record never arrived", waiting=True)
            return
        if message.metadata.num_delivered >= GAP_DELIVERIES:
            self.gaps.add(event.aggregate_id)
        await message.nak(delay=min(GAP_SECONDS * message.metadata.num_delivered, LONGEST_SECONDS))

    async def _failed(self, message: Msg, error: BaseException) -> None:
        found = {"reaction": self.reaction.name, "subject": message.subject, "deliveries": message.metadata.num_delivered}
        if parent := (message.headers or {}).get("traceparent"):
            found["trace_id"] = parent.split("-")[1]
        if _passes(error):  # somebody is away: the fact waits as long as that takes
            log.info("reaction waits", extra={**found, "reason": str(error)[:200]})
            await message.nak(delay=min(RETRY_SECONDS * message.metadata.num_delivered, LONGEST_SECONDS))
            return
        log.error("reaction failed", extra=found, exc_info=error)
        if message.metadata.num_delivered >= MOST_DELIVERIES or isinstance(error, ValueError):
            await self._park(message, f"{type(error).__name__}: {error}")
        else:
            await message.nak(delay=RETRY_SECONDS)

    async def _park(self, message: Msg, reason: str, *, waiting: bool = False) -> None:
        """Set a message aside with everything needed to look at it and to replay it, before the broker forgets it."""
        row = {"reason": reason[:1000], "subject": message.subject, "headers": dict(message.headers or {}), "payload": message.data,
               "deliveries": message.metadata.num_delivered, "time": now(), "reaction": self.reaction.name, "waiting": waiting}  # fmt: skip
        identity = f"{self.durable}|{(message.headers or {}).get('ce-id') or message.metadata.sequence.stream}"
        await self.database[PARKED].update_one({"_id": identity}, {"$set": row}, upsert=True)
        await self._pass_over(message)
        await message.term()
        self.metrics.events_parked.labels(self.reaction.name).inc()

    async def _pass_over(self, message: Msg) -> None:
        """Count a parked fact as seen, so that later facts of its record are not held up; the parked row keeps it for replay."""
        headers = message.headers or {}
        identity, version = headers.get("ce-subject", ""), headers.get("ce-version", "")
        if not identity or not version.isdigit():
            return
        key, number = self._key(identity), int(version)
        seen = {"_id": key, "version": number - 1} if number > 1 else {"_id": key, "version": {"$exists": False}}
        with contextlib.suppress(DuplicateKeyError):  # an earlier fact is still missing: then this one waits in its turn
            await self.database[INBOX].update_one(seen, {"$set": {"version": number, "time": now()}}, upsert=number == 1)


def checked(message: Msg) -> Event:
    """The event of a message; who may publish on a subject is the broker's to say, so the headers may not tell another story."""
    event = decode(message.headers or {}, message.data)
    if event.subject != message.subject:
        raise ValueError(f"the headers say {event.subject}, it came on {message.subject}")
    return event


def _passes(error: BaseException) -> bool:
    """Whether an error is one of those that end by themselves."""
    if isinstance(error, Duplicate):  # two made the same document at once; the next try finds it
        return error.index == "_id_"
    return isinstance(error, PyMongoError | TimeoutError | OSError) or (isinstance(error, CrmError) and error.retryable)
