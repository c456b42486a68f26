"""Rows that come while their job is worked on are done in the commit that takes them, and are never stored as rows that wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crm.customer.v1 import customer_pb2

from chassis.jobs import model
from chassis.jobs.offers import Offer, Offers
from chassis.jobs.store import JOBS, ROWS
from chassis.kernel.errors import Conflict
from tests.support.installation import Installation
from tests.support.trials import CREATED, DONE, PAUSED, REFUSED, UNCHANGED, Trial, held


@pytest.fixture
async def trial(crm: Installation) -> Trial:
    """An import whose first row is done, so that it is worked on."""
    found = Trial(crm)
    await found.start(total=3)
    assert [row.result for row in (await found.append(0, [found.row(0)])).rows] == [CREATED]
    return found


async def batches(trial: Trial) -> list[Any]:
    return await trial.crm.suite["customer"].database[ROWS].find({"job_id": trial.id}).sort("_id", 1).to_list()


async def test_rows_are_stored_with_their_outcomes_and_taken_once(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    offered, made = list[Any](), Offers.made

    async def noted(self: Offers, job_id: str, offer: Offer, seconds: float) -> list[Any] | None:
        offered.append(await made(self, job_id, offer, seconds))
        return offered[-1]

    monkeypatch.setattr("chassis.jobs.offers.PATIENCE_SECONDS", 10.0)
    monkeypatch.setattr(Offers, "made", noted)
    sent = [*trial.rows(0, 6), b"\xff\xff"]
    answer = await trial.append(1, sent)
    assert [list(one) for one in offered] == [list(answer.rows)]
    assert [row.result for row in answer.rows] == [UNCHANGED] + [CREATED] * 5 + [REFUSED]
    assert [row.number for row in answer.rows] == list(range(1, 8))
    batch = (await batches(trial))[1]
    assert "waiting" not in batch and (batch["filled"], batch["count"], batch["refused"]) == (7, 7, 1)
    job = await trial.crm.suite["customer"].database[JOBS].find_one({"_id": trial.id})
    assert job is not None
    assert (job["appended"], job["cursor"], job["total"], job["created"], job["unchanged"], job["refused"]) == (8, 8, 8, 6, 1, 1)
    assert job["held"] == 2  # what was refused may be tried again
    assert list((await trial.append(1, sent)).rows) == list(answer.rows)
    with pytest.raises(Conflict) as refusal:
        await trial.append(1, trial.rows(10, 17))
    assert refusal.value.code == "JOB_ROWS_DIFFER"
    assert (await trial.ask("RetryJobRows")).count == 1
    await trial.ask("CloseJob")
    await trial.until(DONE)
    assert len(await trial.stored()) == 6


async def test_a_refused_row_about_somebody_is_stored_first_so_that_an_erasure_finds_it(trial: Trial) -> None:
    nameless = customer_pb2.Customer(source_key=f"{trial.mark}:1", kind=1).SerializeToString()
    answer = await trial.append(1, [nameless, trial.row(2)])
    assert [row.result for row in answer.rows] == [REFUSED, CREATED]
    batch = (await batches(trial))[1]
    assert batch["customer_ids"] == [batch["results"][0]["customer_id"]]
    assert (await trial.job()).created == 2
    assert not trial.crm.suite["customer"].jobs.kinds["IMPORT"].offers.taken_from(trial.id)  # the next ones are not tried twice
    assert [row.result for row in (await trial.append(3, [trial.row(3)])).rows] == [CREATED]
    await trial.ask("PauseJob")
    await trial.crm.until(lambda: trial.crm.suite["customer"].jobs.kinds["IMPORT"].offers.taken_from(trial.id))


async def test_rows_at_hand_of_a_job_that_is_paused_are_stored_and_done_later(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.jobs.offers.PATIENCE_SECONDS", 10.0)
    async with held(trial.crm) as (gate, reached):
        sending = asyncio.create_task(trial.append(1, trial.rows(1, 5)))
        await reached.wait()
        assert len(await batches(trial)) == 1
        await trial.ask("PauseJob")
        gate.set()
        assert list((await sending).rows) == []
    await trial.until(PAUSED)
    assert [len(batch.get("waiting", ())) for batch in await batches(trial)] == [0, 4]
    await trial.ask("ResumeJob")
    await trial.ask("CloseJob")
    assert (await trial.until(DONE)).created == 5


async def test_rows_that_nobody_takes_or_that_take_too_long_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.jobs.offers.PATIENCE_SECONDS", 0.05)
    offers = Offers()
    assert await offers.made("j", Offer(0, [b"x"], [""], ""), 1) is None
    assert offers.taken("j") is None
    waiting = asyncio.create_task(offers.made("j", Offer(0, [b"x"], [""], ""), 0.05))
    await asyncio.sleep(0)
    assert await offers.made("j", Offer(0, [b"y"], [""], ""), 1) is None  # one at a time
    taken = offers.taken("j")
    assert taken is not None
    with pytest.raises(Conflict) as refusal:
        await waiting
    assert (refusal.value.code, refusal.value.retryable) == ("BUSY", True)
    taken.end(["done"])  # nobody asks any more


def test_only_what_is_next_is_done_as_it_comes() -> None:
    job = {"state": model.RUNNING, "appended": 5, "cursor": 5, "retrying": 0, "closed": False}
    assert model.takes_offers(job, 5)
    for other in ({"state": model.PAUSED}, {"cursor": 4}, {"appended": 6}, {"retrying": 1}, {"closed": True}):
        assert not model.takes_offers({**job, **other}, 5)
