"""A sharing contract: what may be shown, by whom, to whom, and how long. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from chassis.kernel.errors import Invalid

Document = dict[str, Any]
Known = Mapping[str, Collection[str]]
LONGEST = timedelta(days=5 * 366)


def check(contract: Document, known: Known) -> None:
    """Complete a contract; refuse one that shows what cannot be shared, to itself, for nothing, or for ever. `known` is resource → fields."""
    for name in ("display_name", "purpose"):
        contract[name] = " ".join(contract[name].split())
        if not contract[name]:
            raise Invalid(f"{name} consists of blanks; say it in words", field=name)
    if contract["provider_department_id"] == contract["consumer_department_id"]:
        raise Invalid(
            "a department needs no contract with itself; name another one, or widen a role's scope", field="consumer_department_id"
        )
    _known(contract, known)
    if not contract["start_time"] < contract["end_time"]:
        raise Invalid("the contract ends before it begins; choose a later end_time", field="end_time")
    if contract["end_time"] > contract["start_time"] + LONGEST:
        raise Invalid("the contract lasts more than five years; choose an earlier end_time and renew it", field="end_time")


def _known(contract: Document, known: Known) -> None:
    resource = contract["resource"]
    if resource not in known:
        choices = ", ".join(sorted(known))
        raise Invalid(f"«{resource}» cannot be shared; use one of {choices}", code="SHARING_UNKNOWN", field="resource")
    for index, name in enumerate(contract["fields"]):
        if name not in known[resource]:
            choices = ", ".join(sorted(known[resource]))
            words = f"{resource} have no field «{name}» to share; use some of {choices}"
            raise Invalid(words, code="SHARING_UNKNOWN", field=f"fields[{index}]")


def provider_refusal(department: Mapping[str, Any]) -> Invalid | None:
    """Why a unit cannot show records; None when it can. Records belong to departments, and a contract with a team would show nothing."""
    if department["kind"] == "TEAM":
        return Invalid("a team's records belong to its department; name that one", field="provider_department_id")
    return None
