"""The reconciliation sheet: what was read, what became of it, and sums of the source beside sums of what is stored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from crm.common.v1 import criteria_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.kernel.money import MICROS, coin
from chassis.rpc.documents import enum_names
from chassis.rpc.service import request_class
from cli.batches import Batches, targets
from cli.imports import days, numbers
from cli.imports.fields import DAYS, NUMBERS, Row, Unfit, columns_of, decimal
from cli.imports.reader import Layout
from cli.imports.recipe import File
from cli.imports.survey import Survey
from cli.words import say

# What can become of a row, the heavier after the lighter: the heaviest of its records counts. A row that adds nothing is unchanged.
ROW_OUTCOMES = ("UNCHANGED", "UPDATED", "CREATED", "REFUSED")


@dataclass
class Sheet:
    """Counts and sums of one file. `rows` of it have an outcome, each one of ROW_OUTCOMES; `unreached` ones have none, for it `ended` early."""

    label: str
    rows: int = 0
    row_outcomes: dict[str, int] = field(default_factory=dict)
    unreached: int = 0
    ended: str = ""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    changed_fields: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    source: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    stored: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    layout: str = ""
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def refused_rows(self) -> int:
        """Rows of which a record was refused."""
        return self.row_outcomes.get("REFUSED", 0)

    def describe(self, part: File, layout: Layout, survey: Survey) -> None:
        """How the file is read, with the first values of each column as they are understood."""
        self.layout, self.notes = str(layout), list(survey.warnings)
        if layout.encoding.controls:
            self.notes.append(f"it holds control characters (U+0080 to U+009F), the sign of another encoding than {layout.encoding.name}")
        specs = {columns_of(spec["text"])[0]: spec for _, spec in reversed(part.specs) if columns_of(spec.get("text", ""))}
        for name in layout.names:
            texts = [row[name] for row in survey.samples]
            spec = specs.get(name, {})
            chosen = survey.forms.of(spec) if "text" in spec else 0
            self.columns[name] = {"read": survey.columns.get(name, ""), "samples": [_understood(text, spec, chosen) for text in texts]}
        self._marks = {
            check["source"][name]: survey.forms.of({"text": f"{{{check['source'][name]}}}", "as": "number"})
            for check in part.checks for name in ("sum", "times") if name in check["source"]
        }  # fmt: skip

    def count(self, part: File, row: Row) -> None:
        """Take a row into the counts and sums."""
        for rule in part.counts:
            self.counts[rule["label"]] += _meets(rule, row)
        for check in part.checks:
            rule = check["source"]
            if _meets(rule, row):
                number, total = self.source.get(check["label"], (0, Decimal(0)))
                try:
                    total += _amount(rule, row, self._marks)
                except Unfit:
                    self.unread[check["label"]] += 1
                self.source[check["label"]] = (number + 1, total)

    def reckon(self, outcomes: Mapping[str, int], rows: int) -> None:
        """What became of the rows, of `rows` altogether."""
        self.row_outcomes, self.rows = dict(outcomes), sum(outcomes.values())
        self.unreached = rows - self.rows

    @property
    def agrees(self) -> bool:
        """Whether every check of sums agrees, and every amount could be read."""
        compared = ((label, total) for label, (_, total) in self.source.items() if label in self.stored)
        return not self.unread and all(self.stored[label][1] == total for label, total in compared)

    def show(self, part: File, *, samples: bool = False) -> None:
        """Print it; with `samples` how each column was understood."""
        told = ", ".join(f"{self.row_outcomes.get(name, 0):,} {name.lower()}" for name in reversed(ROW_OUTCOMES))
        say(f"\n{self.label}: {self.rows:,} rows read: {told}")
        if self.ended:
            say(f"  ended early ({self.ended}); {self.unreached:,} rows are left or not known of: run it again, it goes on where it stands")
        for name, column in self.columns.items():
            how = f" ({column['read']})" if column["read"] else ""
            shown = f": {' | '.join(column['samples'])}" if samples else ""
            if how or samples:
                say(f"  column {name}{how}{shown}")
        for note in self.notes:
            say(f"  note: {note}")
        for resource, outcome in self.outcomes.items():
            told = ", ".join(f"{outcome[name]:,} {name.lower()}" for name in ("CREATED", "UPDATED", "UNCHANGED", "REFUSED"))
            say(f"  {resource:16} {told}")
        for label, number in self.counts.items():
            say(f"  {number:,} {label}")
        if self.changed_fields:
            say("  differing fields: " + ", ".join(f"{name} ({count:,})" for name, count in self.changed_fields.most_common(12)))
        self._show_checks(part)

    def _show_checks(self, part: File) -> None:
        for check in part.checks:
            label = check["label"]
            (rows, total), stored = self.source.get(label, (0, Decimal(0))), self.stored.get(label)
            kept = f"stored {stored[0]:,} records, {stored[1]:,}" if stored else "not compared"
            mark = "" if not stored else " ✓" if stored[1] == total else " ✗ differs"
            unread = f"; {self.unread[label]:,} amounts could not be read ✗" if self.unread[label] else ""
            say(f"  {label}: source {rows:,} rows, {total:,}; {kept}{mark}{unread}")

    def as_json(self) -> dict[str, Any]:
        """For --report."""
        return {
            "file": self.label, "layout": self.layout, "columns": self.columns, "notes": self.notes, "rows": self.rows,
            "refused_rows": self.refused_rows, "row_outcomes": self.row_outcomes, "unreached_rows": self.unreached, "ended": self.ended,
            "counts": dict(self.counts),
            "outcomes": {name: dict(outcome) for name, outcome in self.outcomes.items()},
            "source": {name: [number, str(total)] for name, (number, total) in self.source.items()},
            "stored": {name: [number, str(total)] for name, (number, total) in self.stored.items()},
            "unread_amounts": dict(self.unread),
        }  # fmt: skip


def _understood(text: str, spec: Mapping[str, Any], chosen: int) -> str:
    """A value as it is shown: what was written, and what was understood where that is spelled otherwise."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:60])
    kind = spec.get("as")
    found: Any = numbers.readings(text)[chosen] if kind in NUMBERS else days.readings(text)[chosen] if kind in DAYS else None
    if isinstance(found, days.Spelled):
        found = found.day.isoformat()
    return shown if found is None or text.startswith(str(found)) else f"{shown} → {found}"


