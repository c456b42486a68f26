"""In whatever order, and however often, a department hears of merges, it ends with the customers that the customer department knows."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from chassis.kernel.clock import now
from chassis.kernel.ids import new_id
from chassis.storage import aliases
from chassis.storage.aliases import Aliases
from services.customer.merges.model import later
from tests.support.installation import Installation
from tests.support.samples import rounds

Fact = tuple[str, str, str, Any, bool]


class History:
    """Merges and their ends as the customer department allows them, by replicas whose clocks stand still or differ by seconds."""

    def __init__(self, seed: int) -> None:
        self.dice, self.into = random.Random(seed), dict[str, int]()
        self.customers = [f"{new_id()}-{name}" for name in "abcde"]
        self.merges: list[Fact] = []
        self.facts: list[Fact] = []
        self.begun = now()

    def step(self) -> None:
        free = [one for one in self.customers if one not in self.into]
        if not self.into or (len(free) > 1 and self.dice.random() < 0.6):
            loser, survivor = self.dice.sample(free, 2)
            clock = self.begun + timedelta(seconds=self.dice.choice((-5, 0, 0, 0, 5)))
            since = later(clock, self.merges[-1][3] if self.merges else None)
            self.into[loser] = len(self.merges)
            self.merges.append((loser, survivor, new_id(), since, False))
            self.facts.append(self.merges[-1])
        elif self.into:
            number = self.into.pop(self.dice.choice(sorted(self.into)))
            self.facts.append((*self.merges[number][:4], True))

    def counts(self, identity: str) -> str:
        return self.counts(self.merges[self.into[identity]][1]) if identity in self.into else identity

    def heard(self) -> list[Fact]:
        """Every fact at least once, in any order: parked ones come after their successors."""
        told = self.facts + self.dice.choices(self.facts, k=len(self.facts) // 2)
        self.dice.shuffle(told)
        return told


@pytest.mark.parametrize("seed", rounds(40, 2_000, "orders of merges"))
async def test_every_department_ends_with_the_same_customers_whatever_it_heard_first(crm: Installation, seed: int) -> None:
    history = History(seed)
    for _ in range(history.dice.randint(2, 20)):
        history.step()
    wanted = {one: history.counts(one) for one in history.customers}
    for name in ("sales", "support"):
        database = crm.suite[name].database
        writes = [aliases.told(*fact[:4], undone=fact[4]) for fact in history.heard()]
        await database[aliases.COLLECTION].bulk_write(list(writes), ordered=True)
        rows = await database[aliases.COLLECTION].find({"_id": {"$in": history.customers}}).to_list()
        known = Aliases()
        known.take(rows)
        await database[aliases.COLLECTION].delete_many({"_id": {"$in": history.customers}})
        assert {one: known.resolve(one) for one in history.customers} == wanted, name
        assert {one: set(known.group(one)) for one in wanted} == {
            one: {other for other in wanted if wanted[other] == wanted[one]} for one in wanted
        }


def test_half_of_a_history_never_loops_and_leads_all_of_a_circle_to_one() -> None:
    moment = now()
    rows = [{"_id": f"{number}", "into": f"{(number + 1) % 50}", "since": moment, "undone": False} for number in range(50)]
    known = Aliases()
    known.take(rows)
    assert {known.resolve(row["_id"]) for row in rows} == {"0"}
    assert len(known.group("7")) == 50
