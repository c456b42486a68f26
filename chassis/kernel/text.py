"""Text at its door: the one form in which texts are stored, asked for and compared. Pure.

`line` and `paragraphs` are what is kept of what somebody typed or pasted; `folded` is how two texts are compared.
"""

from __future__ import annotations

import re
import unicodedata

# What is not seen, and only makes two equal texts unequal: controls, marks of direction, zero widths, fillers, noncharacters.
_UNSEEN = (
    "\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U0001d173-\U0001d17a"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
)
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0001\U000e0020-\U000e007f"
# A flag of a region is a black flag and tags; everywhere else tags carry hidden text.
_ODD = re.compile(f"\U0001f3f4[{_TAGS}]{{1,8}}|[{_UNSEEN}{_JOINERS}{_SELECTORS}{_TAGS}]")
_BREAKS = re.compile("\r\n?|[\u2028\u2029\u0085]")
_EMPTY_LINES = re.compile(r"\n{4,}")
_FOLDS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "·": " "}
    | dict.fromkeys("'’‘ʼ`´＇′", "")
)


def line(text: str) -> str:
    """A text of one line: NFC, nothing unseen, every run of blanks and line breaks one blank, none outside."""
    plain = text.isprintable() and text == text.strip() and "  " not in text and "\u2800" not in text
    if plain and unicodedata.is_normalized("NFC", text) and not _ODD.search(text):
        return text
    return " ".join(_seen(_BREAKS.sub("\n", text)).replace("\u2800", " ").split())


def paragraphs(text: str) -> str:
    """A text of several lines: NFC, nothing unseen, lines end with a line feed and no blanks, three empty lines at most between two."""
    text = "\n".join(each.rstrip() for each in _seen(_BREAKS.sub("\n", text)).split("\n")).strip()
    return _EMPTY_LINES.sub("\n\n\n\n", text)


def visible(text: str) -> bool:
    """Whether a text has a letter, a digit or a picture that somebody can read; marks and strokes alone name nothing."""
    return any(unicodedata.category(letter)[0] in "LN" or unicodedata.category(letter) == "So" for letter in text)


def folded(text: str) -> str:
    """How texts are compared: compatibility form, small letters, without accents, apostrophes and differences of width; ø is o."""
    decomposed = unicodedata.normalize("NFKD", text.casefold()).translate(_FOLDS)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def _seen(text: str) -> str:
    return _ODD.sub(_kept, unicodedata.normalize("NFC", text))


def _kept(found: re.Match[str]) -> str:
    """What stands of an odd character: joiners inside scripts and pictures that need them, selectors behind what they select."""
    odd = found[0]
    if len(odd) > 1:
        return odd
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if odd in _JOINERS:
        return odd if _joins(before) and after and not after.isspace() else ""
    if "\ufe00" <= odd <= "\ufe0f" or "\U000e0100" <= odd <= "\U000e01ef":
        return odd if before and not before.isspace() and not _ODD.match(before) else ""
    return ""


def _joins(before: str) -> bool:
    """Whether a joiner behind this character means something: scripts from Arabic to Khmer and beyond, but not East Asia; pictures."""
    if not before:
        return False
    code, kind = ord(before), unicodedata.category(before)
    return kind in ("So", "Sk", "Mn", "Mc") or (kind[0] == "L" and (0x600 <= code < 0x1100 or 0x1780 <= code < 0x2000))
