"""Rows of an import as the graph takes them: objects with the names, enums, amounts and moments of the graph, made into records."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.kernel.errors import Invalid
from chassis.kernel.ids import from_source
from chassis.rpc.contract import nouns
from chassis.rpc.documents import enum_numbers, message_class, traits
from gateway.departments.spelling import camel
from gateway.graph.contract import SCALARS, from_global
from gateway.graph.inputs import MoneyInput, checked_text, money_of, stamp

# Deeper than any record of a contract.
DEEPEST = 6


def record_of(resource: str) -> Descriptor:
    """The record of a resource. Raises Invalid where there is none."""
    found = next((noun.record for noun in nouns() if noun.resource == resource), None)
    if found is None:
        raise Invalid(f"there is no resource «{resource[:50]}»; name one of the policy, e.g. customers", field="resource")
    return found


def row_of(value: object, descriptor: Descriptor, path: str, depth: int = 0) -> Message:
    """The record of a row. A reference is an id of the graph, or {"key": the source_key of the record}. Raises Invalid naming the field."""
    if not isinstance(value, Mapping) or depth > DEEPEST:
        raise Invalid(f'{path} is no object with the fields of a {descriptor.name}; write {{"name": …}}', field=path)
    known = {camel(field.name): field for field in descriptor.fields}
    made: Any = message_class(descriptor)()
    for name, given in value.items():
        field = known.get(name)
        if field is None:
            raise Invalid(f"a {descriptor.name} has no field «{str(name)[:50]}»; leave it out", field=f"{path}.{str(name)[:50]}")
        if given is None:
            continue
        _put(made, field, given, f"{path}.{field.name}", depth)
    return made


def _put(made: Any, field: FieldDescriptor, given: object, path: str, depth: int) -> None:
    if field.is_repeated:
        if not isinstance(given, list):
            raise Invalid(f"{path} is no list; write [ … ]", field=path)
        values = [_value(one, field, f"{path}[{index}]", depth) for index, one in enumerate(given)]
        _fitting(given, path, lambda: getattr(made, field.name).extend(values))
        return
    value = _value(given, field, path, depth)
    if field.message_type is not None:
        getattr(made, field.name).CopyFrom(value)
        return
    _fitting(given, path, lambda: setattr(made, field.name, value))


def _shown(given: object) -> str:
    """What was sent, as it was sent."""
    return (given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str))[:50]


def _fitting(given: object, path: str, put: Callable[[], object]) -> None:
    try:
        put()
    except (TypeError, ValueError):
        raise Invalid(f"{path}: «{_shown(given)}» does not fit; look at the field in the schema", field=path) from None


def _value(given: object, field: FieldDescriptor, path: str, depth: int) -> Any:
    if field.enum_type is not None:
        numbers = enum_numbers(field.enum_type)
        if not isinstance(given, str) or given not in numbers:
            raise Invalid(f"{path}: «{_shown(given)}» is none of {', '.join(numbers)}", field=path)
        return numbers[given]
    if field.message_type is not None:
        name = field.message_type.full_name
        if name == "google.protobuf.Timestamp":
            return stamp(_parsed(datetime, given, path))
        if name == "crm.common.v1.Money":
            return _money(given, path)
        return row_of(given, field.message_type, path, depth + 1)
    mark = traits(field)
    if mark.refers_to:
        return _reference(given, mark.refers_to, path)
    if mark.date:
        return _parsed(date, given, path).isoformat()
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not isinstance(given, str):
        raise Invalid(f"{path} is a text; write it in quotes", field=path)
    return checked_text(given, path) if isinstance(given, str) else given


def _parsed(kind: type, given: object, path: str) -> Any:
    parse: Callable[[object], Any] = SCALARS[kind].parse_value
    try:
        return parse(given)
    except (ValueError, TypeError, AttributeError) as error:  # of JSON that is no text either
        raise Invalid(f"{path}: {str(error)[:100]}", field=path) from None


def _money(given: object, path: str) -> Any:
    if not isinstance(given, Mapping) or set(given) != {"currencyCode", "amount"} or not isinstance(given["currencyCode"], str):
        raise Invalid(f'{path} is no amount; write {{"currencyCode": "CNY", "amount": "12.50"}}', field=path)
    amount: Decimal = _parsed(Decimal, given["amount"], path)
    return money_of(MoneyInput(currency_code=given["currencyCode"], amount=amount), path)


def _reference(given: object, target: str, path: str) -> str:
    if isinstance(given, Mapping) and set(given) == {"key"} and isinstance(given["key"], str):
        resource = next((noun.resource for noun in nouns() if noun.name == target), "")
        return from_source(resource, given["key"])
    if not isinstance(given, str):
        raise Invalid(f'{path} is the id of a {target}, or {{"key": its sourceKey}}', field=path)
    return from_global(given, target, path)[1]
