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
    """An order: a document path and a direction (1 or -1), and by what equals are sorted `then`; the id breaks ties in the first direction.

    `of` is the record's field by which it sorts, where the path is one that only the store keeps. `reckoned` is MongoDB's expression of what
    stands at the path, where that is not stored.
    """

    field: str
    direction: int
    of: str = ""
    then: Sort | None = None
    reckoned: Any = None

    @property
    def parts(self) -> tuple[Sort, ...]:
        """Each key alone, the first one first."""
        return (self, *(self.then.parts if self.then else ()))

    @property
    def turned(self) -> Sort:
        """The same order, from its end on."""
        return replace(self, direction=-self.direction, then=self.then.turned if self.then else None)

    @property
    def name(self) -> str:
        """The field of the record whose values the first key tells."""
        return self.of or self.field.split(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the record whose values this order tells."""
        return tuple(part.name for part in self.parts)

    @property
    def keys(self) -> list[tuple[str, int]]:
        """The sort, as MongoDB wants it."""
        return [*((part.field, part.direction) for part in self.parts), ("_id", self.direction)]

    @property
    def reckonings(self) -> dict[str, Any]:
        """What must be reckoned before records can be sorted: path → expression."""
        return {part.field: part.reckoned for part in self.parts if part.reckoned}


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
    values = [_plain(value_at(document, part.field)) for part in sort.parts]
    kind, plain = values[0] if len(values) == 1 else ("m", values)
    raw = orjson.dumps([fingerprint(mark, kind, plain, document["_id"]), kind, plain, document["_id"]])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _plain(value: Any) -> tuple[str, Any]:
    return ("t", (value - EPOCH) // timedelta(milliseconds=1)) if isinstance(value, datetime) else ("v", value)


def filter_after(token: str, sort: Sort, *marks: str) -> dict[str, Any]:
    """The MongoDB filter for what follows the page that the token ends; {} for no token. It must bear one of the marks."""
    if not token:
        return {}
    values, identity = _read(token, len(sort.parts), marks)
    same: dict[str, Any] = {}
    choices: list[dict[str, Any]] = []
    for part, value in zip(sort.parts, values, strict=True):
        choices += [same | {part.field: beyond} for beyond in _beyond(value, part.direction)]
        same = same | {part.field: value}
    choices.append(same | {"_id": {"$gt" if sort.direction > 0 else "$lt": identity}})
    return {"$or": choices} if len(choices) > 1 else choices[0]


def _beyond(value: Any, direction: int) -> list[Any]:
    """What lies beyond a value; MongoDB sorts nothing below everything."""
    if value is None:
        return [{"$ne": None}] if direction > 0 else []
    return [{"$gt": value}] if direction > 0 else [{"$lt": value}, None]


def _read(token: str, keys: int, marks: Sequence[str]) -> tuple[list[Any], str]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
            raise ValueError(token)
        found, kind, value, identity = orjson.loads(raw)
        if found not in [fingerprint(mark, kind, value, identity) for mark in marks] or not isinstance(identity, str):
            raise ValueError(token)
        values = [_value(*one) for one in (value if kind == "m" else [(kind, value)])]
        if len(values) != keys:
            raise ValueError(token)
        return values, identity
    except (ValueError, TypeError, OverflowError, OSError, binascii.Error) as error:
        raise Invalid(
            "the page token was not made by this list, or for another order or filter; ask for the first page again",
            code="PAGE_TOKEN_INVALID",
            field="page_token",
        ) from error


def _value(kind: str, plain: Any) -> Any:
    if kind not in ("t", "v") or isinstance(plain, (dict, list)) or (isinstance(plain, int) and not -(2**63) <= plain < 2**63):
        raise TypeError(kind)
    return EPOCH + timedelta(milliseconds=plain) if kind == "t" else plain
