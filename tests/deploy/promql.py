"""PromQL for tests: what an expression asks for, and what it gives where each name has one value."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser

_COMPARE = {">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne}
_RECKON = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def walk(node: Any) -> Iterator[Any]:
    """Every node of an expression."""
    yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (below := getattr(node, name, None)) is not None:
            yield from walk(below)
    if isinstance(node, promql_parser.Call):
        for below in node.args:
            yield from walk(below)


def asked(text: str) -> tuple[dict[str, set[str]], set[str]]:
    """The metrics that an expression names, each with the labels that it matches; and the labels that it groups by."""
    metrics: dict[str, set[str]] = {}
    groups: set[str] = set()
    for node in walk(promql_parser.parse(text)):
        if isinstance(node, promql_parser.VectorSelector):
            metrics.setdefault(node.name, set()).update(matcher.name for matcher in node.matchers.matchers)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            groups |= set(node.modifier.labels)
    return metrics, groups


def value(node: Any, values: Mapping[str, float]) -> float | None:
    """What it gives; None for nothing: no series of the name, or a comparison that does not hold. A rate is the value of its name."""
    if isinstance(node, promql_parser.NumberLiteral):
        return float(node.val)
    if isinstance(node, promql_parser.VectorSelector):
        return values.get(node.name)
    if isinstance(node, promql_parser.Call):
        return values["time()"] if node.func.name == "time" else value(node.args[0], values)
    for below in ("expr", "vector_selector"):
        if hasattr(node, below):
            return value(getattr(node, below), values)
    return _both(str(node.op), value(node.lhs, values), value(node.rhs, values))


def _both(sign: str, left: float | None, right: float | None) -> float | None:
    if sign == "or":
        return right if left is None else left
    if left is None or right is None:
        return None
    if sign == "and":
        return left
    if sign in _COMPARE:
        return left if _COMPARE[sign](left, right) else None
    return float(_RECKON[sign](left, right))


def fires(text: str, values: Mapping[str, float]) -> bool:
    """Whether an alert's expression holds."""
    return value(promql_parser.parse(text), values) is not None
