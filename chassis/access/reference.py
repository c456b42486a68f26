"""What departments make of the parts of the directory that describe the company: rates and fiscal calendars. Pure."""

from __future__ import annotations

from crm.common.v1 import fiscal_pb2, rates_pb2

from chassis.kernel.fiscal import PATTERNS, Calendar, Calendars, Definition
from chassis.kernel.rates import Rates


def rates_of(table: rates_pb2.RateTable) -> Rates:
    """The rates as the organization sent them; each text is read when it is asked for."""
    series = {(one.from_currency, one.to_currency): (tuple(one.first_days), tuple(one.rates)) for one in table.series}
    return Rates(table.base_currency, series)


def calendars_of(table: fiscal_pb2.FiscalTable) -> Calendars:
    """The fiscal calendars of all units. Raises ValueError for a pattern that only a newer build knows: then what was held stays."""
    found: dict[str, list[Definition]] = {}
    for one in table.definitions:
        if one.pattern not in PATTERNS:
            raise ValueError(f"«{one.pattern[:40]}» is no pattern of a fiscal year that this build knows")
        definition = Definition(one.valid_from_year, one.year_start_month, one.pattern, one.week_start, one.time_zone)
        found.setdefault(one.unit_id, []).append(definition)
    default = Calendar.of(found.pop("", []))
    return Calendars({unit: tuple(definitions) for unit, definitions in found.items()}, default)
