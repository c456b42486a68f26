"""Where in a text a question stands, and how well the text is what was asked for. Pure; follows the terms (chassis/kernel/terms.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chassis.kernel import full_text
from chassis.kernel.chinese import HAN
from chassis.kernel.mail_addresses import mail_key
from chassis.kernel.readings import readings, spellings
from chassis.kernel.telephones import read
from chassis.kernel.terms import (
    CODE,
    LETTERS,
    LONGEST_READ,
    LONGEST_TERM,
    MAIL,
    PHONE,
    TEXT,
    Need,
    Way,
    compact,
    is_number,
    normalized,
    of_text,
)

WHOLE, BEGINS, PART = 1, 2, 3
# Of a long text so much is shown around what was found, and it is looked for no further than that. Characters.
AROUND, FURTHEST = 40, 10_000
_PART, _JOINT = re.compile(r"\d+|\D+"), r"[\s\-_./]?"
_HAN_RUN = re.compile(f"[{HAN}]+")
Range = tuple[int, int]


@dataclass(frozen=True)
class Text:
    """A text of a record and how it is found. `country` is that of telephone numbers."""

    field: str
    kind: str
    value: str
    country: str = ""


@dataclass(frozen=True)
class Match:
    """Where something stands: put together, the three are the text, or a stretch of a long one."""

    field: str
    before: str
    match: str
    after: str


def matches(texts: Sequence[Text], ways: Sequence[Way]) -> list[Match]:
    """The text of each need, by the way that explains most of them."""
    best: list[Match] = []
    for way in ways:
        found = [match for need in way if (match := _first(texts, need))]
        if len(found) > len(best):
            best = found
    return list(dict.fromkeys(best))


def rank(texts: Sequence[Text], question: str, ways: Sequence[Way]) -> int:
    """How well a record is what was asked for."""
    if any(_is_whole(text, question) for text in texts):
        return WHOLE
    if any(_begins(text, question) for text in texts):
        return BEGINS
    best = PART
    for text in texts:
        for place in [place for way in ways if len(way) == 1 and (place := locate(text, way[0]))]:
            best = min(best, PART if place[0] else BEGINS if place[1] < len(text.value.rstrip()) else WHOLE)
    return best


def rank_unseen(question: str) -> int:
    """The same where what was found is sealed: it is a whole address or number, or the end of one."""
    text = normalized(question).strip()
    address = text.partition("@")
    return WHOLE if (all(address) or (is_number(text) and len(re.sub(r"\D", "", text)) >= 7)) else PART


def locate(text: Text, need: Need, *, spelled: bool = False) -> Range | None:
    """Where something of a need stands in a text; None where it is not in it. The whole text where it is another spelling of a number or an
    address, or with `spelled` of a name, which takes longer."""
    value = text.value[:FURTHEST]
    letters, places = _aligned(value, spaced=text.kind not in (CODE, PHONE))
    for term in sorted(need, key=len, reverse=True) if text.kind == PHONE else need:
        if term[1:] and term[0] in LETTERS[text.kind] and (found := _place(text.kind, letters, term[0], term[1:])):
            return places[found[0]], places[found[1] - 1] + 1
    return (0, len(value)) if (spelled or text.kind in (PHONE, MAIL)) and text.kind != TEXT and _holds(text, need) else None


def _first(texts: Sequence[Text], need: Need) -> Match | None:
    for text in texts:
        if place := locate(text, need, spelled=True):
            begin, end = place
            first, last = (max(0, begin - AROUND), end + 2 * AROUND) if text.kind == TEXT else (0, len(text.value))
            return Match(text.field, text.value[first:begin], text.value[begin:end], text.value[end:last])
    return None


def _is_whole(text: Text, question: str) -> bool:
    if text.kind == CODE:
        return compact(text.value) == compact(question)
    if text.kind == MAIL:
        return mail_key(text.value) == mail_key(question.strip())
    if text.kind == PHONE:
        asked = {form for number in read(question) for form in (number.national, number.e164)}
        return any({number.national, number.e164} & asked for number in read(text.value, text.country))
    return text.kind != TEXT and normalized(text.value).split() == normalized(question).split()


def _begins(text: Text, question: str) -> bool:
    if text.kind == CODE:
        return compact(text.value).startswith(compact(question))
    return " ".join(normalized(text.value[:FURTHEST]).split()).startswith(" ".join(normalized(question).split()))


def _holds(text: Text, need: Need) -> bool:
    """Whether the terms of a text have something of a need."""
    stored = of_text(text.kind, text.value, country=text.country)
    return any(one.startswith(term) for term in need if term[0] in LETTERS[text.kind] for one in stored)


@lru_cache(maxsize=16_384)
def _letters(one: str) -> str:
    return normalized(one)


def _aligned(value: str, *, spaced: bool) -> tuple[str, list[int]]:
    """A text as texts are compared, and the place in it of each of these letters; without what is neither letter nor digit where not spaced."""
    found = [(letter, place) for place, one in enumerate(value) for letter in _letters(one) if spaced or letter.isalnum()]
    return "".join(letter for letter, _ in found), [place for _, place in found]


def _place(kind: str, letters: str, letter: str, asked: str) -> Range | None:
    if letter == "b":
        found = next((place for word in [asked, *full_text.needed(asked)] if (place := _word(letters, word, "b"))), None)
        return found
    if letter == "w" and (found := _word(letters, asked, "w")):
        return found
    if letter == "w":
        return next(_typed(letters, asked), None) if asked.isascii() else None
    begin = letters.find(asked)
    return None if begin < 0 or (kind == PHONE and len(asked) < 4) else (begin, begin + len(asked))


def _word(letters: str, asked: str, letter: str) -> Range | None:
    """Where a word begins with what was asked for; Chinese has no words to begin with."""
    if letter == "b" and _HAN_RUN.match(asked):
        begin = letters.find(asked)
        return (begin, begin + len(asked)) if begin >= 0 else None
    spelled = _JOINT.join(map(re.escape, _PART.findall(asked))) if letter == "b" else re.escape(asked)
    found = re.search(rf"(?<![^\W_{HAN}]){spelled}", letters)
    return found.span() if found else None


def _typed(letters: str, asked: str) -> Iterator[Range]:
    """Where characters are read, or begin to be, as it was typed: in full or by initials."""
    for run in _HAN_RUN.finditer(letters):
        for reading in readings(run[0][:LONGEST_READ]):
            for index in range(len(reading) if len(reading) == len(run[0][:LONGEST_READ]) else 0):
                if covered := _covered(reading[index:], asked):
                    yield run.start() + index, run.start() + index + covered


def _covered(syllables: list[str], asked: str) -> int:
    """How many syllables it takes to type what was asked for; 0 where it is not how they are typed."""
    if "".join(one[:1] for one in syllables)[:LONGEST_TERM].startswith(asked):
        return len(asked)
    if not any(typed[:LONGEST_TERM].startswith(asked) for typed in spellings(syllables)):
        return 0
    for count in range(1, len(syllables) + 1):
        if any(typed.startswith(asked) for typed in spellings(syllables[:count])):
            return count
    return 0
