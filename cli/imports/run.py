"""`xietong import`: reads files by a recipe and sends records in batches; refused rows go to a CSV, sums to the reconciliation sheet."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import Any

from chassis.kernel.clock import HOME
from chassis.rpc.documents import to_message
from cli.batches import Batches, targets
from cli.engines import EngineError
from cli.imports import sheet as sheets
from cli.imports.feeding import Feed, fingerprint
from cli.imports.reader import Layout, look
from cli.imports.recipe import File, Recipe, load, suggest, zone_of
from cli.imports.sending import RESULTS, Import, Rehearsal
from cli.imports.sheet import Sheet
from cli.imports.survey import Survey, survey
from cli.plan import Plan
from cli.words import say

# Of times that name no zone, where neither recipe nor option does.
ZONE = os.environ.get("CRM_TIME_ZONE") or HOME  # the company's
Read = tuple[File, Layout, Survey]


async def run_import(
    plan: Plan, recipe_name: str, paths: list[Path], *, dry_run: bool, errors: Path, report: Path | None, encoding: str = "", zone: str = ""
) -> list[Sheet]:
    """Import files. Exits 1 when rows were refused or sums differ. Raises EngineError before anything is written when a file fits nothing
    or cannot be understood for sure.

    Every file is read whole before the first record goes out. What ends the import early (a department that is away, Ctrl-C) is raised
    after the sheets were shown.
    """
    recipe = load(recipe_name)
    files = sorted((_read(recipe, path, encoding, zone) for path in paths), key=lambda read: recipe.files.index(read[0]))
    rehearsal = Rehearsal() if dry_run else None
    batches = Batches(plan) if dry_run else _feed(plan, recipe, [layout.path for _, layout, _ in files], encoding, zone)
    found: list[Sheet] = []
    stopped: BaseException | None = None
    with errors.open("w", newline="", encoding="utf-8-sig", errors="backslashreplace") as sink:
        writer = csv.writer(sink)
        writer.writerow(("file", "row", "column", "reason"))
        try:
            await _constants(batches, recipe, rehearsal)
            for part, layout, seen in files:
                name = layout.path.name
                tell = lambda row, column, reason, name=name: writer.writerow((name, row, column, reason))  # noqa: E731
                one = Import(batches, part, layout, seen, tell, rehearsal)
                found.append(await one.run())
                if stopped := one.stopped:
                    break
            if isinstance(batches, Feed) and not stopped:
                stopped = await batches.finish()
        finally:
            await batches.close()
    for sheet, (part, *_) in zip(found, files, strict=False):
        sheet.show(part, samples=dry_run)
    if report:
        sheets.write_report(report, found)
    refused = sum(sheet.refused_rows for sheet in found)
    say(
        f"\n{'dry run, nothing was written; ' if dry_run else ''}{f'{refused:,} rows refused, see {errors}' if refused else 'no row refused'}"
    )
    if stopped:
        for job in batches.jobs.values() if isinstance(batches, Feed) else ():
            say(f"  job {job.id} does what it was sent; the same command goes on with it, `xietong jobs cancel {job.id}` ends it")
        raise stopped
    if refused or not all(sheet.agrees for sheet in found):
        sys.exit(1)
    errors.unlink()
    return found


def _feed(plan: Plan, recipe: Recipe, paths: list[Path], encoding: str, zone: str) -> Feed:
    """A sender into jobs, known by what is imported."""
    mark = fingerprint(recipe.text, paths, encoding, zone or ZONE)
    return Feed(plan, f"{recipe.name}: {', '.join(path.name for path in paths)}", mark)


def _read(recipe: Recipe, path: Path, encoding: str, zone: str) -> Read:
    """A file read whole: what part of the recipe it is, how it is written, and what is in it."""
    layout = look(path, encoding, lambda names: recipe.file_for(names) is not None)
    part = recipe.file_for(layout.names)
    if part is None:
        raise _unfit(recipe, layout)
    if zone and part.zone and zone != part.zone:
        raise EngineError(f"the recipe says zone = «{part.zone}»; leave out --zone {zone}, or change the recipe")
    name = part.zone or zone or ZONE
    zone_of(name, "--zone")
    say(f"  {path.name}: {part.label}, {layout}")
    return part, layout, survey(part, layout, name)


def _unfit(recipe: Recipe, layout: Layout) -> EngineError:
    lines = suggest(layout.names)
    wanted = "; ".join(f"{item.label}: {', '.join(item.columns)}" for item in recipe.files)
    hint = "\nA mapping to begin a recipe with:\n  " + "\n  ".join(lines) if lines else ""
    return EngineError(f"{layout.path}: its columns ({', '.join(layout.names)}) fit no part of {recipe.name} ({wanted}){hint}")


async def _constants(batches: Batches, recipe: Recipe, rehearsal: Rehearsal | None) -> None:
    for constant in recipe.constants:
        resource = constant["resource"]
        message: Any = to_message({"source_key": constant["key"], **constant["values"]}, targets()[resource].record.DESCRIPTOR)
        outcome = (await Batches.upsert(batches, resource, [message], dry_run=rehearsal is not None))[0]
        if RESULTS[outcome.result] == "REFUSED":
            raise EngineError(f"recipe {recipe.name}: {constant['key']} was refused: {outcome.error_message}")
        if rehearsal:
            rehearsal.made(resource, message, outcome.id)
