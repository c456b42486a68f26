"""What a question to a collection becomes: its filter, its order and what is read for it, as far as the caller may ask. No I/O."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from chassis.access.caller import READ
from chassis.access.contracts import Opening
from chassis.access.counts import DECIDING, counts_of
from chassis.kernel.criteria import Criteria, Field, named, renamed, to_query
from chassis.kernel.errors import Invalid, NotAllowed
from chassis.kernel.pages import Sort
from chassis.kernel.rules import sentence
from chassis.rpc.call import Call
from chassis.storage.aliases import CUSTOMER_ALIAS, CUSTOMER_ID
from chassis.storage.copies import Copies
from chassis.storage.ownership import OWNER_FIELDS, Owned
from chassis.storage.pages import wanted

Document = dict[str, Any]


def unreadable(name: str) -> NotAllowed:
    """The refusal of a question by a field that the caller gets masked, not at all, or not of every record that it would tell of."""
    params = {"rule": "aggregate.unreadable", "name": name}
    return NotAllowed(sentence(params), code="FIELD_NOT_READABLE", field=name, params=params)


class Questions(Owned):
    """The part of a store that knows what may be asked. `sealed` are personal fields that are found by what is blind."""

    resource: str
    words: str
    schema: dict[str, Field]
    sorts: Mapping[str, Sort]
    personal: tuple[str, ...]
    sealed: tuple[str, ...]
    named_customers: tuple[str, ...]
    customer_key: str
    copies: Copies

    @abstractmethod
    def blind(self, call: Call, name: str, value: str) -> str:
        """What a personal field is found by."""

    def _query(self, call: Call, opening: Opening, criteria: Criteria | None, after: Document, *asked: str, archived: str = "") -> Document:
        names = named(criteria)
        parts = [opening.filter((*names, *asked)), to_query(self._as_counts(call, criteria), self.filterable(call), call.when), after]
        if self.archivable and (archived == "EXCLUDE" or (not archived and "archive_time" not in names)):
            parts.append({"archive_time": None})
        elif self.archivable and archived == "ONLY":
            parts.append({"archive_time": {"$ne": None}})
        parts = [part for part in (*parts, *self._told(call, (*names, *asked))) if part]
        return {"$and": parts} if parts else {}

    def _told(self, call: Call, names: Iterable[str]) -> list[Document]:
        """The filters of the records whose kept numbers, of those named, the caller is told: to ask by a number tells it. Raises NotAllowed where
        they read nothing of what is counted."""
        counting = counts_of(self.descriptor)
        found = []
        for name in sorted(counting.keys() & set(names)):
            try:
                found.append(call.reach(counting[name], "read", CUSTOMER_ID).filter())
            except NotAllowed:
                raise unreadable(name) from None
        return found

    def _as_counts(self, call: Call, criteria: Criteria | None) -> Criteria | None:
        """Criteria with the customers that count in place of those that were merged into them."""
        named = (*self.named_customers, "id") if self.customer_key == "_id" else self.named_customers
        return renamed(criteria, named, call.aliases.resolve) if criteria and len(call.aliases) else criteria

    def filterable(self, call: Call) -> dict[str, Field]:
        """What the caller's criteria may name: fields that they may read, for a filter tells what a field holds."""
        limits = call.limits(self.resource)
        known = {name: field for name, field in self.schema.items() if limits.get(name, READ) >= READ} if limits else self.schema
        sealed = {name: replace(known[name], blind=partial(self.blind, call, name)) for name in self.sealed if name in known}
        return {**known, **sealed} if sealed else known

    def _projection(self, opening: Opening, fields: Sequence[str], sort: Sort | None = None, key: str = "") -> dict[str, int] | None:
        """What to read for a mask, what decides access included where contracts do; refuses names that the record does not have."""
        for name in fields:
            if name.split(".")[0] not in self.descriptor.fields_by_name:
                raise Invalid(f"«{name[:60]}» is no field of {self.words}; leave it out of read_mask", field="read_mask")
        if fields and not {name.split(".")[0] for name in fields}.isdisjoint(self.personal):
            fields = [*fields, *(name for name in (CUSTOMER_ID,) if name in self.descriptor.fields_by_name)]  # whose key opens them
        if not counts_of(self.descriptor).keys().isdisjoint(fields):
            fields = [*fields, *(name for name in DECIDING if name in self.descriptor.fields_by_name)]  # who may be told the number
        found = wanted(fields, sort, key)
        if found and CUSTOMER_ID in found:
            found[CUSTOMER_ALIAS] = 1
        deciding = opening.contracts or not self.copies.decided_here.isdisjoint(found) if found else False
        return found | dict.fromkeys((*OWNER_FIELDS, self.customer_key or "_id"), 1) if found and deciding else found

    def _sort(self, call: Call, opening: Opening, order: str) -> Sort:
        """The order asked for, or the first that the caller may know: an order tells what a field holds, and so do its page tokens."""
        limits = call.limits(self.resource)
        if order:
            if limits.get(self.sorts[order].name, READ) < READ:
                raise Invalid(f"your roles do not let you sort by {self.sorts[order].name}; use another order", field="order_by")
            return self.sorts[order]
        known = (sort for sort in self.sorts.values() if limits.get(sort.name, READ) >= READ)
        return next((sort for sort in known if opening.all_show(sort.name)), Sort("create_time", -1))
