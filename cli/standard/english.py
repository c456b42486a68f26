"""The English of contracts, as far as a machine can tell: «a» and «an», a capital at the beginning, a stop at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ARTICLE = re.compile(r"(?<![\w'«])([Aa]n?) «?([A-Za-z][\w-]*)")
_LIKE_YOU = re.compile(r"^(uni(?!n|m)|us[aeiu]|eu|ut[ie]|ur[aio]|one|once|ubi)", re.I)
_SILENT = re.compile(r"^(hour|honest|honou?r|heir|http)", re.I)
_LETTERS = frozenset("AEFHILMNORSX")


def article(word: str) -> str:
    """«a» or «an», as the word is spoken."""
    if word.isupper() and len(word) > 1:
        return "an" if word[0] in _LETTERS else "a"
    spoken = word[0].lower() in "aeiou" and not _LIKE_YOU.match(word)
    return "an" if spoken or _SILENT.match(word) else "a"


def faults(comment: str) -> Iterator[str]:
    """What is wrong with a comment; nothing for a good one."""
    text = " ".join(comment.split())
    if not text:
        yield "has no comment; say what it means"
        return
    for found in _ARTICLE.finditer(text):
        if found[1].lower() != article(found[2]) and not (found[1] == "A" and found.start() > 0):
            yield f"«{found[0]}»: write «{article(found[2])} {found[2]}»"
    if text[0].isalpha() and text[0].islower():
        yield f"begins with a small letter: «{text[:30]}…»"
    if text[-1] not in ".:!?…)":
        yield f"ends without a stop: «…{text[-30:]}»"
