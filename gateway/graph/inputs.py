"""Inputs from the contracts: a request message is an input type; a list's filter is typed by the record's filterable fields."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

import strawberry
from crm.common.v1 import criteria_pb2, money_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.kernel.criteria import DEEPEST
from chassis.kernel.errors import CrmError, Invalid
from chassis.kernel.money import LARGEST, MICROS
from chassis.rpc.documents import enum_numbers, message_class, snake, traits
from chassis.rpc.errors import MOST_VIOLATIONS
from chassis.rpc.handlers import is_required
from gateway.graph.contract import Long, comment, enum_type, from_global, scalar_of
from gateway.graph.criteria import OPERATORS, criteria_of
from gateway.graph.teaching import limits

_HIDDEN = frozenset(("update_mask", "page_size", "page_token", "read_mask", "filter", "order_by"))
_WORDS = {
    "eq": "Equals.", "in_": "Is one of these, 1 to 100.", "lt": "Is less (earlier).", "lte": "Is less (earlier) or equal.",
    "gt": "Is greater (later).", "gte": "Is greater (later) or equal.", "is_set": "Has a value (true) or none (false).",
    "starts_with": "Begins with, in small or capital letters, traditional or simplified; a key (sourceKey, codes of kinds) begins as written.",
    "contains": "Holds this part anywhere; compared as by startsWith.",
    "eq_relative": "Falls on the day that is so many days from today; takes days only.",
    "lt_relative": "Is earlier than a moment, or than a day as a whole, that counts from now.",
    "lte_relative": "Is earlier than a moment that counts from now, or equal; or before the end of a day.",
    "gt_relative": "Is later than a moment that counts from now; or after the end of a day.",
    "gte_relative": "Is later than a moment that counts from now, or equal; or not before a day.",
    "currency_code": "The currency that is compared, CNY when not given; what is in another one does not meet the condition.",
}  # fmt: skip


@strawberry.input(description="An amount in one currency.")
class MoneyInput:
    """Money that comes in."""

    currency_code: str = strawberry.field(description="ISO 4217 code, three capital letters.")
    amount: Decimal = strawberry.field(description="Exact amount in units of the currency.")


@strawberry.input(description="A moment that counts from now. Give one of both.")
class RelativeTimeInput:
    """Time that comes in as a distance."""

    days: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="So many days from today in the company's time zone, -7 for a week ago; it stands for the whole day. At most a hundred years.",
    )
    seconds: Long | None = strawberry.field(
        default=strawberry.UNSET, description="So many seconds from now, -3600 for an hour ago; not of a date. At most a hundred years."
    )


# ---- request → input type


@cache
def input_type(descriptor: Descriptor, name: str = "") -> Any:
    """The input of a request (or of a message inside one). Fields without a value are left out, not null, to stay as they are."""
    name = name or f"{descriptor.name}Input"
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__annotations__": annotations}
    for field in descriptor.fields:
        if field.name in _HIDDEN or (field.name == "amount" and descriptor.name == "OrderLine"):
            continue
        one = _input_one(field)
        shape: Any = list[one] if field.is_repeated else one  # type: ignore[valid-type]
        required = _needed(field, descriptor)
        annotations[field.name] = shape if required else shape | None
        default: dict[str, Any] = {} if required else {"default": strawberry.UNSET}
        namespace[field.name] = strawberry.field(description=_words(field), **default)
    ordered = sorted(annotations, key=lambda key: not _needed(descriptor.fields_by_name[key], descriptor))
    namespace["__annotations__"] = {key: annotations[key] for key in ordered}
    return strawberry.input(type(name, (), namespace), name=name, description=comment(descriptor.full_name))


def _needed(field: FieldDescriptor, descriptor: Descriptor) -> bool:
    if field.name == "request_id":
        return False
    if "update_mask" in descriptor.fields_by_name:
        return field.number in (2, 3) and field.name != "versions"  # the record's id and the version seen
    return is_required(field) or (field.name.endswith("_id") and not field.has_presence)


def _words(field: FieldDescriptor) -> str | None:
    if field.name == "request_id":
        return "Makes the command repeatable: the same id with the same content gives the first answer again. Made for you when not given."
    return " ".join(filter(None, (comment(field.full_name), limits(field)))) or None


def _input_one(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return enum_type(field.enum_type)
    if field.message_type is not None:
        name = field.message_type.full_name
        known: dict[str, Any] = {"google.protobuf.Timestamp": datetime, "crm.common.v1.Money": MoneyInput}
        if name == "crm.common.v1.Criteria":
            return filter_type(criteria_of(field))
        return known[name] if name in known else input_type(field.message_type)
    mark = traits(field)
    if mark.refers_to:
        return strawberry.ID
    return date if mark.date else scalar_of(field)


# ---- input value → request


def to_request(value: Any, descriptor: Descriptor, path: str = "") -> Message:
    """The request of an input. Raises Invalid naming the field, with what else cannot be read. Given fields of an update are named in its mask."""
    request = message_class(descriptor)()
    mask: list[str] = []
    broken: list[CrmError] = []
    for field in descriptor.fields:
        given = getattr(value, field.name, strawberry.UNSET)
        if given is strawberry.UNSET:
            continue
        if "update_mask" in descriptor.fields_by_name and field.number > 4:
            mask.append(field.name)
        if given is None:
            continue
        try:
            _take(request, field, given, f"{path}{field.name}")
        except Invalid as refusal:
            broken += [refusal, *refusal.also]
    if broken:
        broken[0].also = tuple(broken[1:MOST_VIOLATIONS])
        raise broken[0]
    if mask:
        request.update_mask.paths.extend(mask)
    return request


def _take(request: Message, field: FieldDescriptor, given: Any, path: str) -> None:
    if field.is_repeated:
        getattr(request, field.name).extend(_convert(item, field, f"{path}[{index}]") for index, item in enumerate(given))
    else:
        _put(request, field, _convert(given, field, path))


def _put(request: Message, field: FieldDescriptor, value: Any) -> None:
    if field.message_type is not None:
        getattr(request, field.name).CopyFrom(value)
    else:
        try:
            setattr(request, field.name, value)
        except ValueError as error:
            raise Invalid(f"{field.name}: {error}; give a smaller number", field=field.name) from error


def _convert(value: Any, field: FieldDescriptor, path: str) -> Any:
    if field.enum_type is not None:
        return enum_numbers(field.enum_type)[value.value]
    if field.message_type is not None:
        name = field.message_type.full_name
        if name == "google.protobuf.Timestamp":
            return stamp(value)
        if name == "crm.common.v1.Money":
            return money_of(value, path)
        if name == "crm.common.v1.Criteria":
            return _criteria(value, field, path)
        return to_request(value, field.message_type, f"{path}.")
    mark = traits(field)
    if mark.refers_to:
        return from_global(str(value), mark.refers_to, path)[1]
    if mark.date:
        return value.isoformat()
    if isinstance(value, str):
        text = checked_text(value, path)
        return snake(text) if mark.names else text
    return value


def money_of(value: Any, path: str) -> money_pb2.Money:
    """An amount that came in, as contracts have it. Raises Invalid."""
    return money_pb2.Money(currency_code=value.currency_code, amount_micros=_micros(value.amount, path))


def checked_text(value: str, path: str) -> str:
    """A text that can be stored: no half surrogate, no NUL."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{path} holds half a character (an unpaired surrogate); send whole characters", field=path) from None
    if "\x00" in value:
        raise Invalid(f"{path} holds a NUL character; leave it out", field=path)
    return value


