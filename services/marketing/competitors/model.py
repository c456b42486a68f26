"""A competitor: what makes one complete, and what may be said to be lost to it. No I/O, no clock."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from chassis.kernel.errors import Invalid, WrongState

Document = dict[str, Any]


def check(competitor: Document) -> None:
    """Complete a competitor: names without outer blanks, former ones without repeats and without the present one, a website that is one."""
    competitor["name"] = _name(competitor["name"], "name")
    if "former_names" in competitor:
        names = [_name(name, f"former_names[{index}]") for index, name in enumerate(competitor["former_names"])]
        other = {name.casefold(): name for name in reversed(names) if name.casefold() != competitor["name"].casefold()}
        competitor["former_names"] = list(reversed(other.values()))
    if competitor.get("website"):
        competitor["website"] = _website(competitor["website"].strip())
    if "lost_opportunity_ids" in competitor:
        competitor["lost_opportunity_ids"] = list(dict.fromkeys(competitor["lost_opportunity_ids"]))


def must_be_lost(opportunity: Document, field: str) -> WrongState | None:
    """The refusal of an opportunity that was not lost; None for one that was."""
    state = opportunity.get("state", "")
    if state == "LOST":
        return None
    name = opportunity.get("name") or opportunity["_id"]
    return WrongState(f"the opportunity «{name}» is {state.lower() or 'undecided'}; link it once it is lost (opportunityLose)", field=field)


def _name(text: str, field: str) -> str:
    name = " ".join(text.split())
    if not name:
        raise Invalid("the name consists of blanks; give it letters or digits", field=field)
    return name


def _website(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known or any(letter.isspace() for letter in text):
        raise Invalid(f"«{text[:100]}» is no address of a website; write it whole, e.g. https://www.example.com", field="website")
    return text
