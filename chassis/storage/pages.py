"""A page of rows: what is read for it, where it is cut, and what it is called by. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.kernel.criteria import Criteria
from chassis.kernel.pages import Sort, token_after

Document = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Rows, the token of the next page ("" on the last), and each row's own token when asked for."""

    rows: list[Document]
    next_token: str
    row_tokens: list[str]


def mentions(criteria: Criteria | None, field: str) -> bool:
    """Whether the criteria name the field anywhere."""
    if not criteria:
        return False
    if "condition" in criteria:
        return bool(criteria["condition"].get("field") == field)
    children = [criteria["negated"]] if "negated" in criteria else next(iter(criteria.values())).get("items", ())
    return any(mentions(child, field) for child in children)


def wanted(fields: Sequence[str], sort: Sort | None = None, key: str = "") -> dict[str, int] | None:
    """The projection for a mask: the fields, and those without which the page could not go on. None for everything."""
    if not fields:
        return None
    names = (
        {name.split(".")[0] for name in fields} | {"version"} | ({sort.field.split(".")[0]} if sort else set()) | ({key} if key else set())
    )
    return {("_id" if name == "id" else name): 1 for name in sorted(names)}


def cut(rows: list[Document], size: int, sort: Sort, mark: str, row_tokens: bool) -> Page:
    """The page of the rows read, one more than its size when there is a next one."""
    shown = rows[:size]
    own = [token_after(row, sort, mark) for row in shown] if row_tokens else []
    return Page(shown, token_after(shown[-1], sort, mark) if len(rows) > size else "", own)
