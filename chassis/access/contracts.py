"""Sharing contracts: which fields of its records one department shows to another, for a purpose and a time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from chassis.access.caller import Ground, Reach

AGREEMENTS = "sharing_contracts"
TERMS = frozenset((
    "display_name", "provider_department_id", "consumer_department_id", "resource", "fields", "purpose", "start_time", "end_time",
))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Contract(Ground):
    """A ground that opens records of a department to read, in part. It is nobody's role: `department_ids` are the units that show their
    records, `consumers` those to whose people they do, `fields` what these get beside what every record shows."""

    scope: int = 0
    contract_id: str
    title: str
    purpose: str
    resource: str
    consumers: frozenset[str]
    fields: frozenset[str]
    begins: datetime
    ends: datetime

    def runs(self, moment: datetime) -> bool:
        """Whether it counts at the moment; its end does not any more."""
        return self.begins <= moment < self.ends

    def shows(self, names: Iterable[str], kept: frozenset[str]) -> bool:
        """Whether all of these fields are told by it, or are `kept`: those that every record shows."""
        return all(name in self.fields or name in kept for name in names)

    def clauses(self) -> list[dict[str, Any]]:
        """The MongoDB filter that admits."""
        return [{"department_id": {"$in": list(self.department_ids)}}]

    def by_role(self, document: Mapping[str, Any]) -> bool:
        """Never: no role is in it."""
        return False

    def admits(self, document: Mapping[str, Any]) -> bool:
        """Whether a record is one of the department's; means the same as the clauses."""
        return document.get("department_id") in self.department_ids


@dataclass(frozen=True, kw_only=True)
class Agreement(Contract):
    """What a contract shows of itself, as long as it counts: all its terms, what for among them, to the people of both sides."""

    @staticmethod
    def of(contract: Contract) -> Agreement:
        """The agreement of a contract."""
        terms = {one.name: getattr(contract, one.name) for one in fields(contract)}
        sides = contract.consumers.union(contract.department_ids)
        return Agreement(**{**terms, "resource": AGREEMENTS, "fields": TERMS, "consumers": sides})

    def clauses(self) -> list[dict[str, Any]]:
        """The MongoDB filter that admits."""
        return [{"_id": self.contract_id}]

    def admits(self, document: Mapping[str, Any]) -> bool:
        """Whether a record is the contract; means the same as the clauses."""
        return document.get("_id") == self.contract_id


@dataclass(frozen=True)
class Opening:
    """What a read finds, and how much of it: the whole of a record that a role or collaboration reaches (`reach`; None where no role
    opens anything), of others what the contracts show that admit them, and `kept`."""

    reach: Reach | None
    contracts: tuple[Contract, ...]
    kept: frozenset[str]

    def filter(self, asked: Iterable[str] = ()) -> dict[str, Any]:
        """The MongoDB filter of a read that asks by these fields. A contract that does not show them all does not count for it: what is
        found, and in which order, would tell what it does not show."""
        grounds = self.reach.grounds if self.reach else ()
        names = tuple(asked)
        return Reach((*grounds, *(one for one in self.contracts if one.shows(names, self.kept)))).filter()

    def all_show(self, name: str) -> bool:
        """Whether every contract shows the field, so that an order by it leaves nothing out."""
        return all(one.shows((name,), self.kept) for one in self.contracts)

    def parts(self) -> list[Opening]:
        """Each alone: what roles and collaboration open, and each contract. For a read that may ask each by something else."""
        whole = [Opening(self.reach, (), self.kept)] if self.reach else []
        return [*whole, *(Opening(None, (one,), self.kept) for one in self.contracts)]

    def showing(self, row: Mapping[str, Any]) -> tuple[Contract, ...]:
        """The contracts by which alone the caller sees a row; none where it is seen whole. It must hold what decides access."""
        if not self.contracts or (self.reach and self.reach.admits(row)):
            return ()
        return tuple(one for one in self.contracts if one.admits(row))

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as the caller gets it; it must hold what decides access."""
        if not self.contracts or (self.reach and self.reach.admits(row)):
            return row
        names = self.kept.union(*(one.fields for one in self.contracts if one.admits(row)))
        return {name: value for name, value in row.items() if name in names or name == "_id"}
