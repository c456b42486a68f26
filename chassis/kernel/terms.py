"""By what a text is found: characters, readings, beginnings of words, numbers and codes. Pure; the same terms for writing and asking.

A term is a letter and a text: `x` a whole name, `c` Chinese characters from somewhere on, `w` a word or a reading, `t` a code from one of its
parts on, `n` a telephone number, `e` a mail address, `b` a word of a long text. What is personal is stored blind and found by whole terms;
of all others the beginning of a term is enough.
"""

from __future__ import annotations

import re

from chassis.kernel import full_text
from chassis.kernel.chinese import HAN, simplified
from chassis.kernel.mail_addresses import mail_key
from chassis.kernel.readings import readings, spellings
from chassis.kernel.telephones import Telephone, read
from chassis.kernel.text import folded

# Raised by one when terms change: a migration reckons those of stored records anew.
EDITION = 1
# How a text is found, and the letters of its terms.
NAME, CODE, PHONE, MAIL, TEXT = "name", "code", "phone", "mail", "text"
LETTERS = {NAME: "xcw", CODE: "t", PHONE: "n", MAIL: "e", TEXT: "b"}
RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+")
IS_HAN = re.compile(rf"[{HAN}]")
_PART = re.compile(r"\d+|[^\W\d_]+")
_CODE = re.compile(r"\w+([^\w\s]+\w+)+")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
MOST_TERMS, MOST_NEEDS, MOST_PARTS = 600, 6, 12
LONGEST_RUN, LONGEST_TERM, MOST_READINGS, LONGEST_READ = 60, 60, 8, 60

Need = list[str]  # terms any of which is enough
Way = list[Need]  # all of which are needed


def normalized(text: str) -> str:
    """How texts are compared: small letters without accents, simplified characters."""
    return simplified(folded(text))


def exact(name: str) -> str:
    """The term of a whole name."""
    return "x" + " ".join(normalized(name).split())


def compact(text: str) -> str:
    """A code without what stands between its signs."""
    return re.sub(r"[\W_]", "", normalized(text))


def of_text(kind: str, text: str, *, country: str = "", whole: bool = False) -> list[str]:
    """Terms under which a text is stored. `country` is that of its telephone numbers; `whole` codes are found by nothing less."""
    found: list[str]
    if kind == NAME:
        found = _of_name(text)
    elif kind == CODE:
        found = [f"t{compact(text)}"] if whole else _of_code(text)
    elif kind == PHONE:
        found = [term for number in read(text, country) for term in _of_number(number)]
    elif kind == MAIL:
        key = mail_key(text)
        found = [f"e{key}", f"e{key.split('@')[0]}", f"e{key.split('@')[-1]}"] if key else []
    else:
        return [f"b{word}" for word in dict.fromkeys(full_text.words(text))][: full_text.MOST_WORDS]
    return [term for term in dict.fromkeys(found) if len(term) > 1][:MOST_TERMS]


def _of_name(name: str) -> list[str]:
    """Any part of it is the beginning of a term; those of its characters come first, for the readings may be too many."""
    words, characters, read_as = [exact(name)], list[str](), list[str]()
    for spelled in dict.fromkeys((name, name.casefold().translate(_UMLAUTS))):  # Müller is looked for as Mueller too
        for run in RUN.findall(normalized(spelled)):
            if IS_HAN.match(run):
                characters += [f"c{run[index : index + LONGEST_RUN]}" for index in range(len(run))]
                read_as += _of_readings(run[:LONGEST_READ])
            else:
                words.append(f"w{run[:LONGEST_TERM]}")
    return [*words, *characters, *read_as]


def _of_readings(run: str) -> list[str]:
    """Readings from every character on, full and initials. A reading beside the likeliest one is stored from the beginning and from where it
    differs: all of them from everywhere would be a hundred terms."""
    likeliest, *others = readings(run)
    found = [term for index in range(len(run)) for term in _typed(likeliest[index:])]
    for other in others[:MOST_READINGS]:
        differs = next(index for index, pair in enumerate(zip(likeliest, other, strict=False)) if pair[0] != pair[1])
        for index in {0, max(differs - 1, 0), differs}:
            found += _typed(other[index:])
    return found


def _typed(syllables: list[str]) -> list[str]:
    initials = "".join(syllable[:1] for syllable in syllables)
    return [f"w{text[:LONGEST_TERM]}" for text in (*spellings(syllables), initials)] if syllables else []


def _of_code(text: str) -> list[str]:
    """From each of its parts on, and from each number without the zeros before it: SO-2026-00123 by SO2026, 2026-001, 00123 and 123."""
    parts = _PART.findall(normalized(text))
    found = []
    for index, part in enumerate(parts[:MOST_PARTS]):
        rest = "".join(parts[index + 1 :])
        found += [f"t{(one + rest)[:LONGEST_TERM]}" for one in (part, part.lstrip("0"))]
    return found


def _of_number(number: Telephone) -> list[str]:
    """A number is asked for whole, with or without its country and trunk prefix, by what is left without its area, by its end, by all but the
    end of a mobile number, and with its extension."""
    whole = number.national
    parts = [number.e164, whole, whole[-8:], whole[-7:], whole[-4:], whole[:7], number.typed]
    return ["n" + part for part in (*parts, *([whole + number.extension] if number.extension else [])) if len(part) >= 4]


def of_question(question: str) -> list[Way]:
    """The ways to what a question means; none for a question that has no word."""
    text = normalized(question).strip()
    whole = compact(text)[:LONGEST_TERM]
    if "@" in text:
        mail = mail_key(question.strip()).lstrip("@")
        return [[[f"e{mail}", f"t{whole}"]]] if mail else []
    if is_number(text) and (numbers := read(question)):
        return [[[*_asked(number, text), f"t{whole}", f"w{whole}", f"b{whole}"] for number in numbers[:MOST_NEEDS]]]
    ways = [needs] if (needs := [_need(run) for run in RUN.findall(text)[:MOST_NEEDS]]) else []
    if needs and _CODE.fullmatch(text):
        ways.append([[f"t{whole}", f"e{text}"]])
    return ways


def _need(run: str) -> Need:
    if IS_HAN.match(run):
        return [f"c{run[:LONGEST_RUN]}", f"b{run[:LONGEST_RUN]}", f"t{run[:LONGEST_TERM]}"]
    word = run[:LONGEST_TERM]
    return [f"{letter}{word}" for letter in ("wtbe" if len(word) > 1 else "wtb")]


def is_number(text: str) -> bool:
    """Whether a question is a telephone number or another one and nothing else: four digits at least; an extension is told by its word."""
    return len(re.sub(r"\D", "", text)) >= 4 and re.fullmatch(r"[\d\s\-+().,;/、，；*]+((转|分机|ext\.?|x|#)\s*\d+)?", text) is not None


def _asked(number: Telephone, text: str) -> list[str]:
    """A number as it may be stored: read as one of a country or as it was typed, its trunk zeros left out."""
    typed = re.sub(r"\D", "", text)
    forms = [number.national + number.extension, number.national, number.e164, typed.lstrip("0"), typed]
    return ["n" + form for form in dict.fromkeys(forms) if len(form) >= 4]
