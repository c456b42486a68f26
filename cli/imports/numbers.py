"""A number as people spell it. Two readings: with «.» as the mark of the fraction, and with «,»; which one holds, a whole column tells. Pure."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from functools import lru_cache

MARKS = (".", ",")
FORMATS = ("1,234.56", "1.234,56")
_SIGNS = str.maketrans("", "", "$£€¥元")
_BLANKS = re.compile(r"(?<=\d)[\s'’ʼ](?=\d)")
_SHAPES = tuple(
    re.compile(
        rf"[1-9][0-9]{{0,2}}(?P<group>[_{re.escape(group)}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*(?:{re.escape(mark)}[0-9]*)?"
        rf"|[1-9][0-9]?(?:{re.escape(group)}[0-9]{{2}})+{re.escape(group)}[0-9]{{3}}(?:{re.escape(mark)}[0-9]*)?"  # India: 12,34,567.8
        rf"|[0-9]+(?:{re.escape(mark)}[0-9]*)?(?:[eE][+-]?[0-9]{{1,3}})?|{re.escape(mark)}[0-9]+"
    )
    for mark, group in (MARKS, MARKS[::-1])
)


@lru_cache(maxsize=100_000)
def readings(text: str) -> tuple[Decimal | None, Decimal | None]:
    """The values of a text with «.» and with «,» as the mark of the fraction; None where it cannot be read so.

    Taken off: currency signs, blanks and apostrophes between digits; a minus may stand before or after, or brackets instead of it.
    """
    core, negative = _bare(text)
    if core.isdigit() and core.isascii():
        value = Decimal(core)
        return (-value, -value) if negative else (value, value)
    core = _grouped(core)
    found = [_value(core, mark, shape) for mark, shape in zip(MARKS, _SHAPES, strict=True)]
    point, comma = (-value if negative and value is not None else value for value in found)
    return point, comma


def _bare(text: str) -> tuple[str, bool]:
    """What is left without sign and currency, and whether the number is negative."""
    core = text if text.isascii() else unicodedata.normalize("NFKC", text).replace("−", "-")
    core = core.translate(_SIGNS).strip()
    if core.startswith("(") and core.endswith(")"):
        return core[1:-1].strip(), True
    if core.endswith("-"):
        return core[:-1].strip(), True
    if core[:1] in ("-", "+"):
        return core[1:].strip(), core[0] == "-"
    return core, False


def _grouped(core: str) -> str:
    """Blanks and apostrophes between thousands become «_», which either mark may stand beside."""
    return _BLANKS.sub("_", core)


def _value(core: str, mark: str, shape: re.Pattern[str]) -> Decimal | None:
    if not shape.fullmatch(core):
        return None
    try:
        return Decimal(re.sub(f"[_{re.escape(MARKS[mark == '.'])}]", "", core).replace(mark, "."))
    except InvalidOperation:
        return None


def mark_of(example: str) -> int | None:
    """Which mark a recipe's example of a format («1.234,56») names: 0 for «.», 1 for «,»; None where it does not tell."""
    point, comma = readings(example)
    return None if (point is None) == (comma is None) else int(point is None)
