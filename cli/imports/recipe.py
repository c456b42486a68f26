"""A recipe: which columns become which fields of which records. Read from TOML beside the department that owns the noun."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.batches import targets
from cli.engines import EngineError
from cli.installation import ROOT
from cli.words import say


@dataclass(frozen=True)
class Record:
    """How a row becomes a record. `group` joins rows with one value of a column; `once` sends each key a single time."""

    resource: str
    key: str
    fields: dict[str, Any]
    lines: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    kinds: list[dict[str, Any]] = field(default_factory=list)
    once: bool = False
    unless_blank: str = ""
    after: str = ""


@dataclass(frozen=True)
class File:
    """What to do with a file of these columns."""

    label: str
    columns: list[str]
    records: list[Record]
    counts: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    row_key: bool = False


@dataclass(frozen=True)
class Recipe:
    """A named recipe for a set of files."""

    name: str
    title: str
    files: list[File]
    constants: list[dict[str, Any]]

    def file_for(self, names: list[str]) -> File | None:
        """The part that fits a header: every column that it needs is there."""
        fitting = [part for part in self.files if set(part.columns) <= set(names)]
        return max(fitting, key=lambda part: len(part.columns), default=None)


def load(name: str) -> Recipe:
    """The recipe of a name, or of a path ending in .toml. Raises EngineError saying what is wrong with it."""
    path = Path(name) if name.endswith(".toml") else _find(name)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        files = [_file(part) for part in raw["files"]]
        recipe = Recipe(raw["name"], raw.get("title", raw["name"]), files, raw.get("constants", []))
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}; `xietong recipes` lists those that there are") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: not a recipe ({error}); see docs/how-to/import-records.md") from error
    _check(recipe, path)
    return recipe


def _file(raw: dict[str, Any]) -> File:
    records = [Record(**record) for record in raw["records"]]
    return File(raw["label"], raw["columns"], records, raw.get("counts", []), raw.get("checks", []), raw.get("row_key", False))


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
