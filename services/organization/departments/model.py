"""The tree of units: its depth and what may stand below what. No I/O."""

from __future__ import annotations

from typing import Any

from chassis.kernel.errors import Invalid

DEEPEST = 12
_LEVEL = {"GROUP": 0, "REGION": 1, "COMPANY": 2, "DEPARTMENT": 3, "TEAM": 4}


def placed_below(values: dict[str, Any], parent: dict[str, Any] | None) -> dict[str, Any]:
    """The unit with its ancestors. A unit stands below one of the same or a wider kind; nothing stands below a team but teams."""
    if parent is None:
        return {**values, "ancestor_ids": []}
    ancestors = [*parent.get("ancestor_ids", []), parent["_id"]]
    if len(ancestors) >= DEEPEST:
        raise Invalid(
            f"the tree may have {DEEPEST} levels at most; choose a parent further up", code="DEPARTMENT_TOO_DEEP", field="parent_id"
        )
    if _LEVEL[values["kind"]] < _LEVEL[parent["kind"]]:
        raise Invalid(
            f"a {values['kind'].lower()} cannot stand below a {parent['kind'].lower()}; choose another parent or kind", field="kind"
        )
    return {**values, "ancestor_ids": ancestors}
