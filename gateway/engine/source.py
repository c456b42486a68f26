"""Generated source: one function a selection, from a list of rows to a list of dicts.

Its text is made of field names of the schema and of the application's own expressions (see Read). Whatever comes from a document
(aliases above all) enters as a constant of the function's namespace under a name of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.engine.readings import Read


class Deviation(Exception):
    """A row is not what the generated code was made for."""


def _deviate() -> None:
    raise Deviation


Function = Callable[..., Any]


class Source:
    """The text of a function in the making, with the constants that it refers to."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"deviate": _deviate}

    def constant(self, value: object) -> str:
        """The name under which the code finds a value."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def read(self, read: Read, row: str) -> str:
        """The expression of a read, for a row variable."""
        return f"({read.code.format(row=row, **{name: self.constant(value) for name, value in read.names.items()})})"

    def nested(self, value: str, function: Function, *, nullable: bool) -> str:
        """The expression that maps an object, or a list of objects, by another selection's function."""
        name = self.constant(function)
        if not nullable:
            return f"{name}({value})"
        found = f"v{len(self.names)}"
        return f"(None if ({found} := {value}) is None else {name}({found}))"

    def rows(self, kind: type, entries: list[tuple[str, str]]) -> tuple[Function, Function]:
        """(one row → dict, list of rows → list of dicts) for entries of (key, expression in `row`)."""
        shown = "{" + ", ".join(f"{self.constant(key)}: {code}" for key, code in entries) + "}"
        checked = f"{shown} if type(row) is {self.constant(kind)} else deviate()"
        text = f"def one(row):\n    return {checked}\n\ndef rows(rows):\n    return [{checked} for row in rows]\n"
        return self._made(text, "one"), self._made(text, "rows")

    def values(self, kind: type, code: str) -> Function:
        """List of rows → list of the values of one expression in `row`."""
        text = f"def values(rows):\n    return [{code} if type(row) is {self.constant(kind)} else deviate() for row in rows]\n"
        return self._made(text, "values")

    def _made(self, text: str, name: str) -> Function:
        if name not in self.names:
            exec(compile(text, "<plan>", "exec"), self.names)  # noqa: S102  # the text is made of schema names and the application's own expressions
        made: Function = self.names[name]  # type: ignore[assignment]
        return made
