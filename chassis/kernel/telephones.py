"""Telephone numbers: one canonical form of every way to write them (E.164, ITU-T), whatever stands in the field. Pure.

phonenumbers knows the countries; it wants extensions cut off first («0755-8888666 转 123» is refused, «(021)6288-0000-801» swallowed).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import phonenumbers

HOME = "CN"
_SEVERAL = re.compile(r"[,;/|、，；\n]| 或 | or ", re.IGNORECASE)
_EXTENSION = re.compile(r"\s*(?:转|轉|分机|分機|内线|內線|extension|ext|доб|poste|x|#|~)[\s.:：]*(\d{1,7})\D*$", re.IGNORECASE)
_DASHED = re.compile(r"^(\D*(?:\+?86\D*)?(?:\(?0\d{2,3}\)?\D*)?\d{3,4}\D?\d{4})\D?-(\d{1,6})$")
_MOBILE = re.compile(r"(?:86|0086)?1\d{10}$")  # 138-0013-8000 has no extension
SHORTEST, LONGEST = 3, 15


@dataclass(frozen=True)
class Telephone:
    """A number: country code and national number as digits, the extension behind it, and the digits before that as they were typed."""

    country_code: str
    national: str
    extension: str = ""
    typed: str = ""

    @property
    def e164(self) -> str:
        """Digits with the country code, without a plus."""
        return self.country_code + self.national


def read(text: str, country: str = "") -> list[Telephone]:
    """The numbers that a field holds; national ones are read as those of the country (two letters; China where none is known)."""
    return [found for part in _SEVERAL.split(_plain(text)) if (found := _one(part.strip(), country or HOME))]


def _plain(text: str) -> str:
    """Western digits and signs, whatever width or script they were written in."""
    plain = unicodedata.normalize("NFKC", text)
    digits = "".join(str(unicodedata.digit(letter)) if letter.isdigit() else letter for letter in plain)
    return re.sub("[‐‑‒–—―−－]", "-", digits)


def _one(text: str, country: str) -> Telephone | None:
    extension = ""
    found = _EXTENSION.search(text)
    if found:
        text, extension = text[: found.start()], found[1]
    elif not _MOBILE.match(re.sub(r"\D", "", text)) and (dashed := _DASHED.match(text)):
        text, extension = dashed[1], dashed[2]
    digits = re.sub(r"\D", "", text)
    if not SHORTEST <= len(digits) <= LONGEST + 2:
        return None
    if not text.lstrip(" (").startswith("+") and digits.startswith("00"):
        text = "+" + digits[2:]
    elif country == HOME and len(digits) == 13 and digits.startswith("861"):  # 8613800138000: a mobile number of China without its plus
        text = "+" + digits
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return Telephone("", digits.lstrip("0") or digits, extension, digits)
    zeros = "0" * (number.number_of_leading_zeros or 1) if number.italian_leading_zero else ""
    return Telephone(str(number.country_code), f"{zeros}{number.national_number}", extension, digits)
