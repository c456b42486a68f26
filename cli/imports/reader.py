"""Rows of a CSV file, plain or .gz: how it is written is found first, then rows are streamed, never whole in memory, and none stops the rest."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.engines import EngineError
from cli.imports import encodings
from cli.imports.encodings import BAD, Encoding

CHUNK = 1_000_000
# A row of several lines that is longer than this has a quote that nobody closed.
LONGEST = 1_000_000
DELIMITERS = ",;\t|"
_NAMES = {"\t": "tab"}
_DECLARED = re.compile(r"\s*sep=(.)\r?\n?", re.IGNORECASE)
Row = dict[str, str]

csv.field_size_limit(10**9)  # how long a text may be, its field says


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read, and why."""

    reason: str


@dataclass(frozen=True)
class Layout:
    """How a file is written: encoding, marks, the names of its columns, and lines before them."""

    path: Path
    encoding: Encoding
    delimiter: str
    quote: str
    names: list[str]
    before: int = 0

    def __str__(self) -> str:
        quote = "" if self.quote == '"' else f", quoted by {self.quote}"
        return f"{self.encoding.name}, {len(self.names)} columns by «{_NAMES.get(self.delimiter, self.delimiter)}»{quote}"


def look(path: Path, named: str = "", fits: Callable[[list[str]], bool] = bool) -> Layout:
    """How a file is written. `named` is an encoding given by hand; `fits` tells whether a header is one that is looked for.

    Raises EngineError where the encoding is in doubt, or where there is no header.
    """
    encoding = encodings.find(lambda: _chunks(path), str(path), named)
    with _text(path, encoding) as source:
        head = source.read(CHUNK)
    before, declared = 0, ""
    for line in head.splitlines(keepends=True):
        found = _DECLARED.fullmatch(line)
        if line.strip() and not found:
            break
        before, declared = before + 1, found[1] if found else declared
    lines = head.splitlines(keepends=True)[before:]
    tried = [_header(lines, mark) for mark in (declared or DELIMITERS)]
    names, delimiter, quote = max(tried, key=lambda one: (fits(one[0]), len(one[0])))
    if not any(names):
        raise EngineError(f"{path}: no header; the first line must name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EngineError(f"{path}: two columns are named «{twice[0]}»; rename one")
    return Layout(path, encoding, delimiter, quote, names, before)


def _header(lines: list[str], delimiter: str) -> tuple[list[str], str, str]:
    try:
        names = [name.strip() for name in next(csv.reader(iter(lines), delimiter=delimiter), [])]
    except csv.Error:
        return [], delimiter, '"'
    if len(names) > 1 and all(len(name) > 1 and name[0] == name[-1] == "'" for name in names):
        return [name[1:-1] for name in names], delimiter, "'"
    return [name or (f"column {number}" if any(names) else "") for number, name in enumerate(names, 1)], delimiter, '"'


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as source:
            yield source
    except (gzip.BadGzipFile, EOFError) as error:
        raise EngineError(f"{path}: no gzip file ({error})") from error
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}; check the path") from error


def _chunks(path: Path) -> Iterator[bytes]:
    with _open(path) as source:
        while part := source.read(CHUNK):
            yield part


@contextmanager
def _text(path: Path, encoding: Encoding) -> Iterator[io.TextIOWrapper]:
    with _open(path) as source, io.TextIOWrapper(source, encoding=encoding.codec, errors="row by row", newline="") as text:
        yield text


def rows(layout: Layout) -> Iterator[tuple[int, Row | Broken]]:
    """(row number in the file counted from 2, values by column name, or why there are none)."""
    names, wide = layout.names, len(layout.names)
    with _text(layout.path, layout.encoding) as text:
        for _ in range(layout.before):
            text.readline()
        records = _records(text, layout)
        next(records, None)
        for number, values in enumerate(records, 2):
            if isinstance(values, Broken):
                yield number, values
            elif len(values) == wide:
                row = dict(zip(names, map(str.strip, values), strict=True))
                yield number, _checked(row, layout) if layout.encoding.dirty else row
            elif values:
                yield number, Broken(f"{len(values)} values for {wide} columns; mend quotes or separators")


def _checked(row: Row, layout: Layout) -> Row | Broken:
    wrong = next((name for name, value in row.items() if BAD in value), None)
    if wrong is None:
        return row
    return Broken(f"{wrong}: bytes that are no {layout.encoding.name}; mend them, or name the encoding (--encoding)")


class _Lines:
    """The lines of a text; those of the present record are kept, so that they can be given back."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text, self.waiting = text, deque[str]()
        self.record: list[str] = []
        self.size, self.ended = 0, False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.waiting.popleft() if self.waiting else self.text.readline()
        if not line:
            self.ended = True
            raise StopIteration
        if self.record:
            self.size += len(line)
            if self.size > LONGEST:
                self.waiting.appendleft(line)
                raise csv.Error("the quote is not closed")
        self.record.append(line)
        return line

    def begin(self) -> None:
        """The next record."""
        self.record.clear()
        self.size, self.ended = 0, False

    def give_back(self) -> None:
        """All lines but the first come again."""
        self.waiting.extendleft(reversed(self.record[1:]))


def _records(text: io.TextIOWrapper, layout: Layout) -> Iterator[list[str] | Broken]:
    """Records as csv reads them. Where a quote makes no sense, its line alone is lost: the lines after it are read anew."""
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=layout.delimiter, quotechar=layout.quote, strict=True)
    while True:
        lines.begin()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            if len(lines.record) == 1 and not lines.ended:
                yield _lenient(lines.record[0], layout)
                continue
            lines.give_back()
            yield Broken("a quote opens in this row and none closes it; close it, or double it where it is part of a text")
            continue
        yield values


def _lenient(line: str, layout: Layout) -> list[str] | Broken:
    """A line with quotes in the middle of a text, as spreadsheets read it."""
    try:
        return next(csv.reader([line], delimiter=layout.delimiter, quotechar=layout.quote))
    except csv.Error as error:
        return Broken(f"{error}; mend quotes or line ends")
