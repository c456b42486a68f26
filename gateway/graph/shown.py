"""Values of a record's fields as the graph shows them, from how documents of a department have them: for histories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crm.common.v1 import criteria_pb2
from google.protobuf.descriptor import FieldDescriptor

from chassis.rpc.documents import to_message, traits
from gateway.departments.ids import to_global
from gateway.departments.spelling import camel
from gateway.graph.criteria import as_filter, criteria_of
from gateway.graph.values import moment_text, plain_amount

_CRITERIA, _MONEY, _TIME = "crm.common.v1.Criteria", "crm.common.v1.Money", "google.protobuf.Timestamp"


def shown(value: Any, field: FieldDescriptor) -> Any:
    """A value of a record's field, as its document has it, as JSON in the graph's names. What is masked comes as it is."""
    if value is None:
        return None
    if field.is_repeated and isinstance(value, list):
        return [_one(item, field) for item in value]
    return _one(value, field)


def _one(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return _message(value, field) if isinstance(value, Mapping) or field.message_type.full_name == _TIME else value
    if isinstance(value, str):
        mark = traits(field)
        return to_global(mark.refers_to, value) if mark.refers_to else camel(value) if mark.names else value
    return value


def _message(value: Any, field: FieldDescriptor) -> Any:
    name = field.message_type.full_name
    if name == _TIME:
        return moment(value)
    if name == _MONEY:
        return {"currencyCode": value.get("currency_code", ""), "amount": str(plain_amount(value.get("amount_micros", 0)))}
    if name == _CRITERIA:
        return as_filter(to_message(dict(value), criteria_pb2.Criteria.DESCRIPTOR), criteria_of(field))
    inner = field.message_type.fields_by_name
    return {camel(key): shown(one, inner[key]) for key, one in value.items() if key in inner}


def moment(value: Any) -> str:
    """A moment as an ISO text, in the graph's own form."""
    return moment_text(value if isinstance(value, datetime) else datetime.fromisoformat(str(value)))
