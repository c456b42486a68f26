"""Rows → records of one file, streamed: keys, references, grouping of lines, each key once where the recipe says so."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chassis.rpc.documents import to_message
from cli.batches import BYTES, targets
from cli.imports import numbers
from cli.imports.fields import Forms, Read, Row, Unfit, key_of, reader
from cli.imports.recipe import File, Record
from cli.imports.survey import Survey


@dataclass
class Built:
    """A record, and the rows of which it was made."""

    resource: str
    rows: list[int]
    message: Any


@dataclass
class Refused:
    """Rows that could not become a record."""

    rows: list[int]
    column: str
    reason: str


@dataclass
class _Group:
    rows: list[int]
    values: dict[str, Any]
    kind: str = "SALE"
    sign: int = 1
    rank: int = 99
    lines: list[dict[str, Any]] = field(default_factory=list)
    wrong: tuple[int, Unfit] | None = None


class Builder:
    """Turns the rows of one file into records, by what the reading pass found. Keys that were sent are remembered (a few dozen bytes each)."""

    def __init__(self, part: File, survey: Survey) -> None:
        self.part, self.survey = part, survey
        self._keys = [key_of(record.key) for record in part.records]
        self._fields = [_compiled(record.fields, survey.forms) for record in part.records]
        self._lines = [_compiled(record.lines, survey.forms) for record in part.records]
        self._sent: dict[str, set[int]] = {record.resource: set() for record in part.records if record.once}
        self._groups: dict[int, dict[str, _Group]] = {index: {} for index, record in enumerate(part.records) if record.group}
        self._equal: Counter[str] = Counter()
        self.left_out = 0

    def take(self, number: int, row: Row) -> Iterator[Built | Refused]:
        """Records that the row completes. A fault of ours costs the row, not the rest."""
        if self.part.row_key:
            digest = hashlib.sha256("\x1f".join(row.values()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
            self._equal[digest] += 1
            row = {**row, "row_key": f"{digest}-{self._equal[digest]}"}
        for index, record in enumerate(self.part.records):
            if record.unless_blank and not row.get(record.unless_blank):
                continue
            try:
                found = self._gather(index, number, row) if record.group else self._one(index, number, row)
            except Unfit as unfit:
                found = Refused([number], unfit.column, unfit.reason)
            except Exception as fault:
                found = Refused([number], "", f"the tool failed on this row ({type(fault).__name__}: {fault}); please report it")
            if found:
                yield found

    @property
    def waiting(self) -> Iterator[int]:
        """Rows of groups that are not whole yet."""
        for groups in self._groups.values():
            for group in groups.values():
                yield from group.rows

    def _one(self, index: int, number: int, row: Row) -> Built | None:
        record = self.part.records[index]
        key = self._keys[index](row)
        sent = self._sent.get(record.resource)
        if record.once:
            if sent is not None and hash(key) in sent:
                return None
        elif not self._counts(record, key, number):
            return None
        built = Built(record.resource, [number], self._message(record, key, _values(self._fields[index], row)))
        if sent is not None:
            sent.add(hash(key))
        return built

    def _counts(self, record: Record, key: str, number: int) -> bool:
        """Whether this row is the one of its key that counts. Raises Unfit where the others are refused."""
        places = self.survey.keys[record.resource].again.get(hash(key))
        if places is None or number == places[record.duplicates == "last"]:
            return True
        if record.duplicates == "refuse":
            how = 'merge the rows, or say in the recipe which one counts (duplicates = "first" or "last")'
            raise Unfit("", f"its key «{key}» stands already in row {places[0]}; {how}")
        self.left_out += 1
        return False

    def _gather(self, index: int, number: int, row: Row) -> Built | Refused | None:
        """Take a line into its group; the record when that was the last one. One line that cannot be read keeps the record out."""
        record, key = self.part.records[index], self._keys[index](row)
        groups = self._groups[index]
        group = groups.setdefault(key, _Group([], {}))
        group.rows.append(number)
        try:
            if not group.values:
                group.values = _values(self._fields[index], row)
            _classify(record, group, row)
            group.lines.append(_values(self._lines[index], row))
        except Unfit as unfit:
            group.wrong = group.wrong or (number, unfit)
        if len(group.rows) < self.survey.groups[index][hash(key)][2]:
            return None
        return self._close(record, key, groups.pop(key))

    def _close(self, record: Record, key: str, group: _Group) -> Built | Refused:
        if group.wrong:
            number, unfit = group.wrong
            others = f" (row {number}; all rows of this {record.group} wait for it)" if len(group.rows) > 1 else ""
            return Refused(group.rows, unfit.column, unfit.reason + others)
        lines = [{**line, "quantity": line["quantity"] * group.sign} if "quantity" in line else line for line in group.lines]
        try:
            return Built(record.resource, group.rows, self._message(record, key, {**group.values, "kind": group.kind, "lines": lines}))
        except Unfit as unfit:
            return Refused(group.rows, unfit.column, unfit.reason)

    @staticmethod
    def _message(record: Record, key: str, values: dict[str, Any]) -> Any:
        descriptor = targets()[record.resource].record.DESCRIPTOR
        try:
            message = to_message({"source_key": key, **values}, descriptor)
        except (TypeError, ValueError) as error:
            raise Unfit("", f"does not fit {record.resource}: {error}") from None
        if message.ByteSize() > BYTES:
            raise Unfit("", f"it makes a record of {message.ByteSize():,} bytes; {BYTES:,} are the most")
        return message


def _compiled(fields: dict[str, Any], forms: Forms) -> list[tuple[str, Read]]:
    return [(name, reader(spec, forms)) for name, spec in fields.items()]


def _values(reads: list[tuple[str, Read]], row: Row) -> dict[str, Any]:
    return {name: value for name, read in reads if (value := read(row)) is not None}


def _classify(record: Record, group: _Group, row: Row) -> None:
    """The first rule (in the recipe's order) that any row of the group meets decides its kind."""
    for rank, rule in enumerate(record.kinds[: group.rank]):
        text = row.get(rule["column"], "")
        if (rule.get("starts_with") and text.startswith(rule["starts_with"])) or (rule.get("negative") and _negative(text)):
            group.kind, group.sign, group.rank = rule["kind"], rule.get("sign", 1), rank
            return


def _negative(text: str) -> bool:
    return not text.isalnum() and any(value is not None and value < 0 for value in numbers.readings(text))
