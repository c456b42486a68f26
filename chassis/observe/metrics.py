"""Prometheus metrics with few labels: RPCs, MongoDB commands, events. One registry a service, so several fit in a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar

from opentelemetry.trace import Span, SpanKind
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from chassis.observe.traces import begin, failed

disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody asks when a counter began
_command: ContextVar[Span | None] = ContextVar("command", default=None)  # a task has one command on its way
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
READS = frozenset(("find", "aggregate", "getMore", "count", "distinct"))


class Metrics:
    """What a service counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rpc_seconds = Histogram(
            "crm_rpc_seconds", "Time of an RPC, by method and code", ["method", "code"], registry=self.registry, buckets=BUCKETS
        )
        self.mongo_commands = Counter(
            "crm_mongo_commands", "MongoDB commands, by name and collection", ["command", "collection"], registry=self.registry
        )
        self.mongo_seconds = Histogram(
            "crm_mongo_seconds", "Time of a MongoDB command", ["command"], registry=self.registry, buckets=BUCKETS
        )
        self.events_published = Counter(
            "crm_events_published", "Events acknowledged by JetStream, by type", ["type"], registry=self.registry
        )
        self.events_handled = Counter(
            "crm_events_handled", "Events whose effect was committed, by reaction", ["reaction"], registry=self.registry
        )
        self.events_ignored = Counter("crm_events_ignored", "Repeated events, by reaction", ["reaction"], registry=self.registry)
        self.events_parked = Counter(
            "crm_events_parked", "Events set aside after failing, by reaction", ["reaction"], registry=self.registry
        )
        self.event_lag_seconds = Histogram(
            "crm_event_lag_seconds",
            "From the commit of a fact to its effect, by reaction",
            ["reaction"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.timer_late_seconds = Histogram(
            "crm_timer_late_seconds",
            "From the moment that was set to its effect, by timer",
            ["timer"],
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.timer_failures = Counter(
            "crm_timer_failures", "Firings that failed and are tried again, by timer", ["timer"], registry=self.registry
        )
        self.access_refused = Counter("crm_access_refused", "Calls refused by policy, by resource", ["resource"], registry=self.registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)


class Counts(Collector):
    """A counter with one label over numbers that somebody keeps anyway: on a hot path a count costs one addition."""

    def __init__(self, name: str, explain: str, label: str, read: Callable[[], Mapping[str, int]]) -> None:
        self.name, self.explain, self.label, self.read = name, explain, label, read

    def collect(self) -> Iterable[Metric]:
        """The numbers as they are now."""
        family = CounterMetricFamily(self.name, self.explain, labels=[self.label])
        for value, count in self.read().items():
            family.add_metric([value], count)
        return [family]


class CommandMetrics(CommandListener):
    """Counts what the driver sends, and gives each command within a span a short one of its own; tests assert one query a call by it."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def started(self, event: CommandStartedEvent) -> None:
        """A command left."""
        collection = event.command.get(event.command_name)
        if event.command_name == "aggregate" and collection == 1:
            stages = event.command.get("pipeline", [])
            collection = next((stage["$lookup"]["from"] for stage in stages if "$lookup" in stage), "")
        # What a worker asks over and over carries a comment, and is counted under it: it is no answer to anybody.
        where = event.command.get("comment") or (collection if isinstance(collection, str) else "")
        self.metrics.mongo_commands.labels(event.command_name, where).inc()
        attributes = {"db.system.name": "mongodb", "db.operation.name": event.command_name, "db.collection.name": where}
        _command.set(begin(f"{event.command_name} {where}".strip(), SpanKind.CLIENT, attributes))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """A command came back."""
        if span := _command.get():
            span.end()
        self.metrics.mongo_seconds.labels(event.command_name).observe(event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        """A command failed."""
        if span := _command.get():
            failed(span, str(event.failure.get("codeName", "")))
            span.end()
        self.metrics.mongo_seconds.labels(event.command_name).observe(event.duration_micros / 1e6)
