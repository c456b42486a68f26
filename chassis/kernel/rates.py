"""Exchange rates: which rate counts on a day, and amounts converted by it. Pure and exact: whole numbers and fractions, never floats.

The rate of a pair on a day is the newest one whose first day is not later. It is the reverse of the opposite pair only where the pair itself
has none, and goes through the company's base currency only where neither has one; each says how it came about. Where there is none at all,
there is none: never 1, never 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import cached_property

from chassis.kernel.clock import numbered
from chassis.kernel.errors import Invalid
from chassis.kernel.money import Money, coin, currency, micros, of_micros

# How far back departments are told of every change of a rate, and of how many currencies; older ones are the organization's to tell.
DAYS_BACK, MOST_CURRENCIES = 400, 200
DIGITS = 18
SAME, STORED, INVERSE, THROUGH_BASE = "SAME", "STORED", "INVERSE", "THROUGH_BASE"

Pair = tuple[str, str]


@dataclass(frozen=True)
class Rate:
    """What one unit of `source` is worth in `target` on `day`: `exact`, how it came about (`way`), and the stored rates that it stands on.

    `first_day` is since when it counts, of several the oldest; None where the two are one currency.
    """

    source: str
    target: str
    day: date
    exact: Fraction
    way: str = STORED
    first_day: date | None = None
    legs: tuple[Rate, ...] = ()

    @property
    def text(self) -> str:
        """The rate to 18 digits: exactly as stored, or rounded half up where it was reckoned."""
        with localcontext() as context:
            context.prec, context.rounding = DIGITS, ROUND_HALF_UP
            quotient = Decimal(self.exact.numerator) / Decimal(self.exact.denominator)
        return f"{quotient:f}"

    @property
    def stored(self) -> tuple[Rate, ...]:
        """The stored rates that it stands on, in the order of the way; none where the two are one currency."""
        return (self,) if self.way == STORED else tuple(one for leg in self.legs for one in leg.stored)

    @property
    def age_days(self) -> int:
        """How old it is on the day that was asked for."""
        return 0 if self.first_day is None else (self.day - self.first_day).days

    def convert(self, amount: Money) -> Money:
        """An amount of the source in the target, rounded once, half away from zero, to what can be paid. Raises Invalid for another currency
        and for what is beyond 900 billion."""
        if currency(amount) != self.source:
            raise Invalid(f"the amount is in {currency(amount)}, the rate is of {self.source}; convert each currency by its own rate")
        return of_micros(self.target, rounded(micros(amount) * self.exact, coin(self.target)))


@dataclass(frozen=True)
class Rates:
    """All rates that are known: of each pair the first days (as ordinals, ascending) with their rates as texts. `base` is the company's currency."""

    base: str = "CNY"
    series: Mapping[Pair, tuple[tuple[int, ...], tuple[str, ...]]] = field(default_factory=dict)

    def of_day(self, source: str, target: str, day: date) -> Rate | None:
        """The rate of a day; None where there is none."""
        if source == target:
            return Rate(source, target, day, Fraction(1), SAME)
        if found := self._direct(source, target, day):
            return found
        if self.base in (source, target):
            return None
        there, back = self._direct(source, self.base, day), self._direct(self.base, target, day)
        if there is None or back is None:
            return None
        oldest = min(found.first_day for found in (there, back) if found.first_day)
        return Rate(source, target, day, there.exact * back.exact, THROUGH_BASE, oldest, (there, back))

    def convert(self, amount: Money, target: str, day: date) -> Money | None:
        """The amount in another currency by the rate of a day; None where there is no rate."""
        found = self.of_day(currency(amount), target, day)
        return None if found is None else amount if found.way == SAME else found.convert(amount)

    @cached_property
    def currencies(self) -> tuple[str, ...]:
        """Those of which any rate is known, and the base, by code."""
        return tuple(sorted({self.base, *(code for pair in self.series for code in pair)}))

    def _direct(self, source: str, target: str, day: date) -> Rate | None:
        if found := self._stored(source, target, day):
            return found
        if found := self._stored(target, source, day):
            return Rate(source, target, day, 1 / found.exact, INVERSE, found.first_day, (found,))
        return None

    def _stored(self, source: str, target: str, day: date) -> Rate | None:
        days, texts = self.series.get((source, target), ((), ()))
        index = bisect_right(days, day.toordinal()) - 1
        if index < 0:
            return None
        return Rate(source, target, day, Fraction(texts[index]), STORED, numbered(days[index]))


def rounded(value: Fraction, step: int) -> int:
    """The multiple of a step nearest to a value; halves away from zero."""
    whole, rest = divmod(abs(value), step)
    found = (whole + (2 * rest >= step)) * step
    return found if value >= 0 else -found


def check_rate(text: str, path: str = "rate") -> str:
    """A rate as it is kept: a number above 0 of up to 18 digits, in plain writing, without leading or trailing noughts that mean nothing. Raises
    Invalid."""
    whole, _, part = text.partition(".")
    plain = (whole + part).isascii() and whole.isdigit() and (part.isdigit() or "." not in text)
    if not plain:
        raise Invalid(f"«{text[:40]}» is no rate; write digits with a point, e.g. 7.0856", code="RATE_INVALID", field=path)
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    kept = f"{whole}.{part}" if part else whole
    digits = len((whole + part).lstrip("0"))
    if not digits:
        raise Invalid("a rate is above 0; leave the rate out where there is none", code="RATE_INVALID", field=path)
    if digits > DIGITS or len(part) > DIGITS:
        raise Invalid(
            f"a rate has {DIGITS} digits at most, this one has {max(digits, len(part))}; round it", code="RATE_INVALID", field=path
        )
    return kept
