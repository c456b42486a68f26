"""Text of a column → value of a field, by the word after `as`. Every refusal names column and reason. Pure.

A recipe's fields are compiled once, with the forms that were found for the whole column; values that come again are not read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from chassis.kernel.errors import Invalid
from chassis.kernel.ids import from_source
from chassis.kernel.money import money
from chassis.kernel.text import line
from cli.imports import days, numbers

Row = Mapping[str, str]
Read = Callable[[Row], Any]
REMEMBERED = 50_000
_NAME = re.compile(r"\{([^{}]+)\}")
NUMBERS = ("integer", "quantity", "number", "decimal", "money")
DAYS = ("date", "time")
_COUNTRIES = {
    "united kingdom": "GB", "france": "FR", "germany": "DE", "eire": "IE", "spain": "ES", "netherlands": "NL", "belgium": "BE", "switzerland": "CH",
    "portugal": "PT", "australia": "AU", "norway": "NO", "italy": "IT", "finland": "FI", "cyprus": "CY", "sweden": "SE", "austria": "AT", "denmark": "DK",
    "japan": "JP", "poland": "PL", "israel": "IL", "usa": "US", "united states": "US", "hong kong": "HK", "singapore": "SG", "iceland": "IS", "canada": "CA",
    "greece": "GR", "malta": "MT", "united arab emirates": "AE", "rsa": "ZA", "lebanon": "LB", "lithuania": "LT", "brazil": "BR", "czech republic": "CZ",
    "bahrain": "BH", "saudi arabia": "SA", "china": "CN", "中国": "CN",
}  # fmt: skip


class Unfit(Exception):
    """A text that is no value of its field."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.reason = column, reason


class Forms:
    """How columns are written: for each template 0 or 1, the reading that counts, as `numbers.MARKS` and `days.ORDERS` have them; and the
    zone of times that name none."""

    def __init__(self, chosen: Mapping[str, int] | None = None, zone: str = "UTC") -> None:
        self.chosen, self.zone = chosen or {}, zone

    def of(self, spec: Mapping[str, Any]) -> int:
        """The reading for a field."""
        return self.chosen.get(column_key(spec), 0)


def column_key(spec: Mapping[str, Any]) -> str:
    """Under which name the form of a field's column is kept: what is mapped first is a column of its own."""
    kind = "day" if spec.get("as") in DAYS else "number"
    return f"{kind} {spec['text']}" + (f" by {sorted(spec['map'].items())}" if "map" in spec else "")


def columns_of(template: str) -> list[str]:
    """The columns that a template names."""
    return _NAME.findall(template)


def template(text: str, change: Callable[[str], str] = str) -> Callable[[Row], str]:
    """Fills a template from a row; `change` is done to each value."""
    parts = _NAME.split(text)
    if len(parts) == 3 and not parts[0] and not parts[2]:
        name = parts[1]
        return lambda row: change(row.get(name, ""))

    def fill(row: Row) -> str:
        return "".join(change(row.get(part, "")) if index % 2 else part for index, part in enumerate(parts))

    return fill


def key_of(text: str) -> Callable[[Row], str]:
    """Makes natural keys: inner blanks folded, the empty fractions of spreadsheets (17850.0) dropped."""
    return template(text, whole)


def whole(text: str) -> str:
    """A value as it stands in keys."""
    if text.endswith(".0") and text[:-2].isdigit():
        return text[:-2]
    return text if text.isalnum() else line(text)


def text_of(spec: Mapping[str, Any]) -> Callable[[Row], str]:
    """The text of a field with `text`, mapped."""
    fill, mapped = template(spec["text"]), spec.get("map")
    default = str(spec.get("default", ""))
    if mapped is None:
        return lambda row: fill(row).strip() or default

    def read(row: Row) -> str:
        text = fill(row).strip()
        return str(mapped.get(text, mapped.get("*", text)) or default)

    return read


def reader(spec: Any, forms: Forms) -> Read:
    """How a field is read from a row; None leaves it out. What it returns raises Unfit."""
    if isinstance(spec, str):
        fill = template(spec)
        return lambda row: fill(row).strip() or None
    if "value" in spec:
        constant = spec["value"]
        return _unless_blank(spec, lambda row: constant)
    if "ref" in spec:
        return _unless_blank(spec, _reference(spec))
    text, column = text_of(spec), (columns_of(spec["text"]) or [spec["text"]])[0]
    convert = _converter(spec, forms, column)
    if spec.get("as", "text") != "text":
        convert = _remembered(convert)
    return _unless_blank(spec, lambda row: convert(found) if (found := text(row)) else None)


