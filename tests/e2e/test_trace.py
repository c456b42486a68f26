"""One mutation is one trace: from the operation through the departments to the effects of its facts, and of their facts again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from cli.engines import free_port, start_nats
from cli.plan import DEPARTMENTS
from tests.component.sales.test_sales import STAGES
from tests.support.collector import Found, collector
from tests.support.installation import Engines, Installation

NAME, PHONE, DEAL, WHY = "上海慕云澜汐贸易有限公司", "021-5555 1234", "秘密的机会", "王小姐介绍的"
CREATE_CUSTOMER = """mutation NewCustomer($name: String!, $phone: String) {
  customerCreate(input: {kind: COMPANY, name: $name, phone: $phone}) { customer { id } errors { code } } }"""
CREATE_DEAL = """mutation NewDeal($id: ID!, $name: String!) {
  opportunityCreate(input: {customerId: $id, name: $name}) { opportunity { id } errors { code } } }"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Found]]:
    """Every span of an installation in which a customer and an opportunity were made."""
    folder = tmp_path_factory.mktemp("trace")
    nats, url = await start_nats(folder / "nats", free_port(), folder / "nats.log")
    with collector() as receiver:
        installation = Installation(engines, url)
        installation.plan.otlp_endpoint = receiver.address
        await installation.start()
        try:
            await _work(installation)
        finally:
            await installation.stop()
            await nats.stop()
        yield receiver.spans()


async def _work(crm: Installation) -> None:
    await crm.ask("CreatePipeline", name="p", stages=STAGES, is_default=True)
    headers = {"X-Purpose": quote(WHY)}
    made = await crm.data(CREATE_CUSTOMER, name=NAME, phone=PHONE)
    await crm.settled()
    body = await crm.graph(CREATE_DEAL, headers=headers, id=made["customerCreate"]["customer"]["id"], name=DEAL)
    assert body["data"]["opportunityCreate"]["errors"] == []
    await crm.settled()


def trace_of(told: list[Found], name: str) -> list[Found]:
    root = next(span for span in told if span.name == name)
    return [span for span in told if span.trace == root.trace]


def path_to(span: Found, trace: list[Found]) -> list[tuple[str, str]]:
    """Services and names from the beginning of the trace to a span."""
    by_id = {other.id: other for other in trace}
    found = [(span.service, span.name)]
    while span.parent:
        span = by_id[span.parent]
        found.insert(0, (span.service, span.name))
    return found


def test_every_span_hangs_below_the_operation(told: list[Found]) -> None:
    trace = trace_of(told, "NewDeal")
    assert [span.name for span in trace if not span.parent] == ["NewDeal"]
    assert {path_to(span, trace)[0] for span in trace} == {("crm-gateway", "NewDeal")}


def test_the_way_from_the_operation_to_the_effects_effects_in_a_third_department(told: list[Found]) -> None:
    trace = trace_of(told, "NewDeal")
    last = next(span for span in trace if span.name == "process marketing-collaboration-customer")
    assert path_to(last, trace) == [
        ("crm-gateway", "NewDeal"),
        ("crm-gateway", "crm.sales.v1.OpportunityService/CreateOpportunity"),
        ("crm-sales", "crm.sales.v1.OpportunityService/CreateOpportunity"),
        ("crm-sales", "publish CRM_SALES"),
        ("crm-customer", "process customer-accesses-sales"),
        ("crm-customer", "publish CRM_CUSTOMER"),
        ("crm-marketing", "process marketing-collaboration-customer"),
    ]
    assert {span.service for span in trace} == {
        "crm-gateway",
        "crm-sales",
        "crm-customer",
        "crm-marketing",
        "crm-support",
        "crm-organization",
    }


def test_a_department_that_asks_another_one_and_the_commands_of_its_database_are_in_it(told: list[Found]) -> None:
    trace = trace_of(told, "NewDeal")
    service = ("crm-sales", "crm.sales.v1.OpportunityService/CreateOpportunity")
    asked = "crm.customer.v1.CustomerService/BatchGetCustomers"
    paths = [path_to(span, trace)[2:] for span in trace]
    assert [service, ("crm-sales", asked), ("crm-customer", asked), ("crm-customer", "find customers")] in paths
    assert [service, ("crm-sales", "insert opportunities")] in paths
    assert [service, ("crm-sales", "insert outbox")] in paths
    assert [service, ("crm-sales", "commitTransaction")] in paths


def test_spans_say_by_convention_what_they_are(told: list[Found]) -> None:
    trace = trace_of(told, "NewDeal")
    kinds = {(span.name.split(" ")[0].split(".")[0], span.kind) for span in trace}
    assert {("NewDeal", "SERVER"), ("crm", "CLIENT"), ("crm", "SERVER"), ("publish", "PRODUCER"), ("process", "CONSUMER")} <= kinds
    root = next(span for span in trace if not span.parent)
    assert root.attributes == {"graphql.operation.type": "mutation", "graphql.operation.name": "NewDeal", "crm.errors": 0}
    write = next(span for span in trace if span.name == "insert outbox")
    assert write.attributes == {"db.system.name": "mongodb", "db.operation.name": "insert", "db.collection.name": "outbox"}
    sent = next(span for span in trace if span.name == "publish CRM_SALES")
    assert sent.attributes == {
        "messaging.system": "nats", "messaging.destination.name": "CRM_SALES", "messaging.operation.name": "publish",
        "crm.event": "crm.sales.v1.OpportunityCreated",
    }  # fmt: skip


def test_nothing_that_somebody_entered_is_in_any_trace(told: list[Found]) -> None:
    everything = b"".join(span.span.SerializeToString() for span in told)
    entered = [NAME, PHONE, DEAL, WHY, "example.com", "four words", "总部", "人 "]
    assert [text for text in entered if text.encode() in everything] == []
    known = {"rpc.system.name", "rpc.method", "crm.code", "error.type", "graphql.operation.type", "graphql.operation.name", "crm.errors",
             "db.system.name", "db.operation.name", "db.collection.name", "messaging.system", "messaging.destination.name",
             "messaging.operation.name", "messaging.consumer.group.name", "messaging.batch.message_count", "crm.event"}  # fmt: skip
    assert {key for span in told for key in span.attributes} <= known
    assert [span.name for span in told if span.span.events] == []  # no exceptions with their texts


def test_every_department_tells_of_itself(told: list[Found]) -> None:
    assert {span.service for span in told} == {f"crm-{name}" for name in (*DEPARTMENTS, "gateway")}
