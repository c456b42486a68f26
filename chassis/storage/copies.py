"""Fields that repeat what other records hold (`copy_of` in the contract): shown to who may read those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.access.caller import Reach
from chassis.kernel.errors import NotAllowed
from chassis.rpc.call import Call
from chassis.rpc.contract import Contract, nouns
from chassis.rpc.documents import traits

Document = dict[str, Any]
CUSTOMERS = "customer_accesses"  # who answers for a customer and who works with it, as every department knows it
SOURCE = "customer"


@dataclass(frozen=True)
class Copies:
    """Resource → the fields here that repeat its records'. `far` ones are of the customer department and have the customer's owner for their
    own; of `near` ones, of this department, the records here have the owner for their own."""

    far: Mapping[str, Sequence[str]]
    near: Mapping[str, Sequence[str]]

    @staticmethod
    def of(contract: Contract, customer_key: str) -> Copies:
        """Those of a noun."""
        found: dict[str, list[str]] = {}
        for field in contract.record.fields:
            if resource := str(traits(field).copy_of).partition(".")[0]:
                found.setdefault(resource, []).append(field.name)
        if not found:
            return Copies({}, {})
        home, here = ({noun.resource for noun in nouns(name)} for name in (SOURCE, contract.department))
        far = {} if contract.department == SOURCE or customer_key != "customer_id" else {one: found[one] for one in found.keys() & home}
        return Copies(far, {one: found[one] for one in found.keys() & here - {contract.resource}})

    @property
    def decided_here(self) -> frozenset[str]:
        """The fields that are judged by the row in which they stand."""
        return frozenset(name for names in self.near.values() for name in names)

    async def take_out(self, call: Call, rows: Sequence[Document]) -> None:
        """Take out of rows, in place, what repeats records that the caller may not read; they must hold what decides access."""
        for resource, names in self.far.items():
            telling = [row for row in rows if any(row.get(name) is not None for name in names)]
            if telling:
                await _far(call, telling, resource, names)
        for resource, names in self.near.items():
            reach = _reach(call, resource, "customer_id")
            _clear((row for row in rows if not reach.everything and not reach.admits(row)), names)


async def _far(call: Call, rows: Sequence[Document], resource: str, names: Sequence[str]) -> None:
    reach = _reach(call, resource, "_id")
    if reach.everything:
        return
    query = {"$and": [{"_id": {"$in": list({row["customer_id"] for row in rows if row.get("customer_id")})}}, reach.filter()]}
    found = call.database[CUSTOMERS].find(query, {"_id": 1}, max_time_ms=call.milliseconds_left)
    seen = {row["_id"] async for row in found}
    _clear((row for row in rows if row.get("customer_id") not in seen), names)


def _reach(call: Call, resource: str, customer_key: str) -> Reach:
    try:
        return call.reach(resource, "read", customer_key)
    except NotAllowed:
        return Reach(())


def _clear(rows: Iterable[Document], names: Sequence[str]) -> None:
    for row in rows:
        for name in names:
            row.pop(name, None)
