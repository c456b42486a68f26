"""Orders that a client makes of a record's fields: an enum of these, and an input for each noun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from typing import Any

import strawberry
from crm.common.v1 import criteria_pb2
from google.protobuf.descriptor import Descriptor

from chassis.rpc.documents import sortable_fields
from gateway.graph.contract import comment, is_money


@strawberry.enum(description="Which end of an order comes first.")
class SortDirection(Enum):
    """The two directions."""

    ASC = strawberry.enum_value("ASC", description="The smallest, the earliest; what has no value comes before all.")
    DESC = strawberry.enum_value("DESC", description="The largest, the latest; what has no value comes last.")


@cache
def sort_type(row: Descriptor) -> Any:
    """The input that names one key of an order; None for a record without a field to sort by."""
    fields = sortable_fields(row)
    if not fields:
        return None
    values = {name.upper(): strawberry.enum_value(name, description=comment(field.full_name)) for name, field in fields.items()}
    named = strawberry.enum(
        Enum(f"{row.name}SortField", values),  # type: ignore[call-overload]
        name=f"{row.name}SortField",
        description=f"Fields by which {row.name} records are sorted.",
    )
    namespace: dict[str, Any] = {
        "__annotations__": {"field": named, "direction": SortDirection},
        "field": strawberry.field(description="By which field."),
        "direction": strawberry.field(default=SortDirection.ASC, description="Which end comes first."),
    }
    if any(field.message_type and is_money(field.message_type) for field in fields.values()):
        namespace["__annotations__"]["currency_code"] = str | None
        words = (
            "Of an amount: the currency whose amounts are compared, those of others counting as none. All are compared in the company's, by the "
            "rates of today, when not given."
        )
        namespace["currency_code"] = strawberry.field(default=strawberry.UNSET, description=words)
    made = type(f"{row.name}Sort", (), namespace)
    return strawberry.input(made, name=f"{row.name}Sort", description=f"One key of an order of {row.name} records.")


def sort_keys(given: Sequence[Any]) -> Iterator[criteria_pb2.SortKey]:
    """The keys that were given, as contracts have them."""
    for one in given:
        code = getattr(one, "currency_code", None) or None
        yield criteria_pb2.SortKey(field=one.field.value, descending=one.direction is SortDirection.DESC, currency_code=code)
