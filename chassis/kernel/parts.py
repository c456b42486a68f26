"""Texts found by a part of them, however it is written: what is stored for that, and what finds it. Pure.

Case, width, accents and both scripts of Chinese count alike (`plain`). Of each text are stored: its plain form, its beginning, and what
begins at each of its characters, three characters long. So any part of up to three characters is the beginning of a stored term, and of a
longer one all terms must be there and the plain form must hold it: an index finds few, and those are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chassis.kernel.chinese import simplified
from chassis.kernel.text import folded

# Raised by one when terms change: a migration reckons those of stored records anew.
EDITION = 1
TERMS, PLAIN = "text_terms", "plain"
LENGTH = 3
BEGINNING = 40
# Of a long part so many terms narrow the search; the plain form decides.
MOST_SOUGHT = 12


def plain(text: str) -> str:
    """How texts are compared by a part: small letters of one width without accents, simplified characters."""
    return simplified(folded(text))


def stored(document: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """What a store keeps of the texts of a document, by path; `fields` gives the mark of each field. Nothing for no texts."""
    plains = {name: _plain(document[name]) for name in fields if document.get(name)}
    if not plains:
        return {}
    return {TERMS: sorted({term for name, text in plains.items() for term in _terms(fields[name], text)}), PLAIN: plains}


def begins(mark: str, text: str) -> str:
    """The beginning of the term that a text has which begins with a plain text."""
    return f"{mark}^{text[:BEGINNING]}"


def holds(mark: str, text: str) -> str:
    """The beginning of the term that a text has which holds a plain text of up to three characters."""
    return f"{mark}:{text}"


def all_of(mark: str, text: str) -> list[str]:
    """Terms that a text has which holds a longer plain text: spread over it, no more than needed to find few."""
    found = list(dict.fromkeys(f"{mark}:{text[index : index + LENGTH]}" for index in range(len(text) - LENGTH + 1)))
    step = max(1, len(found) // MOST_SOUGHT)
    return found[::step][:MOST_SOUGHT]


def without(name: str, mark: str) -> dict[str, Any]:
    """The update that forgets what is stored of one text."""
    return {"$pull": {TERMS: {"$gte": f"{mark}:", "$lt": f"{mark}_"}}, "$unset": {f"{PLAIN}.{name}": ""}}


def _plain(value: str | Iterable[str]) -> str | list[str]:
    return plain(value) if isinstance(value, str) else [plain(one) for one in value]


def _terms(mark: str, text: str | list[str]) -> Iterator[str]:
    for one in [text] if isinstance(text, str) else text:
        yield begins(mark, one)
        yield from (holds(mark, one[index : index + LENGTH]) for index in range(len(one)))
