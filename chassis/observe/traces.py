"""Traces by OpenTelemetry, when an endpoint is configured; W3C context in gRPC metadata and event headers, else nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


class Traces:
    """Spans of one service; without an endpoint every span is the no-op one."""

    def __init__(self, service: str, endpoint: str = "") -> None:
        self.tracer: Tracer | None = None
        self._provider: Any = None
        if endpoint:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            provider = TracerProvider(resource=Resource.create({"service.name": f"crm-{service}"}))
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
            self.tracer, self._provider = provider.get_tracer("crm"), provider

    def flush(self) -> None:
        """Send what waits; blocks until it is sent or five seconds have passed."""
        if self._provider is not None:
            self._provider.force_flush(5000)

    @contextmanager
    def span(self, name: str, parent: Mapping[str, str] | None = None, **attributes: str | int) -> Iterator[Span]:
        """A span around a block, below the W3C `traceparent` in `parent` if there is one."""
        if self.tracer is None:
            yield trace.INVALID_SPAN
            return
        context = _propagator.extract(dict(parent or {}))
        with self.tracer.start_as_current_span(name, context=context if parent else None, attributes=dict(attributes)) as span:
            yield span


def traceparent() -> str:
    """The W3C header of the current span; "" outside of one."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")
