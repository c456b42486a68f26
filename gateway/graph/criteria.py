"""Criteria that a record holds, as the filters of the graph have them: what comes out can be sent back in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from crm.common.v1 import criteria_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from chassis.rpc.documents import traits
from gateway.departments.ids import to_global
from gateway.departments.spelling import camel
from gateway.graph.values import plain_amount, time_text

# Comparison of a filter → operator of the criteria.
OPERATORS = {
    "eq": "OPERATOR_EQUALS", "in_": "OPERATOR_IN", "lt": "OPERATOR_LESS", "lte": "OPERATOR_LESS_OR_EQUAL", "gt": "OPERATOR_GREATER",
    "gte": "OPERATOR_GREATER_OR_EQUAL", "is_set": "OPERATOR_IS_SET", "starts_with": "OPERATOR_STARTS_WITH",
    "contains": "OPERATOR_CONTAINS",
    "eq_relative": "OPERATOR_EQUALS", "lt_relative": "OPERATOR_LESS", "lte_relative": "OPERATOR_LESS_OR_EQUAL",
    "gt_relative": "OPERATOR_GREATER", "gte_relative": "OPERATOR_GREATER_OR_EQUAL",
}  # fmt: skip
_KEYS = {name: ("in" if name == "in_" else camel(name)) for name in OPERATORS}
_ORDER = {key: place for place, key in enumerate(_KEYS.values())}
_PLAIN = {number: _KEYS[name] for name, number in OPERATORS.items() if not name.endswith("_relative")}
_RELATIVE = {number: _KEYS[name] for name, number in OPERATORS.items() if name.endswith("_relative")}
_JOINS = ("and", "or", "not")


def as_filter(criteria: Any, record: Descriptor) -> dict[str, Any]:
    """Criteria in the language that filters of the record take: what it gives, sent back, means the same criteria again."""
    node = criteria.WhichOneof("node")
    if node == "negated":
        return {"not": as_filter(criteria.negated, record)}
    if node == "any":
        return {"or": [as_filter(item, record) for item in criteria.any.items]}
    if node == "all":
        items = [as_filter(item, record) for item in criteria.all.items]
        nested = any(item.WhichOneof("node") == "all" for item in criteria.all.items)
        return (not nested and _together(items, record)) or {"and": items}
    return _condition(criteria.condition, record) if node else {}


def _condition(condition: Any, record: Descriptor) -> dict[str, Any]:
    field = record.fields_by_name.get(condition.field)
    operator = criteria_pb2.Operator.Name(condition.operator)
    relative = any((one.WhichOneof("kind") or "").startswith("relative_") for one in condition.values)
    key = (_RELATIVE if relative else _PLAIN).get(operator, operator)
    values = [_value(one, field, key == "isSet") for one in condition.values]
    given = {key: values if key == "in" else next(iter(values), None)}
    return {camel(condition.field): given | ({"currencyCode": condition.currency_code} if condition.HasField("currency_code") else {})}


def _value(value: Any, field: FieldDescriptor | None, flag: bool) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    given = getattr(value, kind)
    if kind in ("relative_days", "relative_seconds"):
        return {kind.removeprefix("relative_"): given}
    if kind == "time":
        return time_text(given)
    if flag or field is None:
        return given
    if kind == "number" and field.message_type is not None:
        return str(plain_amount(given))
    noun = field.containing_type.name if field.name == "id" else traits(field).refers_to
    return to_global(noun, given) if kind == "text" and noun else given


def _together(items: list[dict[str, Any]], record: Descriptor) -> dict[str, Any]:
    """Several filters as one object, where reading that gives them in the same order; {} where it would not."""
    places = [place for item in items for place in _places(item, record)]
    if len(items) < 2 or any(a >= b for a, b in pairwise(places)):
        return {}
    found: dict[str, Any] = {}
    for item in items:
        ((name, one),) = item.items()
        if name in found and found[name].get("currencyCode") != one.get("currencyCode"):
            return {}
        found[name] = {**found[name], **one} if name in found else one
    return found


def _places(item: dict[str, Any], record: Descriptor) -> Iterator[tuple[int, int]]:
    fields = {camel(field.name): field.index for field in record.fields}
    for name, one in item.items():
        if name in _JOINS:
            yield _JOINS.index(name) - len(_JOINS), 0
        else:
            yield from ((fields.get(name, -1), _ORDER.get(key, -1)) for key in one if key != "currencyCode")


def criteria_of(field: FieldDescriptor) -> Descriptor:
    """The record that criteria in a request judge: segments hold customers."""
    found: Descriptor = field.file.pool.FindMessageTypeByName("crm.customer.v1.Customer")
    return found