def stamp(moment: datetime) -> Any:
    """A Timestamp; refuses years beyond 1 to 9999."""
    from google.protobuf.timestamp_pb2 import Timestamp

    made = Timestamp()
    made.FromDatetime(moment)
    return made


def _micros(amount: Decimal, path: str) -> int:
    micros = amount * MICROS
    if micros != micros.to_integral_value() or abs(micros) > LARGEST:
        raise Invalid(f"{path}: at most six decimals and ±900 000 000 000; write a smaller or rounder amount", field=path)
    return int(micros)


# ---- filters


@cache
def _condition(name: str, kind: Any, operators: tuple[str, ...]) -> Any:
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {"__annotations__": annotations}
    for operator in operators:
        shape: Any = list[kind] if operator == "in_" else {"is_set": bool, "currency_code": str}.get(operator, kind)
        shape = RelativeTimeInput if operator in _RELATIVE else shape
        annotations[operator] = shape | None
        namespace[operator] = strawberry.field(
            default=strawberry.UNSET, description=_WORDS[operator], name="in" if operator == "in_" else None
        )
    return strawberry.input(type(name, (), namespace), name=name, description="Every comparison given must hold.")


_ORDER = ("lt", "lte", "gt", "gte")
_RELATIVE = ("eq_relative", "lt_relative", "lte_relative", "gt_relative", "gte_relative")


