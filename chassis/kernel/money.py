"""Money as documents hold it: {currency_code, amount_micros}. Pure; exact integers, never floats."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from chassis.kernel.errors import Invalid
from chassis.kernel.standards import CURRENCIES

MICROS = 1_000_000
LARGEST = 900_000_000_000 * MICROS
# What amounts without a currency are compared in; what a company reckons in where it names no other.
HOME = "CNY"

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


def coin(code: str) -> int:
    """The smallest amount of a currency that can be paid, in millionths: 10,000 for CNY, 1,000,000 for JPY."""
    return int(10 ** (6 - CURRENCIES.get(code, 6)))


def payable(value: Money) -> Money:
    """The amount as it can be paid: a multiple of its currency's minor unit, half up (away from zero), e.g. 99.999999 CNY is 100.00."""
    step = coin(currency(value))
    whole, rest = divmod(abs(micros(value)), step)
    rounded = (whole + (rest * 2 >= step)) * step
    return of_micros(currency(value), rounded if micros(value) >= 0 else -rounded)


def check_payable(value: Money | None, field: str) -> None:
    """Refuse an amount that nobody can pay: with parts of the smallest coin. Raises Invalid."""
    if value and payable(value) != value:
        places = CURRENCIES[currency(value)]
        parts = f"{places} decimals" if places else "no decimals"
        raise Invalid(f"{currency(value)} has {parts}; round the amount", code="AMOUNT_NOT_PAYABLE", field=field)


def order_key(value: Money | None) -> str | None:
    """By which amounts sort: those of one currency beside each other, the company's own last, and by amount inside; bare numbers of different
    currencies are never compared."""
    if not value:
        return None
    code = currency(value)
    return f"{int(code == HOME)}{code}{micros(value) + LARGEST:019d}"


def total(values: Iterable[Money], *, code: str = "CURRENCY_MIXED", field: str = "") -> Money | None:
    """The sum; refuses more than one currency; None for no values."""
    found = list(values)
    if not found:
        return None
    currencies = {currency(value) for value in found}
    if len(currencies) > 1:
        raise Invalid(f"amounts in {', '.join(sorted(currencies))} cannot be added; use one currency", code=code, field=field)
    return of_micros(currencies.pop(), sum(micros(value) for value in found))
