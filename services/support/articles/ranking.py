"""How well an article answers a question: BM25 over its words. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

K1, B = 1.2, 0.75
# A word of the title counts so many times.
TITLE = 3


def score(
    question: Iterable[str], found: Mapping[str, int], length: int, documents: int, average: float, holders: Mapping[str, int]
) -> float:
    """BM25 (Robertson & Zaragoza 2009, k1 = 1.2, b = 0.75) of one document.

    `holders` is the number of documents with each word; `length` and `average` count words.
    """
    total = 0.0
    for term in set(question):
        frequency = found.get(term, 0)
        if frequency:
            rarity = math.log(1 + (documents - holders[term] + 0.5) / (holders[term] + 0.5))
            total += rarity * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / max(average, 1.0)))
    return total