def _condition_for(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return _condition(f"{field.enum_type.name}Condition", enum_type(field.enum_type), ("eq", "in_", "is_set"))
    if field.message_type is not None:
        if field.message_type.full_name == "crm.common.v1.Money":
            return _condition("AmountCondition", Decimal, ("eq", "in_", *_ORDER, "is_set", "currency_code"))
        return _condition("DateTimeCondition", datetime, ("eq", "in_", *_ORDER, *_RELATIVE, "is_set"))
    mark = traits(field)
    if mark.refers_to or field.name == "id":
        return _condition("IDCondition", strawberry.ID, ("eq", "in_", "is_set"))
    if mark.date:
        return _condition("DateCondition", date, ("eq", "in_", *_ORDER, *_RELATIVE, "is_set"))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _condition("BooleanCondition", bool, ("eq", "in_", "is_set"))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _condition("TextCondition", str, ("eq", "in_", "starts_with", "contains", "is_set"))
    return _condition("NumberCondition", Long, ("eq", "in_", *_ORDER, "is_set"))


@cache
def _asked(descriptor: Descriptor) -> list[FieldDescriptor]:
    """The fields by which a record's lists are filtered: its id, and those that the contract says."""
    return [field for field in descriptor.fields if field.name == "id" or traits(field).filterable]


@cache
def filter_type(descriptor: Descriptor) -> Any:
    """The filter of a record's lists: conditions by field, joined by and, or, not."""
    name = f"{descriptor.name}Filter"
    made = type(name, (), {"__annotations__": {}})
    joins = {
        "and_": ("and", list[made], "Every one must hold."), "or_": ("or", list[made], "At least one must hold."),  # type: ignore[valid-type]
        "not_": ("not", made, "Must not hold."),
    }  # fmt: skip
    for key, (shown, shape, words) in joins.items():
        made.__annotations__[key] = shape | None
        setattr(made, key, strawberry.field(name=shown, default=strawberry.UNSET, description=words))
    for field in _asked(descriptor):
        made.__annotations__[field.name] = _condition_for(field) | None
        setattr(made, field.name, strawberry.field(default=strawberry.UNSET, description=comment(field.full_name)))
    return strawberry.input(made, name=name, description=f"Which {descriptor.name} records; everything given must hold.")


def to_criteria(value: Any, descriptor: Descriptor, level: int = 1) -> criteria_pb2.Criteria:
    """The criteria of a filter. Raises Invalid for an empty one and for one that is too deep."""
    if level > DEEPEST:
        raise Invalid(
            f"the filter is deeper than {DEEPEST} levels (limit: filter depth); flatten it", code="CRITERIA_INVALID", field="filter"
        )
    parts = list(_parts(value, descriptor, level + 1))
    if not parts:
        raise Invalid("the filter is empty; leave it out or give a condition", code="CRITERIA_INVALID", field="filter")
    if len(parts) == 1:
        return parts[0]
    return criteria_pb2.Criteria(all=criteria_pb2.CriteriaList(items=parts))


def _criteria(value: Any, field: FieldDescriptor, path: str) -> criteria_pb2.Criteria:
    """The criteria that a record holds; a refusal names the field of the record, not the filter of a list."""
    try:
        return to_criteria(value, criteria_of(field))
    except Invalid as refusal:
        named = f"{path}{refusal.field.removeprefix('filter')}"
        raise Invalid(refusal.message, code=refusal.code, field=named, params=refusal.params) from refusal


def _parts(value: Any, descriptor: Descriptor, level: int) -> Iterator[criteria_pb2.Criteria]:
    if value.and_:
        yield criteria_pb2.Criteria(all=criteria_pb2.CriteriaList(items=[to_criteria(item, descriptor, level) for item in value.and_]))
    if value.or_:
        yield criteria_pb2.Criteria(any=criteria_pb2.CriteriaList(items=[to_criteria(item, descriptor, level) for item in value.or_]))
    if value.not_:
        yield criteria_pb2.Criteria(negated=to_criteria(value.not_, descriptor, level))
    for field in _asked(descriptor):
        condition = getattr(value, field.name, None)
        if not condition:
            continue
        code = getattr(condition, "currency_code", None) or None
        for operator, shown in OPERATORS.items():
            given = getattr(condition, operator, strawberry.UNSET)
            if given is None:
                words = f"{field.name} is compared with null; leave the comparison out, or use isSet"
                raise Invalid(words, code="CRITERIA_INVALID", field=f"filter.{field.name}")
            if given is not strawberry.UNSET:
                values = given if operator == "in_" else [given]
                converted = [_value(item, field, operator == "is_set") for item in values]
                named = None if operator == "is_set" else code
                number = criteria_pb2.Operator.Value(shown)
                made = criteria_pb2.Condition(field=field.name, operator=number, values=converted, currency_code=named)
                yield criteria_pb2.Criteria(condition=made)


def _relative(value: RelativeTimeInput, field: FieldDescriptor) -> criteria_pb2.Value:
    given = {
        name: number for name in ("days", "seconds") if (number := getattr(value, name)) is not strawberry.UNSET and number is not None
    }
    if len(given) != 1:
        words = f"{field.name}: a moment that counts from now has {'both days and seconds' if given else 'neither days nor seconds'}; give one of them"
        raise Invalid(words, code="CRITERIA_INVALID", field=f"filter.{field.name}")
    return criteria_pb2.Value(**{f"relative_{name}": number for name, number in given.items()})


def _value(value: Any, field: FieldDescriptor, flag: bool) -> criteria_pb2.Value:
    if isinstance(value, RelativeTimeInput):
        return _relative(value, field)
    if flag or isinstance(value, bool):
        return criteria_pb2.Value(flag=value)
    if isinstance(value, Enum):
        return criteria_pb2.Value(text=value.value)
    if isinstance(value, datetime):
        return criteria_pb2.Value(time=stamp(value))
    if isinstance(value, date):
        return criteria_pb2.Value(text=value.isoformat())
    if isinstance(value, Decimal):
        return criteria_pb2.Value(number=_micros(value, field.name))
    if isinstance(value, int):
        return criteria_pb2.Value(number=value)
    mark = traits(field)
    noun = field.containing_type.name if field.name == "id" else mark.refers_to
    if noun:
        return criteria_pb2.Value(text=from_global(value, noun, field.name)[1])
    text = checked_text(value, field.name)
    return criteria_pb2.Value(text=snake(text) if mark.names else text)
