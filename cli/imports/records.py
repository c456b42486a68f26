"""Rows → records of one file, streamed: keys, references, grouping of lines, each key once where the recipe says so."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chassis.rpc.documents import to_message
from cli.batches import targets
from cli.imports.fields import Row, Unfit, key_of, value_of
from cli.imports.recipe import File, Record

OPEN_GROUPS = 500


@dataclass
class Built:
    """A record, and the row it began in."""

    resource: str
    row: int
    message: Any


@dataclass
class Refused:
    """A row that could not become a record."""

    row: int
    column: str
    reason: str


@dataclass
class _Group:
    row: int
    values: dict[str, Any]
    kind: str = "SALE"
    sign: int = 1
    rank: int = 99
    lines: list[dict[str, Any]] = field(default_factory=list)


class Builder:
    """Turns the rows of one file into records. Keys that were sent are remembered (a few dozen bytes each)."""

    def __init__(self, part: File) -> None:
        self.part = part
        self._sent: dict[int, set[int]] = {index: set() for index, record in enumerate(part.records) if record.once or record.group}
        self._groups: dict[int, OrderedDict[str, _Group]] = {
            index: OrderedDict() for index, record in enumerate(part.records) if record.group
        }
        self._equal: Counter[str] = Counter()

    def take(self, number: int, row: Row) -> Iterator[Built | Refused]:
        """Records that the row completes."""
        if self.part.row_key:
            digest = hashlib.sha256("\x1f".join(row.values()).encode()).hexdigest()[:16]
            self._equal[digest] += 1
            row = {**row, "row_key": f"{digest}-{self._equal[digest]}"}
        for index, record in enumerate(self.part.records):
            try:
                yield from self._one(index, record, number, row)
            except Unfit as unfit:
                yield Refused(number, unfit.column, unfit.reason)

    def rest(self) -> Iterator[Built | Refused]:
        """Records that were waiting for more rows."""
        for index, groups in self._groups.items():
            while groups:
                yield self._close(index, *groups.popitem(last=False))

    def _one(self, index: int, record: Record, number: int, row: Row) -> Iterator[Built | Refused]:
        if record.unless_blank and not row.get(record.unless_blank):
            return
        key = key_of(record.key, row)
        if record.group:
            yield from self._gather(index, record, key, number, row)
            return
        if record.once:
            if hash(key) in self._sent[index]:
                return
            self._sent[index].add(hash(key))
        yield Built(record.resource, number, self._message(record, key, _values(record.fields, row)))

    def _gather(self, index: int, record: Record, key: str, number: int, row: Row) -> Iterator[Built | Refused]:
        groups = self._groups[index]
        group = groups.get(key)
        if group is None:
            if hash(key) in self._sent[index]:
                raise Unfit(record.group, f"«{row[record.group]}» goes on after {OPEN_GROUPS} others; sort the file by {record.group}")
            group = _Group(number, _values(record.fields, row))
        line = _values(record.lines, row)
        groups[key] = group
        _classify(record, group, row)
        group.lines.append(line)
        while len(groups) > OPEN_GROUPS:
            yield self._close(index, *groups.popitem(last=False))

    def _close(self, index: int, key: str, group: _Group) -> Built:
        self._sent[index].add(hash(key))
        record = self.part.records[index]
        lines = [{**line, "quantity": line["quantity"] * group.sign} for line in group.lines]
        return Built(record.resource, group.row, self._message(record, key, {**group.values, "kind": group.kind, "lines": lines}))

    @staticmethod
    def _message(record: Record, key: str, values: dict[str, Any]) -> Any:
        descriptor = targets()[record.resource].record.DESCRIPTOR
        try:
            return to_message({"source_key": key, **values}, descriptor)
        except (TypeError, ValueError) as error:
            raise Unfit("", f"does not fit {record.resource}: {error}") from None


def _values(fields: dict[str, Any], row: Row) -> dict[str, Any]:
    found = {name: value_of(spec, row) for name, spec in fields.items()}
    return {name: value for name, value in found.items() if value is not None}


def _classify(record: Record, group: _Group, row: Row) -> None:
    """The first rule (in the recipe's order) that any row of the group meets decides its kind."""
    for rank, rule in enumerate(record.kinds[: group.rank]):
        text = row.get(rule["column"], "")
        if (rule.get("starts_with") and text.startswith(rule["starts_with"])) or (rule.get("negative") and text.startswith("-")):
            group.kind, group.sign, group.rank = rule["kind"], rule.get("sign", 1), rank
            return
