"""An exchange rate: what makes one complete. No I/O, no clock."""

from __future__ import annotations

from typing import Any

from chassis.kernel.clock import read_day
from chassis.kernel.errors import Invalid
from chassis.kernel.rates import check_rate

Document = dict[str, Any]


def check(exchange_rate: Document) -> None:
    """Complete an exchange rate: two currencies, a number above 0 in plain writing, where it comes from, and the key of its pair and day."""
    pair = exchange_rate["from_currency"], exchange_rate["to_currency"]
    if pair[0] == pair[1]:
        raise Invalid(f"a rate is between two currencies, both are {pair[0]}; correct one of them", field="to_currency")
    read_day(exchange_rate["first_date"], "first_date")
    exchange_rate["rate"] = check_rate(exchange_rate["rate"])
    exchange_rate["key"] = f"{pair_key(*pair)}-{exchange_rate['first_date']}"
    exchange_rate["source"] = exchange_rate.get("source") or "MANUAL"


def pair_key(source: str, target: str) -> str:
    """What the rates of a pair have in common, e.g. "USD-CNY"."""
    return f"{source}-{target}"
