"""Masks: what remains of a text for those who need to tell it apart but not to know it. Pure."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"\d")
STARS = "****"


def masked(text: str) -> str:
    """A part of the text: 138****1234 of a number, l****@example.com of an address, the first character of anything else.

    How much is hidden does not tell how long the text is.
    """
    if not text or STARS in text:  # what is masked stays as it is
        return text
    name, at, domain = text.rpartition("@")
    if at and name:
        return f"{name[0]}{STARS}@{domain}"
    digits = "".join(_DIGITS.findall(text))
    if len(digits) >= 7 and len(digits) * 2 >= len(text):
        return f"{digits[:3]}{STARS}{digits[-4:]}" if len(digits) > 8 else f"{digits[:2]}{STARS}{digits[-2:]}"
    return f"{text[0]}{STARS}"