def _unless_blank(spec: Mapping[str, Any], read: Read) -> Read:
    name = spec.get("unless_blank")
    return (lambda row: read(row) if row.get(name) else None) if name else read


def _reference(spec: Mapping[str, Any]) -> Read:
    mapped, resource = spec.get("map") or {}, spec["ref"]
    key = template(spec["key"], lambda value: whole(mapped.get(value, value)))
    identity = _remembered(lambda key: from_source(resource, key))
    return lambda row: identity(key(row))


def _remembered(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same for the same text, reckoned once."""
    known: dict[str, Any] = {}

    def read(text: str) -> Any:
        if text in known:
            return known[text]
        found = convert(text)
        if len(known) >= REMEMBERED:
            known.clear()
        known[text] = found
        return found

    return read


def _converter(spec: Mapping[str, Any], forms: Forms, column: str) -> Callable[[str], Any]:
    kind, chosen = spec.get("as", "text"), forms.of(spec)
    if kind in NUMBERS:
        return lambda text: _number(text, column, spec, chosen)
    if kind in DAYS:
        zone = ZoneInfo(spec.get("zone", forms.zone))
        return lambda text: _day(text, column, kind, chosen, zone)
    read = _KINDS[kind]
    return lambda text: read(text, column)


def decimal(text: str, column: str, chosen: int = 0) -> Decimal:
    """A number by the form of its column."""
    value = numbers.readings(text)[chosen]
    if value is None:
        if "%" in text or "％" in text:
            raise Unfit(column, f"«{text}» is a percentage; give the number that is meant")
        raise Unfit(column, f"«{text}» is no number: this column writes them as {numbers.FORMATS[chosen]}")
    return value


def _number(text: str, column: str, spec: Mapping[str, Any], chosen: int) -> Any:
    value = decimal(text, column, chosen)
    kind = spec["as"]
    if kind == "number":
        return float(value)
    if kind == "decimal":
        return f"{value:f}"
    if kind == "money":
        try:
            return money(spec["currency"], value * Decimal(spec.get("factor", "1")))
        except Invalid as error:
            raise Unfit(column, error.message) from None
    if value != value.to_integral_value():
        raise Unfit(column, f"«{text}» is no whole number")
    return int(value)


def _day(text: str, column: str, kind: str, chosen: int, zone: tzinfo) -> Any:
    """A day as ISO text, or a moment. Of a moment the day is the one in its zone."""
    said = days.readings(text)[chosen]
    if said is None:
        other = f" with the {('month', 'day')[chosen]} first" if days.readings(text)[1 - chosen] else ""
        raise Unfit(column, f"«{text}» is no {'day' if kind == 'date' else 'time'}{other}; write it as 2026-11-22 or 2026-11-22 09:00")
    if kind == "date" and said.offset is None:
        return said.day.isoformat()
    found = days.moment(said, zone)
    if isinstance(found, str):
        raise Unfit(column, f"«{text}» {found}")
    return found.astimezone(zone).date().isoformat() if kind == "date" else found


def _country(text: str, _: str) -> str | None:
    return _COUNTRIES.get(text.casefold(), text if re.fullmatch("[A-Z]{2}", text) else None)


def _mail(text: str, _: str) -> str:
    return re.sub(r"[^a-z0-9]+", ".", text.casefold()).strip(".") + "@import.example"


def _yes(text: str, column: str) -> bool:
    known = {"yes": True, "true": True, "1": True, "是": True, "no": False, "false": False, "0": False, "否": False}
    if text.casefold() not in known:
        raise Unfit(column, f"«{text}» is neither yes nor no")
    return known[text.casefold()]


_KINDS: dict[str, Callable[[str, str], Any]] = {
    "text": lambda text, _: text,
    "country": _country,
    "mail": _mail,
    "yes": _yes,
    "without_fraction": lambda text, _: text.removesuffix(".0"),
}

EVERY_KIND = (*_KINDS, *NUMBERS, *DAYS)
