"""What an operation is for, as its client said: passed on from service to service beside the request id, and kept in the audit of reads."""

from __future__ import annotations

from contextvars import ContextVar
from urllib.parse import quote, unquote

LONGEST = 200
HEADER = "x-purpose"
_purpose: ContextVar[str] = ContextVar("purpose", default="")


def purpose() -> str:
    """The purpose of what runs now; "" when none was said."""
    return _purpose.get()


def begin(text: str) -> None:
    """Say what is done from here on, in this task, is done for."""
    _purpose.set(text)


def decoded(header: str) -> str:
    """A header's text: percent-encoded UTF-8, one line, 200 characters at most."""
    text = unquote(header[: LONGEST * 9], errors="replace")
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST].strip()


def encoded() -> str:
    """The present purpose as a header carries it."""
    return quote(_purpose.get(), safe=" ")
