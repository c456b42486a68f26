"""How many operations may be under way at once: who comes beyond that is told at once to come again, instead of waiting behind all others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from graphql import GraphQLError
from prometheus_client import Counter

RETRY_SECONDS = 1


class Overloaded(GraphQLError):
    """Too much is under way; nothing of this was begun."""


class Admission:
    """Counts the operations of one gateway process."""

    def __init__(self, most: int, shed: Counter) -> None:
        self.most, self.running, self.shed = most, 0, shed

    @contextmanager
    def one(self) -> Iterator[None]:
        """The time of one operation. Raises Overloaded (retryable) where there are too many already."""
        if self.running >= self.most:
            self.shed.inc()
            raise Overloaded(
                f"{self.running} operations are under way, which is all that is taken at once; ask again in {RETRY_SECONDS} s",
                extensions={"code": "OVERLOADED", "retryAfter": RETRY_SECONDS, "retryable": True},
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
