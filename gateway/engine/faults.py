"""Errors of one operation: located like graphql-core's, and kept or dropped by its rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graphql import FieldNode, GraphQLError, located_error

from gateway.engine.places import Place


class _Fault(NamedTuple):
    ranks: tuple[int, ...]
    nulled: tuple[str | int, ...] | None
    error: GraphQLError


class Faults:
    """What went wrong, as it comes; `settled` gives it in the order of the answer."""

    def __init__(self) -> None:
        self._found: list[_Fault] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, error: BaseException, nodes: Sequence[FieldNode], place: Place, row: int, after: Sequence[int] = ()) -> None:
        """An error at a row; the nearest place above that may be null becomes null. `after` puts it behind so many items of its own."""
        steps = place.steps(row)
        path = [step.key for step in steps]
        nulled = next((tuple(path[: end + 1]) for end in range(len(steps) - 1, -1, -1) if steps[end].nullable), None)
        located = located_error(error, list(nodes), path)  # type: ignore[arg-type]  # it wraps what is no Exception
        self._found.append(_Fault((*(step.rank for step in steps), *after), nulled, located))

    def settled(self) -> list[GraphQLError]:
        """In the answer's order; where an error has made a place null, later ones from inside it are not told (specification, 6.4.4)."""
        nulled: set[tuple[str | int, ...] | None] = set()
        kept = []
        for fault in sorted(self._found, key=lambda fault: fault.ranks):
            place = fault.nulled
            above = {None} if place is None else {None, *(place[:end] for end in range(1, len(place) + 1))}
            if not above & nulled:
                nulled.add(place)
                kept.append(fault.error)
        return kept