def _meets(rule: Mapping[str, Any], row: Row) -> bool:
    if "blank" in rule:
        return not row.get(rule["blank"])
    text = row.get(rule["column"], "")
    return bool(text) if rule.get("filled") else text == rule["equals"]


def _amount(rule: Mapping[str, Any], row: Row, marks: Mapping[str, int]) -> Decimal:
    if "sum" not in rule or not row.get(rule["sum"]):
        return Decimal(0)
    times = decimal(row.get(rule["times"], ""), rule["times"], marks[rule["times"]]) if "times" in rule else Decimal(1)
    exact = decimal(row[rule["sum"]], rule["sum"], marks[rule["sum"]]) * times
    # Of a line counts what can be paid for it, as sales keeps it.
    return exact.quantize(Decimal(coin(rule["currency"])) / MICROS, ROUND_HALF_UP) if "currency" in rule else exact


async def read_back(batches: Batches, part: File, sheet: Sheet) -> None:
    """Sum what is stored by reading it page by page, one walk a resource."""
    wanted: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for check in part.checks:
        stored = check["stored"]
        wanted.setdefault((stored["resource"], stored["prefix"]), []).append(check)
    for (resource, prefix), checks in wanted.items():
        for check in checks:
            sheet.stored[check["label"]] = (0, Decimal(0))
            sheet.source.setdefault(check["label"], (0, Decimal(0)))
        async for record in _walk(batches, resource, prefix, checks):
            for check in checks:
                rule = check["stored"]
                if _matches(record, rule.get("where", {})):
                    number, total = sheet.stored[check["label"]]
                    sheet.stored[check["label"]] = (number + 1, total + _stored_amount(record, rule.get("sum", "")))


async def _walk(batches: Batches, resource: str, prefix: str, checks: list[dict[str, Any]]) -> Any:
    target = targets()[resource]
    service = target.method.containing_service
    method = next(m for m in service.methods if m.name == f"List{target.method.name.removeprefix('BatchUpsert')}")
    criteria = criteria_pb2.Criteria()
    criteria.condition.field, criteria.condition.operator = "source_key", criteria_pb2.OPERATOR_STARTS_WITH
    criteria.condition.values.add().text = prefix
    names = {name for check in checks for name in (*check["stored"].get("where", {}), check["stored"].get("sum", "")) if name}
    known = target.record.DESCRIPTOR.fields_by_name
    mask = FieldMask(paths=sorted(names | ({"kind"} & set(known))))
    token = ""
    while True:
        request = request_class(method)(filter=criteria, page_size=100, page_token=token, read_mask=mask)
        answer = await batches.call(target.department, service, method.name, request)
        for record in getattr(answer, target.rows):
            yield record
        token = answer.next_page_token
        if not token:
            return


def _matches(record: Any, where: Mapping[str, str]) -> bool:
    for name, wanted in where.items():
        field = record.DESCRIPTOR.fields_by_name[name]
        value = getattr(record, name)
        text = (
            enum_names(field.enum_type).get(value, "") if field.enum_type else str(value).lower() if isinstance(value, bool) else str(value)
        )
        if (not text) if wanted == "*" else text != wanted:
            return False
    return True


def _stored_amount(record: Any, name: str) -> Decimal:
    if not name:
        return Decimal(0)
    returned = (
        "kind" in record.DESCRIPTOR.fields_by_name
        and enum_names(record.DESCRIPTOR.fields_by_name["kind"].enum_type).get(record.kind) == "RETURN"
    )
    return Decimal(getattr(record, name).amount_micros) / 1_000_000 * (-1 if returned else 1)


def write_report(path: Path, sheets: list[Sheet]) -> None:
    """The sheets as JSON."""
    text = json.dumps([sheet.as_json() for sheet in sheets], indent=2, ensure_ascii=False)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
