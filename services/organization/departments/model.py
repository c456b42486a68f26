"""The tree of units: its depth and what may stand below what. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chassis.kernel.errors import CrmError, Invalid, NotAllowed

DEEPEST = 12
_LEVEL = {"GROUP": 0, "REGION": 1, "COMPANY": 2, "DEPARTMENT": 3, "TEAM": 4}


def placed_below(values: dict[str, Any], parent: dict[str, Any] | None, below: int = 0) -> dict[str, Any]:
    """The unit with its ancestors; `below` levels come along. A unit stands below one of the same or a wider kind, never below itself; nothing
    stands below a team but teams."""
    if parent is None:
        return {**values, "ancestor_ids": []}
    ancestors = [*parent.get("ancestor_ids", []), parent["_id"]]
    if values.get("_id") in ancestors:
        raise Invalid("a unit cannot stand below itself; choose another parent", code="DEPARTMENT_CYCLE", field="parent_id")
    if len(ancestors) + below >= DEEPEST:
        raise Invalid(
            f"the tree may have {DEEPEST} levels at most; choose a parent further up", code="DEPARTMENT_TOO_DEEP", field="parent_id"
        )
    if _LEVEL[values["kind"]] < _LEVEL[parent["kind"]]:
        raise Invalid(
            f"a {values['kind'].lower()} cannot stand below a {parent['kind'].lower()}; choose another parent or kind",
            field="parent_id" if values.get("_id") else "kind",
        )
    return {**values, "ancestor_ids": ancestors}


def levels_below(identity: str, units: Iterable[dict[str, Any]]) -> int:
    """How many levels the units that stand below a unit make."""
    return max((len(unit["ancestor_ids"]) - unit["ancestor_ids"].index(identity) for unit in units), default=0)


def move_refusal(values: dict[str, Any], before: dict[str, Any] | None, may_give: bool) -> CrmError | None:
    """Why somebody cannot move a unit: who is above it reaches into it. None when it stays, or may be moved."""
    if before is None or may_give or values.get("parent_id", "") == before.get("parent_id", ""):
        return None
    words = "where a unit stands decides what people reach; moving it takes the right to give roles («assign» on role_definitions)"
    return NotAllowed(words, field="parent_id")
