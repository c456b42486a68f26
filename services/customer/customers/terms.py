"""What a customer is found by: characters, pinyin, beginnings of words, numbers. Pure; the same terms for writing and asking."""

from __future__ import annotations

import re
from typing import Any

from chassis.kernel.chinese import HAN, simplified
from chassis.kernel.mail_addresses import mail_key
from chassis.kernel.readings import readings, spellings
from chassis.kernel.telephones import Telephone, read
from chassis.kernel.text import folded

# Raised by one when terms change: a migration reckons those of stored customers anew.
EDITION = 2
_RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+")
_IS_HAN = re.compile(rf"[{HAN}]")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
MOST_TERMS = 250
# With which letter the terms of a field begin that not everybody gets.
LETTERS = {"phone": "n", "email": "e", "tax_number": "t"}
FIELDS = {letter: name for name, letter in LETTERS.items()}
# All of those are personal: stored as blind terms, found whole.
BLIND = frozenset(LETTERS.values())
LONGEST_RUN, LONGEST_TERM, MOST_READINGS = 60, 60, 8


def normalized(text: str) -> str:
    """How names are compared: small letters without accents, simplified characters."""
    return simplified(folded(text))


def exact(name: str) -> str:
    """The term of a whole name."""
    return "x" + " ".join(normalized(name).split())


def of_customer(customer: dict[str, Any]) -> list[str]:
    """Terms under which a customer is stored: personal ones are asked for whole, of all others the beginning is enough."""
    terms: dict[str, None] = {exact(customer["name"]): None}
    for number in read(customer.get("phone", ""), customer.get("country_code", "")):
        terms |= dict.fromkeys(_of_number(number))
    email = mail_key(customer.get("email", ""))
    if email:
        terms |= {"e" + email: None, "e" + email.split("@")[0]: None, "e" + email.split("@")[-1]: None}
    if customer.get("tax_number"):
        terms["t" + _compact(customer["tax_number"])] = None
    name = customer["name"]
    for spelled in (name, name.casefold().translate(_UMLAUTS)):  # Müller is looked for as Mueller too
        for run in _RUN.findall(normalized(spelled)):
            terms |= dict.fromkeys(_chinese(run) if _IS_HAN.match(run) else ["w" + run[:LONGEST_TERM]])
    return list(terms)[:MOST_TERMS]


def _of_number(number: Telephone) -> list[str]:
    """A number is asked for whole, with or without its country and trunk prefix, by what is left without its area, by its end, by all but the
    end of a mobile number, and with its extension."""
    whole = number.national
    parts = [number.e164, whole, whole[-8:], whole[-7:], whole[-4:], whole[:7], number.typed]
    return ["n" + part for part in (*parts, *([whole + number.extension] if number.extension else [])) if len(part) >= 4]


def _compact(text: str) -> str:
    return re.sub(r"\W", "", normalized(text))


def _chinese(run: str) -> list[str]:
    """Every end of the run (so that any part is the beginning of one), and pinyin from every character, full and initials. A reading beside the
    likeliest one is stored from the beginning and from where it differs: all of them from everywhere would be a hundred terms."""
    run = run[:LONGEST_RUN]
    likeliest, *others = readings(run)
    found = []
    for index in range(len(run)):
        found.append("c" + run[index:])
        found += _pinyin(likeliest[index:])
    for other in others[:MOST_READINGS]:
        differs = next(index for index, pair in enumerate(zip(likeliest, other, strict=False)) if pair[0] != pair[1])
        for index in {0, max(differs - 1, 0), differs}:
            found += _pinyin(other[index:])
    return found


def _pinyin(syllables: list[str]) -> list[str]:
    initials = "".join(syllable[:1] for syllable in syllables)
    return ["w" + text[:LONGEST_TERM] for text in (*spellings(syllables), initials)] if syllables else []


def of_question(question: str) -> list[list[str]]:
    """What must be found, as beginnings: every item of the outer list, each by one of its alternatives."""
    text = normalized(question).strip()
    if "@" in text:
        return [["e" + mail_key(question.strip()).lstrip("@")]]
    plain = re.sub(r"[\s\-+().]", "", text)
    if _is_number(text) and (numbers := read(question)):
        return [_asked(number, plain) for number in numbers]
    if "." in text and re.fullmatch(r"[\w.+-]+", text):
        return [["e" + text, "w" + (_RUN.findall(text) or [text])[0]]]
    needs: list[list[str]] = []
    for run in _RUN.findall(text):
        if _IS_HAN.match(run):
            needs.append(["c" + run[:LONGEST_RUN]])
        else:
            word = run[:LONGEST_TERM]
            needs.append(["w" + word, "t" + word, "e" + word] if len(word) > 1 else ["w" + word])
    return needs[:6]


def _is_number(text: str) -> bool:
    """Whether a question is a telephone or tax number and nothing else: four digits at least; an extension is told by its word."""
    return len(re.sub(r"\D", "", text)) >= 4 and re.fullmatch(r"[\d\s\-+().,;/、，；*]+((转|分机|ext\.?|x|#)\s*\d+)?", text) is not None


def _asked(number: Telephone, plain: str) -> list[str]:
    """A number as it may be stored: read as one of a country or as it was typed, its trunk zeros left out."""
    typed = re.sub(r"\D", "", plain)
    forms = [number.national + number.extension, number.national, number.e164, typed.lstrip("0"), typed]
    return ["n" + form for form in dict.fromkeys(forms) if len(form) >= 4] + ["t" + plain, "w" + plain]
