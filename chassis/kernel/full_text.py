"""Words of a long text: characters and their pairs for Chinese, words and numbers for the rest. Pure.

Pairs of characters rank as well as word segmentation on Chinese questions at a tenth of the time (measured, see docs/adr).
"""

from __future__ import annotations

import re

from chassis.kernel.chinese import HAN, simplified
from chassis.kernel.text import folded

MOST_WORDS = 4000
_TOKEN = re.compile(rf"(?P<han>[{HAN}]+)|(?P<word>[^\W\d_{HAN}]+)|(?P<number>\d+)")
_HAN = re.compile(f"[{HAN}]")
_JOINT = re.compile(r"[\s\-_./]?")
# What every question has and no answer is about. In Chinese, the longest first; taken out before characters are paired.
_ASKING = re.compile(
    "请问一下|请问|怎么样|怎么办|怎么|怎样|如何|为什么|什么时候|什么|哪里|哪儿|哪个|多少|是否|能不能|可不可以|可以|需要|我想|我的|我要|我们|你们|吗|呢|吧|啊|的|了|我|你|您|在|是"
)
_ENGLISH = (
    "a an and are as at be can could do does for from get have how i if in is it me my of on or our please should the there this to was what when "
    "where which who why will with would you your"
)
_STOP = frozenset(_ENGLISH.split())


def words(text: str) -> list[str]:
    """Words in order: of Chinese every character and every pair of neighbours; of the rest words (English ones without their commonest
    endings) and numbers, those that stand together joined too, so that iPhone 15 meets iPhone15, and E-1024 E1024."""
    found: list[str] = []
    for run in _runs(text):
        found += [*run, *pairs] if (pairs := _pairs(run)) or _is_han(run) else [_stem(run)]
    return found + _joined(text)


def asked(question: str) -> tuple[list[str], list[str]]:
    """(what to look for first, what to look for when that is nowhere): words and pairs of what a question is about; then single characters.
    Where a question has nothing but question words, these are what it is about."""
    runs = _about(question)
    first = [word for run in runs for word in _words_of(run)]
    single = [letter for run in runs if _is_han(run) for letter in run]
    return list(dict.fromkeys(first + _joined(question))), list(dict.fromkeys(single))


def needed(question: str) -> list[str]:
    """The words all of which a text has that a question is about."""
    return list(dict.fromkeys(word for run in _about(question) for word in _words_of(run)))


def _about(question: str) -> list[str]:
    normal = _normal(question)
    return [run for run in _runs(_ASKING.sub(" ", normal)) if run not in _STOP] or _runs(normal)


def _words_of(run: str) -> list[str]:
    return (_pairs(run) or [run]) if _is_han(run) else [_stem(run)]


def _normal(text: str) -> str:
    return simplified(folded(text))


def _runs(text: str) -> list[str]:
    return [found[0] for found in _TOKEN.finditer(_normal(text))]


def _is_han(run: str) -> bool:
    return _HAN.match(run) is not None


def _pairs(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run) - 1)] if _is_han(run) else []


def _joined(text: str) -> list[str]:
    """Words and numbers that stand together, at most a blank or a hyphen between, as one: names of products, codes of errors."""
    found: list[str] = []
    before: re.Match[str] | None = None
    normal = _normal(text)
    for token in _TOKEN.finditer(normal):
        if before and {before.lastgroup, token.lastgroup} == {"word", "number"} and _JOINT.fullmatch(normal, before.end(), token.start()):
            found.append(before[0] + token[0])
        before = token
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
