"""Good requests for any method, from its contract: what is required is there, and nothing that would change a record."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import date
from itertools import count
from typing import Any

from buf.validate import validate_pb2
from crm.common.v1 import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from chassis.kernel.ids import new_id
from chassis.rpc.documents import traits
from chassis.rpc.handlers import is_required
from tests.support.checks import cny
from tests.support.installation import Installation

FUTURE = 999  # a version that nothing has: who has access is told of the conflict, and nothing is written
LINE = {"quantity": 1, "unit_price": cny(5), "description": "x"}
RETURNED = [{"line_index": 0, "quantity": 1}]
STAGE = {"key": "first", "name": "第一", "probability": 10}
CRITERIA = {"condition": {"field": "name", "operator": 1, "values": [{"text": "nobody"}]}}
GIVEN: dict[str, Any] = {
    "password": "four more words here", "lines": [LINE], "amount": cny(5), "author": 1, "internal": True, "criteria": CRITERIA,
    "stages": [STAGE], "stage_key": "first", "reader_key": "reader-of-the-matrix", "version": FUTURE, "channel": 1, "category": "x",
    "issuer": "https://id.example.com", "redirect_uris": ["https://crm.example.com/back"],
    "url": "https://hooks.invalid/", "event_types": ["crm.sales.v1.OrderCreated"],
    "from_currency": "USD", "to_currency": "CNY", "rate": "7.1",
    "month": "2026-10", "resource": "orders", "fields": ["number"], "start_time": {"seconds": 4_000_000_000}, "end_time": {"seconds": 4_000_000_001},
}  # fmt: skip
# What no two records have alike.
_DAYS, _YEARS = count(date(2001, 1, 1).toordinal()), count(2031)
ANEW: dict[str, Callable[[], Any]] = {
    "first_date": lambda: date.fromordinal(next(_DAYS)).isoformat(),
    "valid_from_year": lambda: next(_YEARS),
}
# What a text may be that means something; where it can, another one each time.
FORMS: dict[int, Callable[[], str]] = {
    annotations_pb2.FORM_PHONE: lambda: f"+861{secrets.randbelow(10**10):010d}",
    annotations_pb2.FORM_EMAIL: lambda: f"{new_id()}@example.com",
    annotations_pb2.FORM_COUNTRY: lambda: "CN",
    annotations_pb2.FORM_CURRENCY: lambda: "CNY",
    annotations_pb2.FORM_WEBSITE: lambda: "https://www.example.com",
    annotations_pb2.FORM_TIME_ZONE: lambda: "Asia/Shanghai",
    annotations_pb2.FORM_LANGUAGE: lambda: "zh-CN",
}
MESSAGES: dict[str, Any] = {"crm.common.v1.Money": cny(5), "google.protobuf.Timestamp": {"seconds": 1_790_000_000}}
CHANGED = ("description", "name", "subject", "text", "title", "post", "is_default", "display_name")
# Not required by the contract, but by the model.
NEEDED = frozenset(("version", "roles", "successor_id"))


def filled(method: MethodDescriptor, crm: Installation, without: set[str]) -> dict[str, Any]:
    """What a request needs to be a good one."""
    found: dict[str, Any] = {}
    for field in method.input_type.fields:
        if field.name == "update_mask":
            path = next(name for name in CHANGED if name in method.input_type.fields_by_name)
            found |= {"update_mask": {"paths": [path]}, path: False if path == "is_default" else new_id()}
        elif field.name not in {"request_id", *without} and (field.name in NEEDED or is_required(field)):
            found[field.name] = _value(field, crm)
    return found


def _value(field: FieldDescriptor, crm: Installation) -> Any:
    if field.name == "owner_id":
        return crm.people["FOREIGN"]
    if field.name in ("home_department_id", "provider_department_id"):
        return crm.units["sales"]
    if field.name == "consumer_department_id":
        return crm.units["other"]
    if field.name == "event_types" and "Source" in field.containing_type.name:
        return ["order.fulfilled"]
    if field.name == "code" and "Factor" in field.containing_type.name:
        return "123456"
    if field.name == "email":
        return f"{new_id()}@example.com"
    if field.name == "lines" and "Return" in field.message_type.name:
        return RETURNED
    if field.name in ANEW:
        return ANEW[field.name]()
    if field.name in GIVEN:
        return GIVEN[field.name]
    return [good(field)] if field.is_repeated else good(field)


def good(field: FieldDescriptor) -> Any:
    """A value that a field's type and rules allow, of a message what is required."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return 1
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.message_type is not None:
        return MESSAGES.get(field.message_type.full_name) or {one.name: good(one) for one in field.message_type.fields if is_required(one)}
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if traits(field).form in FORMS:
            return FORMS[traits(field).form]()
        return "2026-01-01" if traits(field).date else new_id()[-(rules.string.max_len or 26) :]
    number = getattr(rules, rules.WhichOneof("type") or "double")
    return number.gte if number.HasField("gte") else number.gt + 1 if number.HasField("gt") else 1


def given(noun: Any, crm: Installation) -> dict[str, Any]:
    """What of a record is required, for nouns that nobody creates by a command."""
    found = {"campaign_messages": {"state": 1, "address": "x@example.com", "planned_time": {"seconds": 1_790_000_000}}}
    return dict(found.get(noun.resource, {}))


def rows_of(answer: Any) -> Iterator[Any]:
    """The records of an answer, those in its groups too."""
    for field, value in answer.ListFields():
        if field.message_type and field.is_repeated:
            for row in value:
                yield from rows_of(row) if field.name == "groups" else [row]
