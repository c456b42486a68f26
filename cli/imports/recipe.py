"""A recipe: which columns become which fields of which records. Read from TOML beside the department that owns the noun."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cli.batches import targets
from cli.engines import EngineError
from cli.imports.days import ORDERS
from cli.imports.fields import EVERY_KIND
from cli.imports.numbers import mark_of
from cli.installation import ROOT
from cli.words import say


@dataclass(frozen=True)
class Record:
    """How a row becomes a record. `group` joins rows with one value of a column; `once` sends each key a single time.

    `duplicates` says which of the rows of one key counts: "first", "last", or ("refuse") the first alone while the others are refused.
    """

    resource: str
    key: str
    fields: dict[str, Any]
    lines: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    kinds: list[dict[str, Any]] = field(default_factory=list)
    once: bool = False
    unless_blank: str = ""
    after: str = ""
    duplicates: str = "refuse"


@dataclass(frozen=True)
class File:
    """What to do with a file of these columns.

    `format` (an example: "1.234,56"), `dates` ("day-first", "month-first") and `zone` say how its numbers, days and times are written,
    where its columns need not tell; fields may say it for themselves.
    """

    label: str
    columns: list[str]
    records: list[Record]
    counts: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    row_key: bool = False
    format: str = ""
    dates: str = ""
    zone: str = ""

    @property
    def specs(self) -> list[tuple[str, dict[str, Any]]]:
        """(path, field) of all fields that are converted, those of lines among them."""
        return [
            (f"{record.resource}.{name}", spec)
            for record in self.records for name, spec in (*record.fields.items(), *record.lines.items()) if isinstance(spec, dict)
        ]  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A named recipe for a set of files."""

    name: str
    title: str
    files: list[File]
    constants: list[dict[str, Any]]
    text: str = ""

    def file_for(self, names: list[str]) -> File | None:
        """The part that fits a header: every column that it needs is there."""
        fitting = [part for part in self.files if set(part.columns) <= set(names)]
        return max(fitting, key=lambda part: len(part.columns), default=None)


def load(name: str) -> Recipe:
    """The recipe of a name, or of a path ending in .toml. Raises EngineError saying what is wrong with it."""
    path = Path(name) if name.endswith(".toml") else _find(name)
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
        files = [_file(part, raw) for part in raw["files"]]
        recipe = Recipe(raw["name"], raw.get("title", raw["name"]), files, raw.get("constants", []), text)
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}; `xietong recipes` lists those that there are") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: not a recipe ({error}); see docs/how-to/import-records.md") from error
    _check(recipe, path)
    return recipe


def _file(raw: dict[str, Any], recipe: dict[str, Any]) -> File:
    said = {name: raw.get(name, recipe.get(name, "")) for name in ("format", "dates", "zone")}
    duplicates = raw.get("duplicates", recipe.get("duplicates", "refuse"))
    records = [Record(**{"duplicates": duplicates, **record}) for record in raw["records"]]
    return File(raw["label"], raw["columns"], records, raw.get("counts", []), raw.get("checks", []), raw.get("row_key", False), **said)


def _check(recipe: Recipe, path: Path) -> None:
    known = targets()
    for part in recipe.files:
        for record in part.records:
            if record.resource not in known:
                raise EngineError(f"{path}: «{record.resource}» cannot be imported; use one of {', '.join(sorted(known))}")
            descriptor = known[record.resource].record.DESCRIPTOR
            unknown = [name for name in record.fields if name not in descriptor.fields_by_name]
            if unknown:
                near = difflib.get_close_matches(unknown[0], descriptor.fields_by_name, 3)
                raise EngineError(f"{path}: {record.resource} have no field «{unknown[0]}»; near it are {', '.join(near) or 'none'}")
            if record.duplicates not in ("refuse", "first", "last"):
                raise EngineError(f"{path}: duplicates = «{record.duplicates}»; use refuse, first or last")
        _check_forms(part, path)


def _check_forms(part: File, path: Path) -> None:
    """How a recipe says that numbers, days and times are written."""
    for where, spec in (("files", {"format": part.format, "dates": part.dates, "zone": part.zone}), *part.specs):
        if spec.get("as", "text") not in EVERY_KIND:
            raise EngineError(f"{path}: {where} says as = «{spec['as']}»; use one of {', '.join(sorted(EVERY_KIND))}")
        if spec.get("format") and mark_of(spec["format"]) is None:
            raise EngineError(
                f"{path}: {where} says format = «{spec['format']}»; write an example with a fraction, as 1.234,56 or 1,234.56"
            )
        if spec.get("dates") and spec["dates"] not in ORDERS:
            raise EngineError(f"{path}: {where} says dates = «{spec['dates']}»; use {' or '.join(ORDERS)}")
        if spec.get("zone"):
            zone_of(spec["zone"], f"{path}: {where}")


def zone_of(name: str, where: str) -> ZoneInfo:
    """The zone of an IANA name. Raises EngineError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EngineError(f"{where}: there is no zone «{name}»; use an IANA name, as Asia/Shanghai or UTC") from None


def _paths() -> list[Path]:
    return sorted(ROOT.glob("services/*/recipes/*.toml"))


def _find(name: str) -> Path:
    for path in _paths():
        if path.stem == name:
            return path
    known = ", ".join(path.stem for path in _paths())
    raise EngineError(f"there is no recipe «{name}»; there are {known}; a path ending in .toml works too")


def list_recipes() -> None:
    """Print the recipes that ship."""
    for path in _paths():
        recipe = load(str(path))
        say(f"  {recipe.name:28} {recipe.title}")
        for part in recipe.files:
            say(f"    {part.label}: {', '.join(part.columns)}")


def suggest(names: list[str]) -> list[str]:
    """For a header that no recipe fits: the resource whose fields are nearest, and a mapping to begin with, as lines of TOML."""
    best: tuple[int, str, dict[str, str]] = (0, "", {})
    for resource, target in targets().items():
        fields = [name for name in target.record.DESCRIPTOR.fields_by_name if name not in ("id", "version", "source_key")]
        mapping: dict[str, str] = {}
        for name in names:
            near = difflib.get_close_matches(name.strip().lower().replace(" ", "_").replace("-", "_"), fields, 1, 0.7)
            if near and near[0] not in mapping.values():
                mapping[name] = near[0]
        if len(mapping) > best[0]:
            best = (len(mapping), resource, mapping)
    if not best[0]:
        return []
    return [f'resource = "{best[1]}"', *(f'{target} = "{{{column}}}"' for column, target in best[2].items())]
