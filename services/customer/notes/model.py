"""A note: what makes one complete. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid


def check(note: dict[str, Any]) -> None:
    """Refuse a note without words."""
    if not note["text"].strip():
        raise Invalid("the note consists of blanks; write what is worth remembering", field="text")
