"""Where the rows of a level stand in the answer. Nothing is computed until an error asks for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from graphql.pyutils import Path


class Step(NamedTuple):
    """One step of a path: its key, its rank among its neighbours, whether null may stand there, and the type that has the field."""

    key: str | int
    rank: int
    nullable: bool
    type_name: str | None


class Place(Protocol):
    """The place of every row of a list."""

    def steps(self, row: int) -> list[Step]:
        """The steps from the root to a row."""


class Root:
    """The answer itself."""

    def steps(self, row: int) -> list[Step]:
        """None: row 0 is the answer."""
        return []


class At:
    """The values of one field, one a row of `above`."""

    __slots__ = ("above", "step")

    def __init__(self, above: Place, step: Step) -> None:
        self.above, self.step = above, step

    def steps(self, row: int) -> list[Step]:
        """The parent's steps and the field."""
        return [*self.above.steps(row), self.step]


class Items:
    """The items of lists laid end to end; `counts` tells how many each list has."""

    __slots__ = ("above", "counts", "ends", "nullable")

    def __init__(self, above: Place, counts: Sequence[int], nullable: bool) -> None:
        self.above, self.counts, self.nullable = above, counts, nullable
        self.ends: list[int] | None = None

    def steps(self, row: int) -> list[Step]:
        """The list's steps and the index in it."""
        if self.ends is None:
            self.ends = list(accumulate(self.counts))
        owner = bisect_right(self.ends, row)
        index = row - (self.ends[owner] - self.counts[owner])
        return [*self.above.steps(owner), Step(index, index, self.nullable, None)]


class Some:
    """Some rows of `above`, by their numbers."""

    __slots__ = ("above", "rows")

    def __init__(self, above: Place, rows: Sequence[int]) -> None:
        self.above, self.rows = above, rows

    def steps(self, row: int) -> list[Step]:
        """The steps of the row that it was."""
        return self.above.steps(self.rows[row])


def path_of(steps: Sequence[Step]) -> Path:
    """The path as resolvers expect it."""
    found: Path | None = None
    for step in steps:
        found = Path(found, step.key, step.type_name)
    assert found is not None, "only fields have a path"
    return found
