"""Generated cases: a sample of them in `make test`, drawn by a seed that the run prints; all of them in `make test-long`.

The same seed draws the same sample: `CRM_TEST_SEED=… make test`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
LONG = os.environ.get("CRM_TEST_LONG") == "1"
# Set for all workers before any of them collects; see `pytest_configure` in conftest.
SEED = int(os.environ.get("CRM_TEST_SEED", "1"))


def sample(items: Sequence[Item], most: int, name: str = "") -> list[Item]:
    """At most so many of the items, in their order; all of them in a long run. `name` tells one sample of a seed from another."""
    if LONG or len(items) <= most:
        return list(items)
    chosen = set(random.Random(f"{SEED} {name}").sample(range(len(items)), most))
    return [item for index, item in enumerate(items) if index in chosen]


def part(items: Sequence[Item], divisor: int, name: str = "") -> list[Item]:
    """One in so many of the items, at least one; all of them in a long run."""
    return sample(items, -(-len(items) // divisor), name)


def rounds(short: int, long: int, name: str = "") -> list[int]:
    """Seeds for so many rounds: others in every run, the first ones in a long run."""
    return list(range(long)) if LONG else [random.Random(f"{SEED} {name} {number}").randrange(10**6) for number in range(short)]
