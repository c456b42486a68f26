"""Records in groups: what is counted and summed of them, how groups are joined, ordered and cut, and what they come to. Pure and exact.

A group has, for each measure, one sum a currency ("" for what is no amount). What is put together from groups is the same as what is reckoned
from their records: so totals never depend on what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from chassis.kernel.errors import Invalid
from chassis.kernel.money import LARGEST, Money, coin
from chassis.kernel.rates import Rates, rounded

COUNT, SUM, AVG, MIN, MAX, WEIGHTED = "COUNT", "SUM", "AVG", "MIN", "MAX", "WEIGHTED"
NUMBER, MONEY, DATE, TIME = "number", "money", "day", "time"
# What can be made of values of each kind beside counting them.
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    NUMBER: (SUM, AVG, MIN, MAX), MONEY: (SUM, AVG, MIN, MAX), DATE: (MIN, MAX), TIME: (MIN, MAX),
}  # fmt: skip
Keys = tuple[Any, ...]


@dataclass(frozen=True)
class Measure:
    """What is reckoned: `function` of the values of a field of a kind; without a field how many records there are. `weight` is the field that
    says in percent how much of each amount counts."""

    function: str
    field: str = ""
    kind: str = ""
    weight: str = ""


@dataclass
class Part:
    """Values put together: how many, their sum (of weighted ones the sum times a hundred), the least and the greatest."""

    count: int = 0
    total: Decimal = Decimal(0)
    low: Any = None
    high: Any = None

    def add(self, other: Part) -> None:
        """Put another one in."""
        self.count += other.count
        self.total += other.total
        if other.low is not None:
            self.low = other.low if self.low is None else min(self.low, other.low)
        if other.high is not None:
            self.high = other.high if self.high is None else max(self.high, other.high)


@dataclass
class Group:
    """The records that have their keys alike: how many, and for each measure a part a currency."""

    keys: Keys
    count: int = 0
    parts: tuple[dict[str, Part], ...] = ()

    def add(self, other: Group) -> None:
        """Put the records of another one in."""
        self.count += other.count
        self.parts = self.parts or tuple({} for _ in other.parts)
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            for code, part in theirs.items():
                mine.setdefault(code, Part()).add(part)


@dataclass(frozen=True)
class Value:
    """What a measure came to: of amounts by currency, in the base currency, and those that no rate converts; of others `plain`."""

    plain: Any = None
    amount: Money | None = None
    amounts: tuple[Money, ...] = ()
    unconverted: tuple[Money, ...] = ()


@dataclass(frozen=True)
class Cut:
    """Groups as they are shown: the rows in order, what is in none of them (None for nothing), and everything together."""

    rows: list[Group]
    others: Group | None
    totals: Group


@dataclass(frozen=True)
class By:
    """How groups are ordered by one of their keys: periods one after another, values from the largest on; at most `top` of them (0 for all)."""

    periods: bool = False
    top: int = 0


@dataclass(frozen=True)
class Reckoning:
    """What measures come to on a day, by the rates of it."""

    measures: Sequence[Measure]
    rates: Rates
    today: date
    _known: dict[str, Fraction | None] = field(default_factory=dict)

    def values(self, group: Group) -> list[Value]:
        """One for each measure. Raises Invalid for a sum that is beyond what amounts hold."""
        parts = group.parts or tuple({} for _ in self.measures)
        return [self._value(measure, each, group.count) for measure, each in zip(self.measures, parts, strict=True)]

    def size(self, group: Group) -> tuple[float, int]:
        """By what groups are ordered: the first measure in the base currency, about, then how many records there are."""
        first = self.measures[0] if self.measures else None
        if first is None or first.kind in (DATE, TIME) or first.function == COUNT:
            counted = (
                sum(part.count for part in group.parts[0].values()) if first and first.function == COUNT and first.field else group.count
            )
            return float(counted), group.count
        worth = [(part, self._factor(code)) for code, part in group.parts[0].items() if part.count]
        if first.function in (MIN, MAX):
            ends = [(part.low if first.function == MIN else part.high) * factor for part, factor in worth]
            return float((min if first.function == MIN else max)(ends, default=0)), group.count
        total = sum(float(part.total) * factor for part, factor in worth)
        count = sum(part.count for part, _ in worth) if first.function == AVG else 1
        return total / (count or 1), group.count

    def cut(self, groups: Iterable[Group], by: Sequence[By], limit: int) -> Cut:
        """The groups as they are shown: within each grouping the `top`, and `limit` in all; the rest are the others."""
        every = list(groups)
        totals = _joined(every, self.measures)
        ranks = [self._ranks(every, place, one) for place, one in enumerate(by)]
        kept = [group for group in every if all(key in rank for key, rank in zip(group.keys, ranks, strict=True))]
        kept.sort(key=lambda group: tuple(rank[key] for key, rank in zip(group.keys, ranks, strict=True)))
        rows = kept[:limit]
        shown = {group.keys for group in rows}
        rest = [group for group in every if group.keys not in shown]
        return Cut(rows, _joined(rest, self.measures) if rest else None, totals)

    def _ranks(self, groups: Sequence[Group], place: int, by: By) -> dict[Any, int]:
        """The keys at a place that are kept, each with its rank; records without a value come last."""
        joined: dict[Any, Group] = {}
        for group in groups:
            joined.setdefault(group.keys[place], _joined((), self.measures)).add(group)
        largest = sorted(joined, key=lambda key: (*(-part for part in self.size(joined[key])), key is None, _told(key)))
        kept = largest[: by.top or None]
        if by.periods:
            kept.sort(key=lambda key: (key is None, _told(key)))
        return {key: rank for rank, key in enumerate(kept)}

    def _value(self, measure: Measure, parts: Mapping[str, Part], count: int) -> Value:
        if measure.function == COUNT:
            return Value(sum(part.count for part in parts.values()) if measure.field else count)
        if measure.kind == MONEY:
            return self._amount(measure.function, parts)
        part = parts.get("", Part())
        if measure.function in (MIN, MAX):
            return Value(part.low if measure.function == MIN else part.high)
        if measure.function == AVG:
            return Value(part.total / part.count if part.count else None)
        return Value(part.total)

    def _amount(self, function: str, parts: Mapping[str, Part]) -> Value:
        held = {code: part for code, part in sorted(parts.items()) if part.count}
        amounts = {code: _money(code, _micros(function, part), coin(code) if function == AVG else 1) for code, part in held.items()}
        worth = {code: rate for code in held if (rate := self._rate(code)) is not None}
        apart = tuple(amount for code, amount in amounts.items() if code not in worth)
        base = None
        if worth or (function in (SUM, WEIGHTED) and not apart):
            base = _money(self.rates.base, self._base(function, {code: held[code] for code in worth}), coin(self.rates.base))
        return Value(amount=base, amounts=tuple(amounts.values()), unconverted=apart)

    def _base(self, function: str, parts: Mapping[str, Part]) -> Fraction:
        """In the base currency, each currency rounded once to what can be paid there; of means and ends not rounded yet."""
        step = coin(self.rates.base)
        each = {code: _micros(function, part) * (self._rate(code) or 0) for code, part in parts.items()}
        if function in (MIN, MAX):
            return (min if function == MIN else max)(each.values())
        if function == AVG:
            count = sum(part.count for part in parts.values())
            return sum((Fraction(part.total) * (self._rate(code) or 0) for code, part in parts.items()), Fraction(0)) / count
        return sum((Fraction(rounded(value, step)) for value in each.values()), Fraction(0))

    def _factor(self, code: str) -> float:
        return float(self._rate(code) or 0) if code else 1.0

    def _rate(self, code: str) -> Fraction | None:
        if code not in self._known:
            found = self.rates.of_day(code, self.rates.base, self.today)
            self._known[code] = found.exact if found else None
        return self._known[code]


def _joined(groups: Iterable[Group], measures: Sequence[Measure]) -> Group:
    found = Group((), 0, tuple({} for _ in measures))
    for group in groups:
        found.add(group)
    return found


def _told(key: Any) -> tuple[str, str]:
    """By what keys are ordered among themselves; those of one grouping are of one type."""
    return type(key).__name__, key.isoformat() if isinstance(key, date | datetime) else str(key)


def _micros(function: str, part: Part) -> Fraction:
    if function in (MIN, MAX):
        return Fraction(part.low if function == MIN else part.high)
    total = Fraction(part.total)
    return total / part.count if function == AVG else total / 100 if function == WEIGHTED else total


def _money(code: str, micros: Fraction, step: int) -> Money:
    """An amount, rounded to a step in millionths. Raises Invalid where it is beyond what amounts hold."""
    found = rounded(micros, step)
    if abs(found) > LARGEST:
        words = f"a sum in {code} is beyond ±900 000 000 000; narrow the filter, or group it"
        raise Invalid(words, code="REPORT_TOO_WIDE", field="filter", params={"rule": "aggregate.beyond", "currency": code})
    return {"currency_code": code, "amount_micros": found}
