"""Two imports of the same rows at once: each finds what the other made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.storage.records import Records
from tests.support.installation import Installation


async def test_a_row_that_another_makes_between_two_looks_is_no_strangers(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"source_key": f"twice:{new_id()}", "kind": 1, "name": "同时"}
    real, made = Records.by_source_keys, []

    async def slow(self: Records, call: Call, keys: Sequence[str]) -> dict[str, Any]:
        found = await real(self, call, keys)
        if row["source_key"] in keys and not made:
            made.append("begun")
            made.append((await crm.ask("BatchUpsertCustomers", customers=[row])).outcomes[0].id)
        return found

    monkeypatch.setattr(Records, "by_source_keys", slow)
    (outcome,) = (await crm.ask("BatchUpsertCustomers", customers=[{**row, "name": "同时二"}])).outcomes
    assert (outcome.error_message, outcome.id, outcome.result) == ("", made[1], 2)


async def test_twelve_imports_of_the_same_rows_at_once_make_each_once(crm: Installation) -> None:
    rows = [{"source_key": f"twelve:{new_id()}", "kind": 1, "name": f"同 {number}"} for number in range(20)]
    answers = await asyncio.gather(*(crm.ask("BatchUpsertCustomers", customers=rows) for _ in range(12)))
    results = [[one.result for one in answer.outcomes] for answer in answers]
    assert sorted(map(set, results), key=min) == [{1}] + [{3}] * 11
    assert len({tuple(one.id for one in answer.outcomes) for answer in answers}) == 1
