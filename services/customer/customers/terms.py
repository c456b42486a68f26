"""What a customer is found by: characters, pinyin, beginnings of words, digits. Pure; the same terms for writing and asking."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from pypinyin import Style, lazy_pinyin

_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+")
_IS_HAN = re.compile(rf"[{_HAN}]")
MOST_TERMS = 250
# With which letter the terms of a field begin that not everybody gets.
LETTERS = {"phone": "n", "email": "e", "tax_number": "t"}
FIELDS = {letter: name for name, letter in LETTERS.items()}
# All of those are personal: stored as blind terms, found whole.
BLIND = frozenset(LETTERS.values())
LONGEST_RUN, LONGEST_TERM = 60, 60


def normalized(text: str) -> str:
    """Compatibility form, small letters, without accents: how texts are compared."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def digits(text: str) -> str:
    """Only the digits of a telephone number, without the international prefix of China."""
    found = re.sub(r"\D", "", text)
    return found[4:] if found.startswith("0086") else found[2:] if found.startswith("86") and len(found) > 11 else found


def exact(name: str) -> str:
    """The term of a whole name."""
    return "x" + " ".join(normalized(name).split())


def of_customer(customer: dict[str, Any]) -> list[str]:
    """Terms under which a customer is stored: personal ones are asked for whole, of all others the beginning is enough."""
    terms: dict[str, None] = {exact(customer["name"]): None}
    phone = digits(customer.get("phone", ""))
    parts = (phone, phone[-8:], phone[-4:], phone[:7])  # the whole, without its area, its end, and all but the end of a mobile number
    terms |= {"n" + part: None for part in parts if len(part) >= 4}
    email = normalized(customer.get("email", ""))
    if email:
        terms |= {"e" + email: None, "e" + email.split("@")[0]: None, "e" + email.split("@")[-1]: None}
    if customer.get("tax_number"):
        terms["t" + normalized(customer["tax_number"])] = None
    for run in _RUN.findall(normalized(customer["name"])):
        terms |= dict.fromkeys(_chinese(run) if _IS_HAN.match(run) else ["w" + run[:LONGEST_TERM]])
    return list(terms)[:MOST_TERMS]


def _chinese(run: str) -> list[str]:
    """Every end of the run (so that any part is the beginning of one), and pinyin from every character, full and initials.

    Pinyin is read from the whole run, for the reading of a character depends on its neighbours (重庆, 银行).
    """
    run = run[:LONGEST_RUN]
    syllables = lazy_pinyin(run, style=Style.NORMAL)
    found = []
    for index in range(len(run)):
        found.append("c" + run[index:])
        found.append("w" + "".join(syllables[index:])[:LONGEST_TERM])
        found.append("w" + "".join(syllable[0] for syllable in syllables[index:]))
    return found


def of_question(question: str) -> list[list[str]]:
    """What must be found, as beginnings: every item of the outer list, each by one of its alternatives."""
    text = normalized(question).strip()
    if "@" in text:
        return [["e" + text.lstrip("@")]]
    plain = re.sub(r"[\s\-+().]", "", text)
    if plain.isdigit() and len(plain) >= 4:
        return [["n" + digits(text), "n" + plain, "t" + plain, "w" + plain]]
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
