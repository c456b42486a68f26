"""Traces by OpenTelemetry, when an endpoint is configured; W3C context in gRPC metadata and event headers, else nothing.

Names and attributes are those of OpenTelemetry's conventions: methods, collections, streams. Never a value that somebody entered, no
record's content, no text of an exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

EXPORT_SECONDS = 3.0
_propagator = TraceContextTextMapPropagator()
_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)  # of the service whose span runs now
_NOTHING: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)
Attributes = Mapping[str, str | int]


class Traces:
    """Spans of one service; without an endpoint every span is the no-op one. Which traces are kept says OTEL_TRACES_SAMPLER."""

    def __init__(self, service: str, endpoint: str = "") -> None:
        self.tracer: Tracer | None = None
        self._provider: Any = None
        if endpoint:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            provider = TracerProvider(resource=Resource.create({"service.name": f"crm-{service}"}), shutdown_on_exit=False)
            exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
            provider.add_span_processor(BatchSpanProcessor(exporter))
            self.tracer, self._provider = provider.get_tracer("crm"), provider

    def flush(self) -> None:
        """Send what waits; blocks until it is sent or the collector has not answered for three seconds."""
        if self._provider is not None:
            self._provider.force_flush(int(EXPORT_SECONDS * 1000))

    def span(
        self, name: str, parent: str = "", kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
    ) -> AbstractContextManager[Span]:
        """A span around a block, below the W3C `traceparent` if there is one."""
        if self.tracer is None:
            return _NOTHING
        return _around(self.tracer, name, _extracted(parent) if parent else None, kind, attributes)

    def start(self, name: str, parent: str, kind: SpanKind, attributes: Attributes) -> Span:
        """A span below the W3C `traceparent`, to be ended by whoever starts it; the no-op one where there is no parent."""
        if self.tracer is None or not parent:
            return INVALID_SPAN
        return self.tracer.start_span(name, _extracted(parent), kind, attributes)

    def batch(self, name: str, parents: Sequence[str], attributes: Attributes) -> AbstractContextManager[Span]:
        """A span around work for several messages at once: below the first one's trace and linked to all others'. Each of those gets
        a span of its own that links back, so that no trace ends before the effect."""
        if self.tracer is None:
            return _NOTHING
        return self._batch(self.tracer, name, parents, attributes)

    @contextmanager
    def _batch(self, tracer: Tracer, name: str, parents: Sequence[str], attributes: Attributes) -> Iterator[Span]:
        found: dict[int, Context] = {}
        for parent in parents:
            context = _extracted(parent)
            found.setdefault(_place(context).trace_id, context)
        found.pop(0, None)
        first, others = next(iter(found.values()), None), list(found.values())[1:]
        links = [Link(_place(context)) for context in others]
        with _around(tracer, name, first, SpanKind.CONSUMER, attributes, links) as span:
            back = [Link(span.get_span_context())]
            beside = [tracer.start_span(name, context, SpanKind.CONSUMER, attributes, back) for context in others]
            try:
                yield span
            finally:
                for other in beside:
                    other.end()


def inner(name: str, kind: SpanKind, attributes: Attributes) -> AbstractContextManager[Span]:
    """A span below the one that runs now, of the same service; the no-op one outside of any, and in a trace that is not kept."""
    tracer = _tracer.get()
    return _NOTHING if tracer is None or not _kept() else _around(tracer, name, None, kind, attributes)


def begin(name: str, kind: SpanKind, attributes: Attributes) -> Span | None:
    """The same without a block, to be ended by whoever begins it; None instead of the no-op one."""
    tracer = _tracer.get()
    return None if tracer is None or not _kept() else tracer.start_span(name, None, kind, attributes)


def failed(span: Span, code: str) -> None:
    """The work of a span failed. The code says why, no text does: texts repeat what people entered."""
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", code)


def place() -> dict[str, str]:
    """Trace and span that run now, as log lines name them; empty outside of any."""
    if _tracer.get() is None:
        return {}
    found = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)} if found.is_valid else {}


def traceparent(span: Span | None = None) -> str:
    """The W3C header of a span, or of the current one; "" outside of one."""
    if span is None and _tracer.get() is None:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, None if span is None else trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


@contextmanager
def _around(
    tracer: Tracer, name: str, context: Context | None, kind: SpanKind, attributes: Attributes | None, links: Sequence[Link] = ()
) -> Iterator[Span]:
    token = _tracer.set(tracer)
    try:
        with tracer.start_as_current_span(
            name, context, kind, attributes, links, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                failed(span, str(getattr(error, "code", "")) or type(error).__name__)
                raise
    finally:
        _tracer.reset(token)


def _kept() -> bool:
    return trace.get_current_span().is_recording()


def _extracted(parent: str) -> Context:
    return _propagator.extract({"traceparent": parent}, Context())


def _place(context: Context) -> trace.SpanContext:
    return trace.get_current_span(context).get_span_context()
