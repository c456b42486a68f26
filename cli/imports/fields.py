"""Text of a column → value of a field, by the word after `as`. Every refusal names column and reason. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from chassis.kernel.errors import Invalid
from chassis.kernel.ids import from_source
from chassis.kernel.money import money

Row = Mapping[str, str]
_NAME = re.compile(r"\{([^{}]+)\}")
_DAYS = ("%Y-%m-%d", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%Y年%m月%d日")
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%dT%H:%M:%S")
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


def columns_of(template: str) -> list[str]:
    """The columns that a template names."""
    return _NAME.findall(template)


def text_of(template: str, row: Row) -> str:
    """The template with the row's values; the numbers of spreadsheets (17850.0) lose their empty fraction in keys and names."""
    return _NAME.sub(lambda found: row.get(found.group(1), ""), template).strip()


def key_of(template: str, row: Row) -> str:
    """A natural key; inner blanks folded, empty fractions dropped."""
    return _NAME.sub(lambda found: _whole(row.get(found.group(1), "")), template)


def _whole(text: str) -> str:
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else " ".join(text.split())


def value_of(spec: Any, row: Row) -> Any:
    """The value of a field; None leaves it out. Raises Unfit."""
    if isinstance(spec, str):
        return text_of(spec, row) or None
    if "value" in spec:
        return spec["value"]
    if spec.get("unless_blank") and not row.get(spec["unless_blank"]):
        return None
    if "ref" in spec:
        mapped = {name: spec.get("map", {}).get(value, value) for name, value in row.items()} if "map" in spec else row
        return from_source(spec["ref"], key_of(spec["key"], mapped))
    text = text_of(spec["text"], row)
    if "map" in spec:
        text = spec["map"].get(text, spec["map"].get("*", text))
    text = text or str(spec.get("default", ""))
    if not text:
        return None
    column = (columns_of(spec["text"]) or [spec["text"]])[0]
    kind = spec.get("as", "text")
    if kind == "money":
        return _money(text, column, spec)
    if kind not in _KINDS:
        raise Unfit(column, f"the recipe says as = «{kind}»; use one of {', '.join(sorted([*_KINDS, 'money']))}")
    return _KINDS[kind](text, column)


def decimal(text: str, column: str) -> Decimal:
    """A number with thousands separators and currency signs taken off."""
    plain = re.sub(r"[,\s$£€¥￥]", "", text)
    try:
        value = Decimal(plain)
    except InvalidOperation:
        raise Unfit(column, f"«{text}» is no number") from None
    if not value.is_finite():
        raise Unfit(column, f"«{text}» is no finite number")
    return value


def _money(text: str, column: str, spec: Mapping[str, Any]) -> Any:
    try:
        return money(spec["currency"], decimal(text, column) * Decimal(spec.get("factor", "1")))
    except Invalid as error:
        raise Unfit(column, error.message) from None


def _integer(text: str, column: str) -> int:
    value = decimal(text, column)
    if value != value.to_integral_value():
        raise Unfit(column, f"«{text}» is no whole number")
    return int(value)


def day(text: str, column: str) -> date:
    """A day in one of the usual spellings."""
    for form in _DAYS:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise Unfit(column, f"«{text}» is no day; write it as 2026-11-22, 11/22/2026 or 2026年11月22日")


def _time(text: str, column: str) -> datetime:
    for form in _TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    found = day(text, column)
    return datetime(found.year, found.month, found.day, tzinfo=UTC)


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
    "integer": _integer,
    "quantity": _integer,
    "number": lambda text, column: float(decimal(text, column)),
    "date": lambda text, column: day(text, column).isoformat(),
    "time": _time,
    "country": _country,
    "mail": _mail,
    "yes": _yes,
    "without_fraction": lambda text, _: text.removesuffix(".0"),
}
