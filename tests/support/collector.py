"""A real OTLP receiver over HTTP in a thread: what a collector would get."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Found:
    """A span as it arrived, with the service that sent it."""

    service: str
    span: Span

    @property
    def id(self) -> str:
        return str(self.span.span_id.hex())

    @property
    def parent(self) -> str:
        return str(self.span.parent_span_id.hex())

    @property
    def trace(self) -> str:
        return str(self.span.trace_id.hex())

    @property
    def name(self) -> str:
        return str(self.span.name)

    @property
    def kind(self) -> str:
        return Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_")

    @property
    def attributes(self) -> dict[str, str | int]:
        return {item.key: item.value.string_value or item.value.int_value for item in self.span.attributes}


@dataclass
class Collector:
    """Its address, and the bodies that it took."""

    address: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Found]:
        found = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {item.key: item.value.string_value for item in resource.resource.attributes}
                found += [Found(names["service.name"], span) for scope in resource.scope_spans for span in scope.spans]
        return found


@contextmanager
def collector() -> Iterator[Collector]:
    """Running until the block ends."""
    taken: list[bytes] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_port}", taken)
    finally:
        server.shutdown()
