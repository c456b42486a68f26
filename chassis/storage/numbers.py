"""Numbers drawn for records from counters of their own, before the commit: gaps are possible, doubles are not.

A counter is one for a rule and a period of the record's own day; there is nothing to be reset at New Year. It never goes back, and numbers
that came by imports are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from chassis.kernel.errors import Conflict
from chassis.kernel.numbering import Pattern, pattern_of
from chassis.rpc.call import Call
from chassis.rpc.contract import Contract
from chassis.rpc.documents import enum_names, traits
from chassis.storage.client import Database

Document = dict[str, Any]
COUNTERS, RULES = "number_counters", "numbering_rules"
ROUNDS = 24
MOST_AT_ONCE = 4096


@dataclass(frozen=True)
class Numbered:
    """The field of a noun that has a number by a rule, and the rule as its contract ships it."""

    resource: str
    field: str
    pattern: str
    reset: str
    by: str

    @staticmethod
    def of(contract: Contract) -> Numbered | None:
        """Of a noun whose contract has one."""
        for field in contract.record.fields:
            if traits(field).HasField("numbered"):
                return _shipped(contract.resource, field)
        return None


def _shipped(resource: str, field: FieldDescriptor) -> Numbered:
    mark = traits(field).numbered
    names = enum_names(mark.DESCRIPTOR.fields_by_name["reset"].enum_type)
    return Numbered(resource, str(field.name), mark.pattern, names[mark.reset], mark.by or "create_time")


async def rule_of(database: Database, numbered: Numbered) -> Document:
    """The rule that stands: as it was set, or as it was shipped, which has version 0."""
    stored = await database[RULES].find_one({"_id": numbered.resource})
    return stored or {"_id": numbered.resource, "version": 0, "pattern": numbered.pattern, "reset": numbered.reset}


async def give(call: Call, numbered: Numbered | None, documents: Iterable[Document]) -> None:
    """Number those of the documents that have no number. A dry run draws none."""
    if numbered is None:
        return
    rows = list(documents)
    due = [one for one in rows if not one.get(numbered.field)]
    if not due or getattr(call.asked, "validate_only", False):
        return
    rule = await rule_of(call.database, numbered)
    pattern = pattern_of(rule["pattern"], rule["reset"])
    by_period: dict[str, list[tuple[date, Document]]] = {}
    for one in due:
        moment = one.get(numbered.by)
        day = call.day_of(moment if isinstance(moment, datetime) else call.now)
        by_period.setdefault(pattern.period(day), []).append((day, one))
    call.brought = frozenset(one[numbered.field] for one in rows if one.get(numbered.field))
    call.drawn.add((numbered.resource, f"unique_{numbered.field}"))
    for period, some in by_period.items():
        await _number(call, numbered, pattern, period, some)


async def _number(call: Call, numbered: Numbered, pattern: Pattern, period: str, due: list[tuple[date, Document]]) -> None:
    """Draw until each has a number that no record has; further on each time, for imports may have brought long rows of them."""
    size, waiting = len(due), due
    # A single record looks only when its first number was met: the index refuses a double anyway.
    look = call.attempt > 0 or call.method.startswith("BatchUpsert")
    for _ in range(ROUNDS):
        last = await _drawn(call.database, f"{numbered.resource}:{period}", size)
        counts = range(last - len(waiting) + 1, last + 1)
        numbers = [pattern.number(day, count) for (day, _), count in zip(waiting, counts, strict=True)]
        taken = await _taken(call, numbered, numbers) if look else frozenset()
        for (_, one), number in zip(waiting, numbers, strict=True):
            if number not in taken:
                one[numbered.field] = number
        waiting = [(day, one) for day, one in waiting if not one.get(numbered.field)]
        if not waiting:
            return
        size = min(MOST_AT_ONCE, max(len(waiting), size * 2))
    raise Conflict("the next numbers are all taken; send the request again, or give the rule another pattern", code="BUSY")


async def _drawn(database: Database, key: str, size: int) -> int:
    """The last of so many numbers that are nobody else's."""
    for attempt in (0, 1):
        try:
            found: Any = await database[COUNTERS].find_one_and_update(
                {"_id": key}, {"$inc": {"count": size}}, upsert=True, return_document=ReturnDocument.AFTER
            )
            return int(found["count"])
        except DuplicateKeyError:  # another replica made the counter at the same moment
            if attempt:
                raise
    raise AssertionError("unreachable")


async def _taken(call: Call, numbered: Numbered, numbers: list[str]) -> frozenset[str]:
    found = call.database[numbered.resource].find({numbered.field: {"$in": numbers}}, {numbered.field: 1})
    return frozenset([row[numbered.field] async for row in found]) | call.brought
