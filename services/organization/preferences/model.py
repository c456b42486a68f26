"""The rules of preferences. Pure."""

from __future__ import annotations

import orjson

from chassis.kernel.errors import Invalid, NotAllowed, WrongState

MOST = 100


def person_of(person_id: str, *, is_person: bool) -> str:
    """Whose preferences a caller has. Raises NotAllowed for who is no person."""
    if not is_person:
        raise NotAllowed("preferences are those of people; keep what a program remembers with the program")
    return person_id


def check(value: str) -> None:
    """Refuse what is no JSON."""
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Invalid(f'the value is no JSON ({error}); send e.g. true, 12, "text" or {{"a": 1}}', field="value") from None


def has_room(count: int) -> None:
    """Refuse one more preference where there are as many as may be."""
    if count >= MOST:
        raise WrongState(f"you have {MOST} preferences; take one away, or join some under one key", code="PREFERENCES_FULL", field="key")
