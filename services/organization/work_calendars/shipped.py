"""The days of mainland China that are shipped: announced years from the notices of the State Council, later ones by the law alone.

The file beside this one is data, to be read and mended by hand; nothing here knows a rule by which a holiday could be foretold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chassis.kernel.errors import NotFound

Document = dict[str, Any]
ZONES = frozenset(("Asia/Shanghai", "Asia/Chongqing", "Asia/Chungking", "Asia/Harbin", "Asia/Urumqi", "Asia/Kashgar", "PRC"))


def days_of(year: int) -> list[Document]:
    """The days of a year that are not as their weekday says, by date. Raises NotFound for one that is not shipped."""
    found = _years().get(year)
    if found is None:
        first, last = min(_years()), max(_years())
        words = f"no days are shipped for {year}, but for {first} to {last}; give a file or rows"
        raise NotFound(words, code="CALENDAR_YEAR_NOT_SHIPPED", field="year")
    return [dict(day) for day in found]


def years() -> tuple[int, ...]:
    """The years that are shipped."""
    return tuple(sorted(_years()))


def is_announced(year: int) -> bool:
    """Whether the arrangement of a year was announced when this was built."""
    return year in _read()[1]


def _years() -> Mapping[int, list[Document]]:
    return _read()[0]


@cache
def _read() -> tuple[dict[int, list[Document]], frozenset[int]]:
    found: dict[int, list[Document]] = {}
    announced = set()
    for line in Path(__file__).with_name("china.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        year, state, name, *days = line.split()
        kind = "HOLIDAY"
        for day in days:
            if day == "+":
                kind = "WORKDAY"
                continue
            more = "（补班）" if kind == "WORKDAY" else "（调休）" if day.endswith("*") else ""
            row = {"date": f"{year}-{day.rstrip('*')}", "kind": kind, "label": f"{name}{more}"}
            found.setdefault(int(year), []).append(row)
        if state == "announced":
            announced.add(int(year))
    return {year: sorted(days, key=lambda day: str(day["date"])) for year, days in found.items()}, frozenset(announced)
