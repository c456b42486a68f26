"""Rows of a CSV file, plain or .gz, in whatever encoding it is; streamed, never whole in memory."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.engines import EngineError

SAMPLE = 1_000_000
Row = dict[str, str]


def sniff(head: bytes) -> str:
    """UTF-8 (with or without BOM) if it is, else GB18030 if most of what is not ASCII are Chinese characters, else Latin-1."""
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if _decodes(head, "utf-8"):
        return "utf-8"
    if _decodes(head, "gb18030"):
        text = head.decode("gb18030", "ignore")
        foreign = [letter for letter in text if ord(letter) > 127]
        if foreign and sum("\u3000" <= letter <= "\u9fff" or "\uff00" <= letter <= "\uffef" for letter in foreign) > len(foreign) * 0.7:
            return "gb18030"
    return "latin-1"


def _decodes(head: bytes, encoding: str) -> bool:
    for cut in range(4):  # the sample may end inside a character
        try:
            head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
        return True
    return False


def _open(path: Path) -> Any:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}; check the path") from error


def encoding_of(path: Path) -> str:
    """The encoding of a file, from its first megabyte."""
    with _open(path) as source:
        try:
            return sniff(source.read(SAMPLE))
        except (gzip.BadGzipFile, EOFError) as error:
            raise EngineError(f"{path}: no gzip file ({error})") from error


def line_count(path: Path) -> int:
    """Lines after the header, counted in bytes: the rows to come, a few more where texts hold line breaks."""
    count = 0
    with _open(path) as source:
        while part := source.read(SAMPLE):
            count += part.count(b"\n")
    return max(count - 1, 0)


def header(path: Path) -> list[str]:
    """The column names."""
    names = next(_lines(path), None)
    if not names or not any(name.strip() for name in names):
        raise EngineError(f"{path}: no header; the first line must name the columns")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise EngineError(f"{path}: two columns are named «{sorted(twice)[0]}»; rename one")
    return [name.strip() for name in names]


def rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(row number in the file counted from 2, values by column name); a row of another length raises EngineError."""
    names = header(path)
    lines = _lines(path)
    next(lines)
    for number, values in enumerate(lines, 2):
        if not values:
            continue
        if len(values) != len(names):
            raise EngineError(f"{path} row {number}: {len(values)} values for {len(names)} columns; mend quotes or separators")
        yield number, dict(zip(names, [value.strip() for value in values], strict=True))


def _lines(path: Path) -> Iterator[list[str]]:
    with _open(path) as source:
        text = io.TextIOWrapper(source, encoding=encoding_of(path), errors="strict", newline="")
        head = text.read(4096)
        delimiter = max(",;\t|", key=lambda mark: head.split("\n", 1)[0].count(mark))
        text.seek(0)
        try:
            yield from csv.reader(text, delimiter=delimiter)
        except (csv.Error, UnicodeDecodeError) as error:
            raise EngineError(f"{path}: {error}") from error
