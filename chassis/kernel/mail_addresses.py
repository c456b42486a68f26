"""Mail addresses: what is one, and the one form under which it is compared. Pure."""

from __future__ import annotations

import re
import unicodedata

from chassis.kernel.text import line

_ATOM = r"[^\s@.,;:<>()\[\]\\\"]+"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")
LONGEST, LONGEST_LOCAL = 254, 64


def written(text: str) -> str:
    """An address as it is kept: western width, small letters, no blanks around."""
    return line(unicodedata.normalize("NFKC", text)).lower()


def is_address(text: str) -> bool:
    """Whether this is a mail address of the internet: RFC 5321 and 6531 without quoted local parts and address literals, which nobody has."""
    local, _, domain = text.rpartition("@")
    if len(text) > LONGEST or len(local) > LONGEST_LOCAL or not _ADDRESS.fullmatch(text):
        return False
    return _ascii(domain) is not None and not domain.rpartition(".")[2].isdigit()


def mail_key(text: str) -> str:
    """The form under which two spellings of one address are the same: small letters, western width, the domain in ASCII (IDNA).

    A text that is no address gives its small letters. Tags (+shop) and dots stay: they are different mailboxes for most providers.
    """
    plain = _folded(text)
    local, at, domain = plain.rpartition("@")
    return f"{local}@{_ascii(domain) or domain}" if at else plain


def _folded(text: str) -> str:
    """Small letters of western width in normal form: what folding makes may fold once more (¸ gives a blank and a mark)."""
    while (folded := unicodedata.normalize("NFKC", line(text)).casefold()) != text:
        text = folded
    return text


def _ascii(domain: str) -> str | None:
    if domain.isascii():
        return domain.lower()
    try:
        return domain.encode("idna").decode().lower()
    except UnicodeError:
        return None
