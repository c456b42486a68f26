"""What changed in a record, typed and in the graph's names: the field, and its value before and after as the graph shows that field."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import strawberry
from crm.common.v1 import history_pb2, money_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from strawberry.types import Info

from chassis.rpc.contract import nouns
from chassis.rpc.documents import traits
from gateway.departments.spelling import camel
from gateway.graph.contract import Json, Money, output_class
from gateway.graph.edges import edge
from gateway.graph.shown import shown

_TIME, _MONEY = "google.protobuf.Timestamp", "crm.common.v1.Money"


@strawberry.type(
    description="A value of a field. `value` always has it; beside it, the one that fits the field's type, where it is shown whole."
)
class FieldValue:
    """A value in JSON, and typed."""

    value: Json = strawberry.field(description="As the graph shows the field: lists and objects too.")
    text: str | None = strawberry.field(default=None, description="Of a text, and of an enum its word.")
    number: float | None = strawberry.field(default=None, description="Of a number.")
    flag: bool | None = strawberry.field(default=None, description="Of a yes or no.")
    money: Money | None = strawberry.field(default=None, description="Of an amount.")
    time: datetime | None = strawberry.field(default=None, description="Of a moment.")
    day: date | None = strawberry.field(default=None, description="Of a day.")
    id: strawberry.ID | None = strawberry.field(default=None, description="Of a reference: the id of the record.")
    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Of several references: the ids of the records.")


def hang(method: MethodDescriptor) -> None:
    """Give the type of a change its typed fields; `method` is the one that tells changes."""
    change: Any = output_class(history_pb2.FieldChange.DESCRIPTOR)
    change.name = edge(_each(lambda row: camel(row.field)), {}, str, "The field, as the graph names it.", method)
    none = "null for none, or where you get nothing of the field."
    change.was = edge(
        _each(lambda row: value_of(row.kind, row.field, row.before)), {}, FieldValue | None, f"The value before; {none}", method
    )
    change.became = edge(
        _each(lambda row: value_of(row.kind, row.field, row.after)), {}, FieldValue | None, f"The value after; {none}", method
    )


def _each(one: Callable[[Any], Any]) -> Any:
    async def resolve(roots: Sequence[Any], info: Info) -> Sequence[Any]:
        return [one(root) for root in roots]

    return resolve


def value_of(kind: str, name: str, told: str) -> FieldValue | None:
    """The value of a field of a kind of record, from its JSON as a history tells it; None for ""."""
    contract = next((noun for noun in nouns() if noun.name == kind), None)
    if not told or contract is None:
        return None
    field, stored = contract.field(name), json.loads(told)
    value = shown(stored, field)
    return FieldValue(value=value, **_typed(value, stored, field))


def _typed(value: Any, stored: Any, field: FieldDescriptor) -> dict[str, Any]:
    refers = bool(traits(field).refers_to)
    if field.is_repeated:
        return {"ids": value} if refers else {}
    if field.message_type is not None:
        return _of_message(stored, field.message_type.full_name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return {"flag": value}
    if not isinstance(value, str):
        return {"number": value}
    if traits(field).date:
        try:
            return {"day": date.fromisoformat(value)}
        except ValueError:
            return {}  # masked
    return {"id": value} if refers else {"text": value}


def _of_message(stored: Any, name: str) -> dict[str, Any]:
    if name == _TIME:
        return {"time": datetime.fromisoformat(stored)}
    if name == _MONEY and isinstance(stored, dict):
        return {"money": money_pb2.Money(**stored)}
    return {}
