"""The handlers of Aggregate and Drill, the same for every noun that has them: what is asked, judged by the contract, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from crm.common.v1 import aggregate_pb2, criteria_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from chassis.kernel.criteria import Criteria, to_query
from chassis.kernel.errors import Invalid
from chassis.kernel.groups import COUNT, DATE, FUNCTIONS, MONEY, TIME, WEIGHTED, Cut, Group, Measure, Reckoning, Value
from chassis.kernel.periods import begins, next_first_day
from chassis.kernel.rules import sentence
from chassis.rpc.call import Call
from chassis.rpc.documents import enum_names, enum_numbers, message_class, to_document, to_message, traits
from chassis.rpc.handlers import listing
from chassis.rpc.measures import groupable, measurable
from chassis.rpc.service import Handler, response_class
from chassis.storage.aggregates import Grouping, Question
from chassis.storage.records import Records

Document = dict[str, Any]
LIMIT = 100
MOST_ITEMS = 20  # of one join of criteria
_GRANULARITIES = enum_names(aggregate_pb2.Granularity.DESCRIPTOR)
_FUNCTIONS = enum_names(aggregate_pb2.AggregateFunction.DESCRIPTOR)


def aggregates(records: Records, service: ServiceDescriptor) -> dict[str, Handler]:
    """Aggregate and Drill, where the service has them."""
    made = {"Aggregate": _aggregate, "Drill": _drill}
    return {
        method.name: make(records, method)
        for verb, make in made.items() for method in service.methods
        if method.name.startswith(verb) and records.contract.traits.aggregated
    }  # fmt: skip


def _aggregate(records: Records, method: MethodDescriptor) -> Handler:
    make = response_class(method)

    async def handle(call: Call, request: Any) -> Message:
        asked = Question(
            to_document(request.filter) if request.HasField("filter") else None,
            groupings(records, request.groupings), measures(records, request.measures), request.limit or LIMIT,
        )  # fmt: skip
        return make(aggregate=answer(records, call, asked, await records.aggregate(call, asked)))

    return handle


def _drill(records: Records, method: MethodDescriptor) -> Handler:
    make, group = response_class(method), message_class(method.output_type.fields_by_name["drills"].message_type)

    async def handle(call: Call, request: Any) -> Message:
        pages = await records.drilled(call, [to_document(one) for one in request.filters], **listing(request))
        built = []
        for page in pages:
            messages = [to_message(row, records.descriptor) for row in page.rows]
            built.append(group(**{records.resource: messages, "next_page_token": page.next_token, "row_tokens": page.row_tokens}))
        return make(drills=built)

    return handle


# ---- what is asked


def groupings(records: Records, asked: Sequence[Any]) -> list[Grouping]:
    """By what a request groups. Raises Invalid with the place."""
    known = groupable(records.descriptor)
    found: list[Grouping] = []
    for place, one in enumerate(asked):
        path, kind, granularity = f"groupings[{place}]", known.get(one.field, ""), _GRANULARITIES.get(one.granularity, "")
        if not kind:
            raise _refusal("aggregate.field", f"{path}.field", name=one.field, fields=", ".join(sorted(known)))
        if any(one.field == other.field for other in found):
            raise _refusal("aggregate.twice", f"{path}.field", name=one.field)
        if bool(granularity) != (kind in (DATE, TIME)):
            raise _refusal("aggregate.no_period" if granularity else "aggregate.period", f"{path}.granularity", name=one.field)
        found.append(Grouping(one.field, kind, granularity, one.top))
    return found


def measures(records: Records, asked: Sequence[Any]) -> list[Measure]:
    """What a request reckons. Raises Invalid with the place."""
    return [_measure(records, one.field, _FUNCTIONS[one.function], f"measures[{place}]") for place, one in enumerate(asked)]


def _measure(records: Records, name: str, function: str, path: str) -> Measure:
    kind = {**groupable(records.descriptor), **measurable(records.descriptor)}.get(name, "")
    if (function == COUNT and not name) or (function == COUNT and kind):
        return Measure(COUNT, name, kind)
    weight = str(traits(records.descriptor.fields_by_name[name]).weighed_by) if kind == MONEY else ""
    fitting = (*FUNCTIONS.get(kind, ()), *([WEIGHTED] if weight else ()))
    if function not in fitting:
        fields = (
            ", ".join((COUNT, *fitting))
            if kind
            else f"{COUNT} without a field, or one of {', '.join(sorted(measurable(records.descriptor)))}"
        )
        raise _refusal("aggregate.measure", f"{path}.field", name=name, function=function, functions=fields)
    return Measure(function, name, kind, weight if function == WEIGHTED else "")


def _refusal(rule: str, field: str, **told: str) -> Invalid:
    params = {"rule": rule, **told}
    return Invalid(sentence(params), field=field, params=params)


# ---- what came out


def answer(records: Records, call: Call, asked: Question, found: Cut) -> aggregate_pb2.Aggregate:
    """The answer of an Aggregate."""
    told = _Telling(records, call, asked, Reckoning(asked.measures, call.rates, call.today))
    answer = aggregate_pb2.Aggregate(
        rows=[told.row(group) for group in found.rows], totals=told.total(found.totals),
        others=told.total(found.others) if found.others else None, path=aggregate_pb2.AGGREGATE_PATH_DIRECT,
    )  # fmt: skip
    answer.as_of.FromDatetime(call.now)
    return answer


@dataclass(frozen=True)
class _Telling:
    """Groups as messages."""

    records: Records
    call: Call
    asked: Question
    reckoning: Reckoning

    def row(self, group: Group) -> aggregate_pb2.AggregateRow:
        """A group of those in the answer, with what lists its records."""
        row, pairs = self.total(group), list(zip(self.asked.groupings, group.keys, strict=True))
        row.keys.extend(self._key(one, key) for one, key in pairs)
        criteria = drill(self.asked.criteria, pairs, self.call.zone)
        to_query(criteria, self.records.filterable(self.call), self.call.when)  # one that is too deep is refused now
        row.drill.CopyFrom(to_message(criteria, criteria_pb2.Criteria.DESCRIPTOR))
        return row

    def total(self, group: Group) -> aggregate_pb2.AggregateRow:
        """How many records a group has, and what the measures came to."""
        pairs = zip(self.asked.measures, self.reckoning.values(group), strict=True)
        return aggregate_pb2.AggregateRow(count=group.count, values=[value_message(measure, value) for measure, value in pairs])

    def _key(self, one: Grouping, key: Any) -> aggregate_pb2.AggregateKey:
        told = str(key).lower() if isinstance(key, bool) else key
        if not one.granularity or key is None:
            return aggregate_pb2.AggregateKey(field=one.field, value=told)
        following = next_first_day(date.fromisoformat(key), one.granularity)
        last = following - timedelta(days=1) if following else date.max
        return aggregate_pb2.AggregateKey(field=one.field, value=key, last_day=last.isoformat(), unfinished=self.call.today <= last)


def drill(criteria: Criteria | None, keys: Sequence[tuple[Grouping, Any]], zone: str) -> Document:
    """The criteria of exactly the records of a group."""
    parts: list[Criteria] = [{"condition": condition} for one, key in keys for condition in _conditions(one, key, zone)]
    beside = criteria["all"].get("items", ()) if criteria and "all" in criteria else [criteria] if criteria else []
    parts = [*beside, *parts] if len(beside) + len(parts) <= MOST_ITEMS or not criteria else [criteria, *parts]
    every = {"condition": _condition("create_time", "IS_SET", {"flag": True})}
    return {"all": {"items": parts or [every]}}


def _conditions(one: Grouping, key: Any, zone: str) -> list[Document]:
    if key is None:
        return [_condition(one.field, "IS_SET", {"flag": False})]
    if not one.granularity:
        return [_condition(one.field, "EQUALS", {"flag": key} if isinstance(key, bool) else {"text": key})]
    first = date.fromisoformat(key)
    following = next_first_day(first, one.granularity)
    ends: dict[str, Document | None] = {}
    for operator, on in (("GREATER_OR_EQUAL", first), ("LESS", following)):
        moment = begins(on, zone) if on and one.kind == TIME else None
        ends[operator] = {"time": moment} if moment else {"text": on.isoformat()} if on and one.kind != TIME else None
    found = [_condition(one.field, operator, value) for operator, value in ends.items() if value]
    return found or [_condition(one.field, "IS_SET", {"flag": True})]


def _condition(field: str, operator: str, value: Document) -> Document:
    return {"field": field, "operator": operator, "values": [value]}


def value_message(measure: Measure, value: Value) -> aggregate_pb2.AggregateValue:
    """What a measure came to."""
    function = enum_numbers(aggregate_pb2.AggregateFunction.DESCRIPTOR)[measure.function]
    told = aggregate_pb2.AggregateValue(field=measure.field, function=function)
    if measure.function == COUNT:
        told.count = value.plain
    elif measure.kind == MONEY:
        told.MergeFrom(aggregate_pb2.AggregateValue(amount=value.amount, amounts=value.amounts, unconverted=value.unconverted))
    elif value.plain is None:
        return told
    elif measure.kind == TIME:
        told.time.FromDatetime(value.plain)
    elif measure.kind == DATE:
        told.day = value.plain
    else:
        told.number = float(value.plain)
    return told
