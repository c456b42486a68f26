"""Keyset pages: where a page ended, as an opaque token, and the filter for what follows. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from chassis.kernel.errors import Invalid

DEFAULT_SIZE = 20
LARGEST_SIZE = 100
MOST_COUNTED = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sort:
    """One order: a document path and a direction (1 or -1); the id breaks ties in the same direction.

    `of` is the record's field by which it sorts, where the path is one that only the store keeps.
    """

    field: str
    direction: int
    of: str = ""

    @property
    def turned(self) -> Sort:
        """The same order, from its end on."""
        return replace(self, direction=-self.direction)

    @property
    def name(self) -> str:
        """The field of the record whose values this order tells."""
        return self.of or self.field.split(".")[0]

    @property
    def keys(self) -> list[tuple[str, int]]:
        """The sort, as MongoDB wants it."""
        return [(self.field, self.direction), ("_id", self.direction)]


def size_of(asked: int) -> int:
    """Rows of a page: the default for 0, never more than the largest."""
    return min(asked or DEFAULT_SIZE, LARGEST_SIZE)


def fingerprint(*parts: object) -> str:
    """Short digest of what a token belongs to (order, filter, key), so that a token of another list is refused."""
    return hashlib.sha256(orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def value_at(document: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is nothing."""
    value: Any = document
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def token_after(document: dict[str, Any], sort: Sort, mark: str) -> str:
    """The token of the page that ends with this document. `mark` holds a secret of the department, so nobody else can make one."""
    value = value_at(document, sort.field)
    kind = "t" if isinstance(value, datetime) else "v"
    plain = (value - EPOCH) // timedelta(milliseconds=1) if isinstance(value, datetime) else value
    raw = orjson.dumps([fingerprint(mark, kind, plain, document["_id"]), kind, plain, document["_id"]])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def filter_after(token: str, sort: Sort, *marks: str) -> dict[str, Any]:
    """The MongoDB filter for what follows the page that the token ends; {} for no token. It must bear one of the marks."""
    if not token:
        return {}
    value, identity = _read(token, marks)
    compare = "$gt" if sort.direction > 0 else "$lt"
    tie = {sort.field: value, "_id": {compare: identity}}
    if value is None:  # MongoDB sorts nothing below everything
        return {"$or": [tie, {sort.field: {"$ne": None}}]} if sort.direction > 0 else tie
    beyond: list[dict[str, Any]] = [{sort.field: {compare: value}}, tie]
    if sort.direction < 0:
        beyond.append({sort.field: None})
    return {"$or": beyond}


def _read(token: str, marks: Sequence[str]) -> tuple[Any, str]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
            raise ValueError(token)
        found, kind, value, identity = orjson.loads(raw)
        if (
            found not in [fingerprint(mark, kind, value, identity) for mark in marks]
            or kind not in ("t", "v")
            or not isinstance(identity, str)
        ):
            raise ValueError(token)
        if isinstance(value, (dict, list)) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
            raise TypeError(token)
        return (EPOCH + timedelta(milliseconds=value) if kind == "t" else value), identity
    except (ValueError, TypeError, OverflowError, OSError, binascii.Error) as error:
        raise Invalid(
            "the page token was not made by this list, or for another order or filter; ask for the first page again",
            code="PAGE_TOKEN_INVALID",
            field="page_token",
        ) from error
