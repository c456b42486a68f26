"""A history tells what was said: with which values a record was made, and why what was done with it was done."""

from __future__ import annotations

from typing import Any

import orjson
from crm.common.v1 import history_service_pb2

from tests.support.checks import cny, mask, refused
from tests.support.installation import Installation

SERVICE = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"]


async def history(crm: Installation, department: str, resource: str, identity: str) -> list[Any]:
    """Entries, the oldest first."""
    request = history_service_pb2.ListRecordHistoryRequest(resource=resource, record_id=identity)
    answer = await crm.channels[department].call(SERVICE, "ListRecordHistory", request, token=crm.tokens["COORDINATOR"])
    return list(answer.entries)[::-1]


def values(entry: Any) -> dict[str, Any]:
    return {change.field: orjson.loads(change.after or "null") for change in entry.changes}


async def test_it_tells_the_values_with_which_a_record_was_made_and_why_it_was_reopened(crm: Installation) -> None:
    stages = [{"key": "a", "name": "A", "probability": 10.0}]
    pipeline = (await crm.ask("CreatePipeline", role="SALES_LEAD", name="told", stages=stages)).pipeline
    made = (await crm.ask("CreateOpportunity", role="SALES_REP", name="讲述", pipeline_id=pipeline.id, amount=cny(7))).opportunity
    archive = crm.ask("ArchivePipeline", role="SALES_LEAD", pipeline_id=pipeline.id)
    await refused(crm, "sales.pipelines", archive, "PIPELINE_IN_USE", record_id=pipeline.id)
    await crm.ask("LoseOpportunity", role="SALES_REP", opportunity_id=made.id, reason="price")
    again = (await crm.ask("ReopenOpportunity", role="SALES_REP", opportunity_id=made.id, reason="they called")).opportunity
    assert not again.HasField("close_reason"), "it is not decided, so there is no reason of a decision"
    created, lost, reopened = await history(crm, "sales", "opportunities", made.id)
    assert values(created)["name"] == "讲述"
    assert values(created)["amount"] == {"currency_code": "CNY", "amount_micros": 7_000_000}
    assert (created.reason, lost.reason, reopened.reason) == ("", "price", "they called")
    await crm.ask("LoseOpportunity", role="SALES_REP", opportunity_id=made.id, reason="price")
    await crm.ask("ArchivePipeline", role="SALES_LEAD", pipeline_id=pipeline.id)


async def test_it_tells_why_goods_came_back_and_no_personal_value(crm: Installation) -> None:
    customer = (await crm.ask("CreateCustomer", role="SALES_REP", kind=2, name="讲述者", phone="13812349876")).customer
    made = (await crm.ask("CreateOrder", role="SALES_REP", customer_id=customer.id, lines=[{"quantity": 2, "unit_price": cny(3)}])).order
    await crm.ask("FulfillOrder", role="SALES_REP", order_id=made.id)
    lines = [{"line_index": 0, "quantity": 1}]
    back = (await crm.ask("ReturnOrder", role="SALES_REP", order_id=made.id, reason="scratched", lines=lines)).order
    assert [entry.reason for entry in await history(crm, "sales", "orders", made.id)] == ["", "", "scratched"]
    assert [entry.reason for entry in await history(crm, "sales", "orders", back.id)] == ["scratched"]
    (entry,) = await history(crm, "customer", "customers", customer.id)
    assert "1234" not in values(entry)["phone"]


async def test_an_import_is_not_written_twice(crm: Installation) -> None:
    row = {"source_key": "told:1", "code": "TOLD-1", "name": "told"}
    identity = (await crm.ask("BatchUpsertProducts", products=[row])).outcomes[0].id
    await crm.ask("UpdateProduct", product_id=identity, version=1, update_mask=mask("name"), name="anew")
    made, changed = await history(crm, "sales", "products", identity)
    assert (values(made), values(changed)) == ({}, {"name": "anew"})
