"""Orders of a list: those of the contract, and those that a caller makes of one or two fields.

An order that an index serves is walked, whatever the number of records. Any other is made anew for each page; so it is given only where what
indexes leave of the collection is MOST_SORTED records or fewer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import IndexModel

from chassis.access.caller import READ
from chassis.access.contracts import Opening
from chassis.kernel.criteria import Criteria, to_query
from chassis.kernel.errors import Invalid
from chassis.kernel.money import HOME
from chassis.kernel.pages import Sort
from chassis.kernel.parts import TERMS
from chassis.rpc.call import Call
from chassis.rpc.contract import BY_CURRENCY
from chassis.rpc.documents import enum_numbers, sortable_fields
from chassis.storage.pages import Asked, total
from chassis.storage.questions import Questions

Document = dict[str, Any]
MOST_SORTED = 10_000
_EXACT = ("EQUALS", "IN")
_PARTS = ("STARTS_WITH", "CONTAINS")


class Orders(Questions):
    """The part of a store that knows in which orders its records are listed."""

    @abstractmethod
    def indexes(self) -> list[IndexModel]:
        """Every index of the collection."""

    async def _ordered(self, call: Call, opening: Opening, asked: Asked, key: str = "", ids: Sequence[str] = ()) -> Sort:
        """The order asked for, or the first that the caller may know: an order tells what a field holds, and so do its page tokens. Raises
        Invalid, with ORDER_TOO_WIDE where it would be made of too many records."""
        if not asked.sort_by:
            return self._sort(call, opening, asked.order)
        if asked.order:
            raise Invalid("order_by and sort_by are given; leave one of them out", field="sort_by")
        made: Sort | None = None
        for number, one in reversed(list(enumerate(asked.sort_by))):
            made = await self._made(call, opening, one, number, made)
        if made is None or len(set(made.names)) < len(asked.sort_by):
            raise Invalid("sort_by names a field twice; name another one, or leave it out", field="sort_by")
        models = [model.document for model in self.indexes()]
        if not served(made, models, {key} | set(_pinned(self._as_counts(call, asked.criteria)))):
            await self._narrow(call, opening, asked, made, models, key, ids)
        return made

    async def _made(self, call: Call, opening: Opening, asked: Mapping[str, Any], number: int, then: Sort | None) -> Sort:
        name, direction = asked["field"], -1 if asked.get("descending") else 1
        known = sortable_fields(self.descriptor)
        if name not in known:
            raise Invalid(f"«{name[:60]}» is no field to sort by; use one of {', '.join(known)}", field="sort_by")
        if call.limits(self.resource).get(name, READ) < READ:
            raise Invalid(f"your roles do not let you sort by {name}; use another order", field="sort_by")
        field, code = self.schema[name], asked.get("currency_code", "")
        if field.kind == "money":
            return await self._by_amount(call, opening, name, direction, number, code, then)
        if code:
            raise Invalid(f"«{name}» is no amount and has no currency; leave currency_code out", field="sort_by")
        if field.kind != "enum":
            return Sort(field.path, direction, of=name, then=then)
        kept = next((sort.field for sort in self.sorts.values() if sort.of == name), "")
        if kept:
            return Sort(kept, direction, of=name, then=then)
        words = list(enum_numbers(known[name].enum_type))
        return Sort(f"_by{number}", direction, of=name, then=then, reckoned={"$indexOfArray": [words, f"${name}"]})

    async def _by_amount(self, call: Call, opening: Opening, name: str, direction: int, number: int, code: str, then: Sort | None) -> Sort:
        """Amounts of the currency named, those of others as none; without one all in the company's, by the rates of today. Where all are in
        the currency by which they are kept in order, that order is taken."""
        amount, here = f"${name}.amount_micros", f"${name}.currency_code"
        kept = f"{BY_CURRENCY}.{name}"
        if any(sort.field == kept for sort in self.sorts.values()) and (code or call.rates.base) == HOME:
            foreign = {"$and": [{kept: {"$gte": "0", "$lt": "1"}}, opening.filter((name,))]}
            if not await call.database[self.resource].find_one(foreign, {"_id": 1}, max_time_ms=call.milliseconds_left):
                return Sort(kept, direction, of=name, then=then)
        if code:
            value: Any = {"$cond": [{"$eq": [here, code]}, amount, None]}
        else:
            rates = [(one, call.rates.of_day(one, call.rates.base, call.today)) for one in call.rates.currencies]
            branches = [{"case": {"$eq": [here, one]}, "then": float(rate.exact)} for one, rate in rates if rate]
            value = {"$multiply": [amount, {"$switch": {"branches": branches, "default": None}}]}
        return Sort(f"_by{number}", direction, of=name, then=then, reckoned=value)

    async def _narrow(
        self, call: Call, opening: Opening, asked: Asked, sort: Sort, models: Iterable[Mapping[str, Any]], key: str, ids: Sequence[str]
    ) -> None:
        """Refuse an order that would be made of more records than MOST_SORTED: of those that indexes leave, whatever else the filter asks."""
        firsts = {next(iter(model["key"])) for model in models if not model.get("sparse")} | {"_id"}
        schema, parts = self.filterable(call), [opening.filter(sort.names)] if opening.filter(sort.names) else []
        for one in _together(self._as_counts(call, asked.criteria)):
            field = schema.get(one["condition"].get("field", ""))
            by_part = field is not None and bool(field.mark) and one["condition"].get("operator") in _PARTS
            if field is not None and (TERMS if by_part else field.path) in firsts:
                parts.append(to_query(one, schema, call.when))
        if key:
            parts.append({key: {"$in": list(ids)}})
        collection = call.database[self.resource]
        if not parts:
            count = await collection.estimated_document_count(maxTimeMS=call.milliseconds_left)
        else:
            found = await total(call.database, self.resource, {"$and": parts}, MOST_SORTED, call.milliseconds_left)
            count = MOST_SORTED if found and found.exact else MOST_SORTED + 1
        if count > MOST_SORTED:
            words = f"this order would be made of more than {MOST_SORTED} {self.resource.replace('_', ' ')}; narrow the filter, e.g. by owner, customer or a part of a name"
            params = {"rule": "order.wide", "most": str(MOST_SORTED)}
            raise Invalid(words, code="ORDER_TOO_WIDE", field="sort_by", params=params)


def served(sort: Sort, models: Iterable[Mapping[str, Any]], pinned: set[str]) -> bool:
    """Whether an index has the records in this order, read from either end; `pinned` are paths at which all have one value."""
    if any(part.reckoned for part in sort.parts):
        return False
    wanted = [pair for pair in sort.keys if pair[0] not in pinned]
    for model in models:
        if model.get("sparse") or model.get("partialFilterExpression"):
            continue
        keys = list(model["key"].items())
        while keys and keys[0][0] in pinned:
            keys.pop(0)
        if keys[: len(wanted)] in (wanted, [(path, -direction) for path, direction in wanted]):
            return True
    return False


def _together(criteria: Criteria | None) -> list[Criteria]:
    """The conditions all of which hold of every record that criteria find."""
    if not criteria:
        return []
    if "condition" in criteria:
        return [criteria]
    return [one for item in criteria["all"].get("items", ()) for one in _together(item)] if "all" in criteria else []


def _pinned(criteria: Criteria | None) -> list[str]:
    """The fields of which criteria leave one value, as far as that is the path too."""
    found = [one["condition"] for one in _together(criteria)]
    return [one["field"] for one in found if one.get("operator") in _EXACT and len(one.get("values", ())) == 1]
