"""The reconciliation sheet: what was read, what became of it, and sums of the source beside sums of what is stored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from crm.common.v1 import criteria_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.rpc.documents import enum_names
from chassis.rpc.service import request_class
from cli.batches import Batches, targets
from cli.imports.fields import Row, decimal
from cli.imports.recipe import File
from cli.words import say


@dataclass
class Sheet:
    """Counts and sums of one file."""

    label: str
    rows: int = 0
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    refused_rows: int = 0
    changed_fields: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    source: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    stored: dict[str, tuple[int, Decimal]] = field(default_factory=dict)

    def count(self, part: File, row: Row) -> None:
        """Take a row into the counts and sums."""
        self.rows += 1
        for rule in part.counts:
            self.counts[rule["label"]] += _meets(rule, row)
        for check in part.checks:
            rule = check["source"]
            if _meets(rule, row):
                number, total = self.source.get(check["label"], (0, Decimal(0)))
                self.source[check["label"]] = (number + 1, total + _amount(rule, row))

    @property
    def agrees(self) -> bool:
        """Whether every check of sums agrees."""
        return all(self.stored.get(label, (0, Decimal(0)))[1] == total for label, (_, total) in self.source.items() if label in self.stored)

    def show(self, part: File) -> None:
        """Print it."""
        say(f"\n{self.label}: {self.rows:,} rows read, {self.refused_rows:,} refused")
        for resource, outcome in self.outcomes.items():
            told = ", ".join(f"{outcome[name]:,} {name.lower()}" for name in ("CREATED", "UPDATED", "UNCHANGED", "REFUSED"))
            say(f"  {resource:16} {told}")
        for label, number in self.counts.items():
            say(f"  {number:,} {label}")
        if self.changed_fields:
            say("  differing fields: " + ", ".join(f"{name} ({count:,})" for name, count in self.changed_fields.most_common(12)))
        for check in part.checks:
            label = check["label"]
            (rows, total), stored = self.source.get(label, (0, Decimal(0))), self.stored.get(label)
            kept = f"stored {stored[0]:,} records, {stored[1]:,}" if stored else "not compared in a dry run"
            mark = "" if not stored else " ✓" if stored[1] == total else " ✗ differs"
            say(f"  {label}: source {rows:,} rows, {total:,}; {kept}{mark}")

    def as_json(self) -> dict[str, Any]:
        """For --report."""
        return {
            "file": self.label, "rows": self.rows, "refused_rows": self.refused_rows, "counts": dict(self.counts),
            "outcomes": {name: dict(outcome) for name, outcome in self.outcomes.items()},
            "source": {name: [number, str(total)] for name, (number, total) in self.source.items()},
            "stored": {name: [number, str(total)] for name, (number, total) in self.stored.items()},
        }  # fmt: skip


def _meets(rule: Mapping[str, Any], row: Row) -> bool:
    if "blank" in rule:
        return not row.get(rule["blank"])
    text = row.get(rule["column"], "")
    return bool(text) if rule.get("filled") else text == rule["equals"]


def _amount(rule: Mapping[str, Any], row: Row) -> Decimal:
    if "sum" not in rule or not row.get(rule["sum"]):
        return Decimal(0)
    times = decimal(row[rule["times"]], rule["times"]) if "times" in rule else Decimal(1)
    return decimal(row[rule["sum"]], rule["sum"]) * times


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
    path.write_text(json.dumps([sheet.as_json() for sheet in sheets], indent=2, ensure_ascii=False))
