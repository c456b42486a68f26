"""`xietong import`: reads files by a recipe and sends records in batches; refused rows go to a CSV, sums to the reconciliation sheet."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from crm.common.v1 import outcome_pb2

from chassis.rpc.documents import to_message
from cli.batches import ROWS, Batches, targets
from cli.engines import EngineError
from cli.imports import sheet as sheets
from cli.imports.reader import encoding_of, header, line_count, rows
from cli.imports.recipe import File, Recipe, load, suggest
from cli.imports.records import Builder, Built, Refused
from cli.imports.sheet import Sheet
from cli.plan import Plan
from cli.words import Progress, say

_PAUSE_SECONDS = 2.5
_RESULTS = {value.number: value.name.removeprefix("UPSERT_RESULT_") for value in outcome_pb2.UpsertResult.DESCRIPTOR.values}


async def run_import(plan: Plan, recipe_name: str, paths: list[Path], *, dry_run: bool, errors: Path, report: Path | None) -> list[Sheet]:
    """Import files. Exits 1 when rows were refused or sums differ. Raises EngineError before anything is written when a file fits nothing."""
    recipe = load(recipe_name)
    parts = sorted(((_fit(recipe, path), path) for path in paths), key=lambda pair: recipe.files.index(pair[0]))
    batches = Batches(plan)
    found: list[Sheet] = []
    with errors.open("w", newline="", encoding="utf-8-sig") as sink:
        writer = csv.writer(sink)
        writer.writerow(("file", "row", "column", "reason"))
        try:
            await _constants(batches, recipe, dry_run)
            for part, path in parts:
                found.append(await _Import(batches, part, path, writer, dry_run).run())
        finally:
            await batches.close()
    for sheet, (part, _) in zip(found, parts, strict=True):
        sheet.show(part)
    if report:
        sheets.write_report(report, found)
    refused = sum(sheet.refused_rows for sheet in found)
    say(
        f"\n{'dry run, nothing was written; ' if dry_run else ''}{f'{refused:,} rows refused, see {errors}' if refused else 'no row refused'}"
    )
    if refused or not all(sheet.agrees for sheet in found):
        sys.exit(1)
    errors.unlink()
    return found


def _fit(recipe: Recipe, path: Path) -> File:
    names = header(path)
    part = recipe.file_for(names)
    if part:
        say(f"  {path.name}: {part.label}, {encoding_of(path)}")
        return part
    lines = suggest(names)
    wanted = "; ".join(f"{item.label}: {', '.join(item.columns)}" for item in recipe.files)
    hint = "\nA mapping to begin a recipe with:\n  " + "\n  ".join(lines) if lines else ""
    raise EngineError(f"{path}: its columns ({', '.join(names)}) fit no part of {recipe.name} ({wanted}){hint}")


async def _constants(batches: Batches, recipe: Recipe, dry_run: bool) -> None:
    for constant in recipe.constants:
        message = to_message({"source_key": constant["key"], **constant["values"]}, targets()[constant["resource"]].record.DESCRIPTOR)
        outcome = (await batches.upsert(constant["resource"], [message], dry_run=dry_run))[0]
        if _RESULTS[outcome.result] == "REFUSED":
            raise EngineError(f"recipe {recipe.name}: {constant['key']} was refused: {outcome.error_message}")


class _Import:
    """One file on its way in."""

    def __init__(self, batches: Batches, part: File, path: Path, writer: Any, dry_run: bool) -> None:
        self.batches, self.part, self.path, self.writer, self.dry_run = batches, part, path, writer, dry_run
        self.sheet = Sheet(f"{path.name} ({part.label})")
        self.waiting: dict[str, list[Built]] = {}
        self.order = list(dict.fromkeys(record.resource for record in part.records))
        self.bad_rows: set[int] = set()

    async def run(self) -> Sheet:
        """Stream the file through."""
        builder, progress = Builder(self.part), Progress(self.path.name, line_count(self.path))
        for number, row in rows(self.path):
            self.sheet.count(self.part, row)
            for found in builder.take(number, row):
                self._keep(found)
            progress.add(1)
            if any(len(built) >= ROWS for built in self.waiting.values()):
                await self._send()
        for found in builder.rest():
            self._keep(found)
            if len(self.waiting.get(self.order[-1], ())) >= ROWS:
                await self._send()
        await self._send()
        progress.end()
        self.sheet.refused_rows = len(self.bad_rows)
        if not self.dry_run:
            await sheets.read_back(self.batches, self.part, self.sheet)
        return self.sheet

    def _keep(self, found: Built | Refused) -> None:
        if isinstance(found, Refused):
            self._refuse(found.row, found.column, found.reason)
        else:
            self.waiting.setdefault(found.resource, []).append(found)

    def _refuse(self, row: int, column: str, reason: str) -> None:
        self.bad_rows.add(row)
        self.writer.writerow((self.path.name, row, column, reason))

    async def _send(self) -> None:
        """Everything that waits, what is referred to first."""
        for resource in self.order:
            built = self.waiting.pop(resource, [])
            if built:
                await self._upsert(resource, built)

    async def _upsert(self, resource: str, built: list[Built]) -> None:
        outcomes = await self.batches.upsert(resource, [item.message for item in built], dry_run=self.dry_run)
        late = [
            index
            for index, outcome in enumerate(outcomes)
            if outcome.error_code == "REFERENCE_NOT_FOUND" and outcome.error_field in ("owner_id", "manager_id")
        ]
        if late and not self.dry_run:  # people who were imported a moment ago are not known everywhere yet
            await asyncio.sleep(_PAUSE_SECONDS)
            again = await self.batches.upsert(resource, [built[index].message for index in late])
            for index, outcome in zip(late, again, strict=True):
                outcomes[index] = outcome
        counter = self.sheet.outcomes.setdefault(resource, Counter())
        for item, outcome in zip(built, outcomes, strict=True):
            counter[_RESULTS[outcome.result]] += 1
            self.sheet.changed_fields.update(outcome.changed_fields)
            if outcome.error_code:
                self._refuse(item.row, outcome.error_field, f"{outcome.error_code}: {outcome.error_message}")
