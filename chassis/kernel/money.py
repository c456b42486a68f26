"""Money as documents hold it: {currency_code, amount_micros}. Pure; exact integers, never floats."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from chassis.kernel.errors import Invalid

MICROS = 1_000_000
LARGEST = 900_000_000_000 * MICROS

Money = dict[str, object]


def money(currency_code: str, amount: Decimal | int | str) -> Money:
    """An amount in units of the currency, rounded half up to a millionth."""
    exact = Decimal(amount)
    if not exact.is_finite() or exact.adjusted() > 15:
        raise Invalid(f"{exact} {currency_code} is beyond ±900 000 000 000; split the amount")
    return of_micros(currency_code, int((exact * MICROS).quantize(Decimal(1), ROUND_HALF_UP)))


def of_micros(currency_code: str, micros: int) -> Money:
    """An amount given in millionths of the unit; refuses what is beyond 900 billion units."""
    if abs(micros) > LARGEST:
        raise Invalid(f"{Decimal(micros) / MICROS} {currency_code} is beyond ±900 000 000 000; split the amount")
    return {"currency_code": currency_code, "amount_micros": micros}


def micros(value: Money | None) -> int:
    """Millionths of the unit; 0 for nothing."""
    return int(value["amount_micros"]) if value else 0  # type: ignore[call-overload]


def currency(value: Money) -> str:
    """The currency code."""
    return str(value["currency_code"])


def total(values: Iterable[Money], *, code: str = "CURRENCY_MIXED", field: str = "") -> Money | None:
    """The sum; refuses more than one currency; None for no values."""
    found = list(values)
    if not found:
        return None
    currencies = {currency(value) for value in found}
    if len(currencies) > 1:
        raise Invalid(f"amounts in {', '.join(sorted(currencies))} cannot be added; use one currency", code=code, field=field)
    return of_micros(currencies.pop(), sum(micros(value) for value in found))
