"""One figure beside what the design wants of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What was measured, in words with units; `goal` as the design says it. `met` is None where the design names no goal."""

    what: str
    measured: str
    goal: str = "names no figure"
    met: bool | None = None

    @property
    def row(self) -> str:
        """The line of the table."""
        verdict = "–" if self.met is None else "yes" if self.met else "no"
        return f"| {self.what} | {self.measured} | {self.goal} | {verdict} |"


def table(figures: Sequence[Figure]) -> list[str]:
    """The table as Markdown."""
    return ["| figure | measured | design | met |", "|---|---|---|---|", *(figure.row for figure in figures)]
