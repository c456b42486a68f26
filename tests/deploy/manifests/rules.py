"""The register of rules: each takes rendered objects and yields a line for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.deploy.manifests.rendering import Objects

Rule = Callable[[Objects], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Register a rule by its name."""
    RULES[function.__name__] = function
    return function


def broken(objects: Objects) -> dict[str, list[str]]:
    """Rule → what it finds, for those that find something."""
    found = {name: list(check(objects)) for name, check in RULES.items()}
    return {name: lines for name, lines in found.items() if lines}
