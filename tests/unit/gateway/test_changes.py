"""What a history tells is shown in the graph's names, and as the graph shows the field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from crm.common.v1 import money_pb2
from crm.organization.v1 import role_definition_pb2, sharing_contract_service_pb2

from gateway.graph.changes import value_of
from gateway.graph.contract import read, to_global
from gateway.graph.inputs import to_request

MONEY = {"currency_code": "CNY", "amount_micros": 12_500_000}
CASES: list[tuple[str, str, Any, Any, dict[str, Any]]] = [
    ("Opportunity", "name", "年度合同", "年度合同", {"text": "年度合同"}),
    ("Opportunity", "state", "OPEN", "OPEN", {"text": "OPEN"}),
    ("Opportunity", "owner_id", "p1", to_global("Person", "p1"), {"id": to_global("Person", "p1")}),
    ("Opportunity", "amount", MONEY, {"currencyCode": "CNY", "amount": "12.50"}, {"money": money_pb2.Money(**MONEY)}),
    ("Opportunity", "close_date", "2026-11-30", "2026-11-30", {"day": date(2026, 11, 30)}),
    ("Opportunity", "probability", 60, 60, {"number": 60}),
    ("Customer", "collaborator_ids", ["a", "b"], [to_global("Person", "a"), to_global("Person", "b")],
     {"ids": [to_global("Person", "a"), to_global("Person", "b")]}),
    ("Ticket", "resolve_time", datetime(2026, 11, 22, 2, 0, tzinfo=UTC), "2026-11-22T02:00:00.000Z",
     {"time": datetime(2026, 11, 22, 2, 0, tzinfo=UTC)}),
    ("Order", "lines", [{"product_id": "x", "quantity": 2, "unit_price": MONEY}],
     [{"productId": to_global("Product", "x"), "quantity": 2, "unitPrice": {"currencyCode": "CNY", "amount": "12.50"}}], {}),
    ("Contact", "phone", "138****1234", "138****1234", {"text": "138****1234"}),
    ("Customer", "archive_time", None, None, {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "field", "stored", "shown", "typed"), CASES, ids=lambda one: str(one)[:20])
def test_a_value_is_shown_as_the_graph_shows_the_field(kind: str, field: str, stored: Any, shown: Any, typed: dict[str, Any]) -> None:
    found = value_of(kind, field, "" if stored is None else orjson.dumps(stored, default=str).decode())
    if stored is None:
        assert found is None
        return
    assert found is not None and found.value == shown
    for name in ("text", "number", "flag", "money", "time", "day", "id", "ids"):
        assert getattr(found, name) == typed.get(name), name


def test_what_a_segment_asked_for_is_told_as_a_filter() -> None:
    criteria = {"condition": {"field": "owner_id", "operator": "EQUALS", "values": [{"text": "p1"}]}}
    found = value_of("Segment", "criteria", orjson.dumps(criteria).decode())
    assert found is not None and found.value == {"ownerId": {"eq": to_global("Person", "p1")}}


def test_names_of_policies_are_taken_in_both_spellings_and_told_in_the_graphs() -> None:
    shape = role_definition_pb2.RoleFieldPermission
    for resource, field in (("campaignMessages", "contactName"), ("campaign_messages", "contact_name")):
        line: Any = to_request(SimpleNamespace(resource=resource, field=field), shape.DESCRIPTOR)
        assert (line.resource, line.field) == ("campaign_messages", "contact_name")
        assert (read(line, "resource"), read(line, "field")) == ("campaignMessages", "contactName")


def test_a_sharing_contract_takes_fields_as_the_graph_names_them() -> None:
    shape = sharing_contract_service_pb2.CreateSharingContractRequest.DESCRIPTOR
    made: Any = to_request(SimpleNamespace(resource="customers", fields=["taxNumber", "phone", "tax_number"]), shape)
    assert list(made.fields) == ["tax_number", "phone", "tax_number"]
