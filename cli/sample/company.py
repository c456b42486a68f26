"""What the sample company reckons with: exchange rates of its trade over the year, and fiscal calendars."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from cli.sample.staff import Staff, record

# What one unit is worth in CNY at the beginning, about.
CURRENCIES = {"USD": Decimal("7.1200"), "EUR": Decimal("7.8500"), "HKD": Decimal("0.9130"), "JPY": Decimal("0.0478")}
_WEEK = timedelta(days=7)
# Always the same year: one that has begun cannot be changed when the sample is loaded again.
_FISCAL = 2020


def exchange_rates(staff: Staff, start: date, until: date) -> list[Any]:
    """A rate a week of each currency, from the first Monday on or before `start` to the day `until`; a walk in small steps."""
    found, day = [], start - timedelta(days=start.weekday())
    dice, rates = random.Random(f"{staff.seed}:rates"), dict(CURRENCIES)
    while day <= until:
        for code, rate in rates.items():
            rates[code] = new = (rate * Decimal(10_000 + dice.randint(-60, 60)) / 10_000).quantize(Decimal("0.000001"))
            found.append(record(
                "exchange_rates", source_key=staff.key("rate", f"{code}:{day}"), from_currency=code, to_currency="CNY", rate=f"{new:f}",
                first_date=day.isoformat(), source="IMPORT", description="样例中间价",
            ))  # fmt: skip
        day += _WEEK
    return found


def fiscal_calendars(staff: Staff) -> list[Any]:
    """The company goes by calendar months; the overseas team by weeks of 4, 4 and 5 from February."""
    world = staff.id("departments", "unit", "sales-world")
    return [
        record(
            "fiscal_calendars", source_key=staff.key("fiscal", "company"), name="集团财年（自然月）", year_start_month=1, pattern="MONTHS",
            week_start=1, valid_from_year=_FISCAL,
        ),
        record(
            "fiscal_calendars", source_key=staff.key("fiscal", "world"), name="海外组财年（4-4-5周）", year_start_month=2, pattern="WEEKS_4_4_5",
            week_start=1, valid_from_year=_FISCAL, unit_id=world,
        ),
    ]  # fmt: skip
