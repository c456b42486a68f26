"""Words of a text for search: character bigrams for Chinese, words for the rest; and BM25. Pure.

Character bigrams rank as well as word segmentation on Chinese questions at a tenth of the time (measured, see docs/adr).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+")
_IS_HAN = re.compile(rf"[{_HAN}]")
K1, B = 1.2, 0.75
MOST_TERMS = 4000


def words(text: str) -> list[str]:
    """Terms in order. A single Chinese character stands for itself; English words lose their commonest endings."""
    normal = unicodedata.normalize("NFKC", text).casefold()
    found: list[str] = []
    for run in _TOKEN.findall(normal):
        if _IS_HAN.match(run):
            found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
        else:
            found.append(_stem(run))
    return found


def _stem(word: str) -> str:
    """A light English stem, so that the forms of a word meet: invoice and invoices, update, updated and updating."""
    if not word.isascii() or len(word) < 4:
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: len(word) - len(ending)]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def frequencies(title: str, body: str) -> dict[str, int]:
    """Term → how often; a word of the title counts three times."""
    counted = Counter(words(body))
    for term in words(title):
        counted[term] += 3
    return dict(counted.most_common(MOST_TERMS))


def score(
    question: Iterable[str], found: Mapping[str, int], length: int, documents: int, average: float, holders: Mapping[str, int]
) -> float:
    """BM25 (Robertson & Zaragoza 2009, k1 = 1.2, b = 0.75) of one document.

    `holders` is the number of documents with each term; `length` and `average` count terms.
    """
    total = 0.0
    for term in set(question):
        frequency = found.get(term, 0)
        if frequency:
            rarity = math.log(1 + (documents - holders[term] + 0.5) / (holders[term] + 0.5))
            total += rarity * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / max(average, 1.0)))
    return total
