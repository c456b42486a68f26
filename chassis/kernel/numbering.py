"""Numbers of records by a rule (编号规则): patterns, periods and check letters. Pure.

A pattern is text with {YYYY} {YY} {MM} {DD} of the record's own day, one {SEQ:n}, the running number with n digits at least, and {CHECK}, a
letter by which a slip of the tongue is noticed: T-{YYYY}-{SEQ:4}{CHECK} gives T-2026-0001K.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache

from chassis.kernel.errors import Invalid

NEVER, YEAR, MONTH, DAY = "NEVER", "YEAR", "MONTH", "DAY"
LONGEST = 40
TOKENS = "{YYYY} {YY} {MM} {DD} {SEQ:n} {CHECK}"
# Letters that are not mixed up with digits or with each other; 23 of them, a prime.
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_TOKEN = re.compile(r"\{([A-Z]*)(?::(\d+))?\}")
_DAYS: dict[str, Callable[[date], str]] = {
    "YYYY": lambda day: f"{day.year:04d}", "YY": lambda day: f"{day.year % 100:02d}",
    "MM": lambda day: f"{day.month:02d}", "DD": lambda day: f"{day.day:02d}",
}  # fmt: skip
_LITERAL = re.compile(r"[A-Za-z0-9./_-]*")
_PERIOD = {NEVER: 0, YEAR: 4, MONTH: 7, DAY: 10}


@dataclass(frozen=True)
class Pattern:
    """A pattern that was read; `parts` are (name of the token, digits or text)."""

    parts: tuple[tuple[str, str], ...]
    reset: str

    def number(self, day: date, count: int) -> str:
        """The number of a record of a day."""
        shown = ""
        for name, value in self.parts:
            if name == "SEQ":
                shown += str(count).zfill(int(value))
            elif name == "CHECK":
                shown += check_letter(shown)
            else:
                shown += _DAYS[name](day) if name else value
        return shown

    def period(self, day: date) -> str:
        """What of a day tells counters apart: nothing, 2026, 2026-11, or 2026-11-30."""
        return day.isoformat()[: _PERIOD[self.reset]]


@cache
def pattern_of(text: str, reset: str) -> Pattern:
    """Read a pattern. Raises Invalid with what is wrong with it."""
    parts, place = [], 0
    for found in _TOKEN.finditer(text):
        parts.append(("", text[place : found.start()]))
        parts.append((found[1], found[2] or ""))
        place = found.end()
    parts = [part for part in [*parts, ("", text[place:])] if part != ("", "")]
    _refuse(parts, reset, text)
    return Pattern(tuple(parts), reset)


def _refuse(parts: list[tuple[str, str]], reset: str, text: str) -> None:
    tokens = [name for name, _ in parts if name]
    unknown = [name for name in tokens if name not in (*_DAYS, "SEQ", "CHECK")]
    if unknown or any(not name and not _LITERAL.fullmatch(value) for name, value in parts):
        raise _wrong("number.token", f"use letters, digits, - / . _ and {TOKENS}")
    if tokens.count("SEQ") != 1 or tokens.count("CHECK") > 1 or ("CHECK" in tokens and parts[-1][0] != "CHECK"):
        raise _wrong("number.seq", "one {SEQ:n} must stand in it, and {CHECK} at its end alone")
    digits = [int(value or 0) for name, value in parts if name == "SEQ"]
    if not 1 <= digits[0] <= 12 or any(value for name, value in parts if name in _DAYS):
        raise _wrong("number.digits", "{SEQ:n} has 1 to 12 digits, e.g. {SEQ:4}; the other tokens have no number")
    has = {"YEAR": bool({"YYYY", "YY"} & set(tokens)), "MONTH": "MM" in tokens, "DAY": "DD" in tokens}
    lacking = [one for one in (YEAR, MONTH, DAY) if _PERIOD[one] <= _PERIOD[reset] and not has[one]]
    if lacking:
        raise _wrong("number.reset", "what begins anew each year, month or day must show the year, month or day")
    if len(text) > LONGEST:
        raise _wrong("number.long", f"give at most {LONGEST} characters")


def _wrong(rule: str, words: str) -> Invalid:
    return Invalid(f"the pattern cannot be used: {words}", field="pattern", params={"rule": rule, "most": str(LONGEST), "tokens": TOKENS})


def check_letter(text: str) -> str:
    """The letter that belongs behind a text: another one after any single wrong digit, and after two neighbours that changed places."""
    values = (int(sign, 36) for sign in text if sign.isascii() and sign.isalnum())
    return LETTERS[sum((1 + place % 22) * value for place, value in enumerate(values)) % len(LETTERS)]
