"""What a caller may ask for within sixty seconds."""

from __future__ import annotations

import random

import pytest
from graphql import GraphQLError

from gateway.operations.budget import Budget


def test_the_budget_is_the_callers_own() -> None:
    budget = Budget(100)
    assert [budget.spend("a", 60, now=120.0), budget.spend("b", 60, now=120.0), budget.spend("a", 40, now=179.0)] == [40, 40, 0]
    with pytest.raises(
        GraphQLError, match=r"cost 101 within a minute exceeds the limit of 100 \(limit: budget\); ask again in 3 s or for less"
    ):
        budget.spend("a", 1, now=179.0)
    assert budget.spend("a", 1, now=240.0) == 99


def test_the_border_of_two_minutes_lets_nobody_have_it_twice() -> None:
    budget = Budget(100)
    assert budget.spend("a", 100, now=119.0) == 0
    with pytest.raises(GraphQLError, match="ask again in 31 s"):
        budget.spend("a", 50, now=120.0)
    assert budget.spend("a", 50, now=151.0) == 1


def test_nothing_is_counted_without_a_limit_and_of_what_is_refused() -> None:
    assert Budget(0).spend("a", 10**9) == 0
    budget = Budget(100)
    with pytest.raises(GraphQLError):
        budget.spend("a", 101, now=0.0)
    assert budget.spend("a", 100, now=0.0) == 0


@pytest.mark.parametrize("seed", range(200))
def test_no_sixty_seconds_hold_more_than_the_most_and_who_waits_as_told_is_served(seed: int) -> None:
    chance, budget, now = random.Random(seed), Budget(100), 1_000_000.0
    taken: list[tuple[float, int]] = []
    for _ in range(60):
        now += chance.choice((0.0, 0.5, 3.0, 20.0, 70.0))
        cost = chance.randint(1, 60)
        try:
            budget.spend("a", cost, now=now)
        except GraphQLError as refusal:
            assert refusal.extensions is not None
            now += refusal.extensions["retryAfter"]
            budget.spend("a", cost, now=now)
        taken.append((now, cost))
        minute, second = divmod(now, 60)
        counted = [cost * (1 if then // 60 == minute else 1 - second / 60) for then, cost in taken if then // 60 >= minute - 1]
        assert sum(counted) <= 100 + 1e-6
