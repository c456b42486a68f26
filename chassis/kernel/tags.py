"""Tags (标签) of a record: a set of words in the order in which they came. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.kernel.errors import WrongState
from chassis.kernel.rules import sentence
from chassis.kernel.text import folded

MOST = 100  # of one record; its contract says so too


def distinct(tags: Sequence[str]) -> list[str]:
    """Without those that differ from an earlier one in nothing but how they are written (`folded`)."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(folded(tag), tag)
    return list(found.values())


def changed(tags: Sequence[str], added: Sequence[str], removed: Sequence[str] = (), field: str = "add_tags") -> list[str]:
    """The tags without those removed and with those added, which stay where they stand already. Raises WrongState (TAGS_FULL), which names
    `field`, where it would have more than MOST."""
    gone = {folded(tag) for tag in removed}
    found = distinct([*(tag for tag in tags if folded(tag) not in gone), *added])
    if len(found) > MOST:
        params = {"rule": "tags.full", "count": str(len(found)), "most": str(MOST)}
        raise WrongState(sentence(params), code="TAGS_FULL", field=field, params=params)
    return found
