"""Traces leave for a collector when one is configured, and join the caller's trace; without one nothing is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chassis.observe.traces import Traces, traceparent


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A real OTLP receiver over HTTP: its address, and the bodies that it took."""
    taken: list[bytes] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()


def test_spans_reach_the_collector_within_the_callers_trace(collector: tuple[str, list[bytes]]) -> None:
    address, taken = collector
    traces = Traces("sales", address)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with traces.span("outer", {"traceparent": parent}, resource="orders"):
        inside = traceparent()
        with traces.span("inner"):
            pass
    traces.flush()
    resource = next(span for body in taken for span in ExportTraceServiceRequest.FromString(body).resource_spans)
    spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}["service.name"] == "crm-sales"
    assert spans["outer"].trace_id.hex() == spans["inner"].trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert spans["outer"].parent_span_id.hex() == "b7ad6b7169203331"
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert inside == f"00-0af7651916cd43dd8448eb211c80319c-{spans['outer'].span_id.hex()}-01"


def test_without_a_collector_there_is_no_trace() -> None:
    traces = Traces("sales")
    with traces.span("outer"):
        assert traceparent() == ""
    traces.flush()
