"""Traces leave for a collector when one is configured, and join the caller's trace; without one nothing is sent. Log lines name them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import INVALID_SPAN, SpanKind

from chassis.kernel.errors import NotFound
from chassis.observe.logs import JsonLines
from chassis.observe.traces import Traces, begin, inner, traceparent
from tests.support.collector import Collector, collector

TRACE, ABOVE = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{ABOVE}-01"


@pytest.fixture
def receiver() -> Iterator[Collector]:
    with collector() as running:
        yield running


def line(text: str) -> dict[str, str]:
    """What a log line holds when it is written now."""
    return json.loads(JsonLines("sales").format(logging.makeLogRecord({"msg": text})))


def test_spans_reach_the_collector_within_the_callers_trace(receiver: Collector) -> None:
    traces = Traces("sales", receiver.address)
    with traces.span("outer", PARENT):
        inside = traceparent()
        with inner("inner", SpanKind.CLIENT, {"rpc.method": "x/y"}):
            pass
    traces.flush()
    spans = {span.name: span for span in receiver.spans()}
    assert {(span.service, span.trace) for span in spans.values()} == {("crm-sales", TRACE)}
    assert (spans["outer"].parent, spans["inner"].parent) == (ABOVE, spans["outer"].id)
    assert (spans["inner"].kind, spans["inner"].attributes) == ("CLIENT", {"rpc.method": "x/y"})
    assert inside == f"00-{TRACE}-{spans['outer'].id}-01"


def test_a_failure_is_told_by_its_code_and_never_by_its_text(receiver: Collector) -> None:
    traces = Traces("sales", receiver.address)
    with pytest.raises(NotFound), traces.span("refused"):
        raise NotFound("there is no customer 王小姐", code="CUSTOMER_NOT_FOUND")
    with pytest.raises(ValueError, match="王小姐"), traces.span("broken"):
        raise ValueError("王小姐")
    traces.flush()
    found = {span.name: span for span in receiver.spans()}
    assert {name: span.attributes["error.type"] for name, span in found.items()} == {
        "refused": "CUSTOMER_NOT_FOUND",
        "broken": "ValueError",
    }
    assert {span.span.status.code for span in found.values()} == {Status.STATUS_CODE_ERROR}
    assert [body for body in receiver.bodies if "王小姐".encode() in body] == []


def test_a_batch_of_facts_ends_no_trace_before_its_effect(receiver: Collector) -> None:
    traces = Traces("support", receiver.address)
    other, again = f"00-{'1' * 32}-{'2' * 16}-01", f"00-{TRACE}-{'3' * 16}-01"
    with traces.batch("process", [PARENT, other, again, ""], {"messaging.batch.message_count": 4}):
        inside = traceparent()
    traces.flush()
    spans = {span.trace: span for span in receiver.spans()}
    assert set(spans) == {TRACE, "1" * 32}
    work, beside = spans[TRACE], spans["1" * 32]
    assert inside == f"00-{TRACE}-{work.id}-01"
    assert (work.parent, beside.parent) == (ABOVE, "2" * 16)
    assert [link.trace_id.hex() for link in work.span.links] == ["1" * 32]
    assert [link.span_id.hex() for link in beside.span.links] == [work.id]


def test_a_trace_that_the_caller_does_not_keep_is_not_kept_here(receiver: Collector) -> None:
    traces = Traces("sales", receiver.address)
    with traces.span("outer", f"00-{TRACE}-{ABOVE}-00"):
        assert traceparent().startswith(f"00-{TRACE}-")
        assert traceparent().endswith("-00")
        with inner("inner", SpanKind.CLIENT, {}) as inside:
            assert (inside, begin("find", SpanKind.CLIENT, {}), traceparent()[-2:]) == (INVALID_SPAN, None, "00")
    traces.flush()
    assert receiver.bodies == []


def test_log_lines_within_a_span_name_its_trace(receiver: Collector) -> None:
    traces = Traces("sales", receiver.address)
    with traces.span("outer", PARENT):
        inside = line("refused")
    traces.flush()
    assert (inside["trace_id"], inside["span_id"]) == (TRACE, receiver.spans()[0].id)
    assert {"trace_id", "span_id"} & line("refused").keys() == set()


def test_without_a_collector_there_is_no_trace() -> None:
    traces = Traces("sales")
    with (
        traces.span("outer", PARENT) as outer,
        inner("inner", SpanKind.CLIENT, {}) as inside,
        traces.batch("process", [PARENT], {}) as batch,
    ):
        assert [outer, inside, batch, traces.start("publish", PARENT, SpanKind.PRODUCER, {})] == [INVALID_SPAN] * 4
        assert (traceparent(), begin("find", SpanKind.CLIENT, {})) == ("", None)
        assert "trace_id" not in line("x")
    traces.flush()
