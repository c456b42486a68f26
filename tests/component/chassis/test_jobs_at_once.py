"""Jobs of which two things happen at once: twins of a command, and a pause that is taken back while a batch is at hand."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from crm.customer.v1 import customer_pb2

from chassis.jobs import model, store, worker
from chassis.jobs.store import JOBS, ROWS
from chassis.kernel.clock import now
from chassis.kernel.errors import Conflict
from chassis.rpc.call import Call
from chassis.storage.changes import REQUESTS, Changes
from tests.support.installation import Installation
from tests.support.trials import CREATED, DONE, PAUSED, QUEUED, REFUSED, RUNNING, Trial, at_hand


@pytest.fixture
def trial(crm: Installation) -> Trial:
    return Trial(crm)


async def test_rows_that_come_several_times_at_once_are_taken_once_and_answered_alike(trial: Trial) -> None:
    await trial.start()
    for first in (0, 6):
        answers = await asyncio.gather(*(trial.append(first, trial.rows(first, first + 6)) for _ in range(6)))
        assert {tuple((row.number, row.result, row.record_id) for row in answer.rows) for answer in answers} == {
            tuple((row.number, CREATED, row.record_id) for row in answers[0].rows)
        }
        assert [row.number for row in answers[0].rows] == list(range(first, first + 6))
    job = await trial.job()
    assert (job.appended, job.created) == (12, 12)
    assert await trial.crm.suite["customer"].database[ROWS].count_documents({"job_id": trial.id}) == 2
    await trial.ask("CancelJob")


async def test_of_different_rows_under_one_number_at_once_one_is_taken_and_the_other_told(trial: Trial) -> None:
    await trial.start()
    found = await asyncio.gather(*(trial.append(0, [trial.row(number)], wait=0) for number in range(4)), return_exceptions=True)
    refused = [one for one in found if isinstance(one, BaseException)]
    assert [getattr(one, "code", one) for one in refused] == ["JOB_ROWS_DIFFER"] * 3
    await trial.ask("CancelJob")


async def test_rows_come_in_while_the_job_goes_from_state_to_state(trial: Trial) -> None:
    """The guard of an append is not what the job happens to do: it was read QUEUED, and runs, rests or is paused at the commit."""
    await trial.start()
    jobs = trial.crm.suite["customer"].database[JOBS]
    going = True

    async def move() -> None:
        while going:
            for state in ("PAUSED", "QUEUED"):
                await jobs.update_one({"_id": trial.id}, {"$set": {"state": state}})
                await asyncio.sleep(0.005)

    moving = asyncio.create_task(move())
    try:
        for number in range(25):
            assert (await trial.append(number, [trial.row(number)], wait=0)).job.appended == number + 1
    finally:
        going = False
        await moving
    await trial.ask("CancelJob")
    with pytest.raises(Conflict) as refusal:
        await trial.append(25, [trial.row(25)])
    assert refusal.value.code == "JOB_STATE_NOT_ALLOWED"


async def test_a_job_that_is_paused_and_resumed_in_the_midst_of_a_batch_is_worked_on_once(trial: Trial) -> None:
    jobs = trial.crm.suite["customer"].jobs
    await trial.start()
    async with at_hand(trial, 0, trial.rows(0, 30)):
        first = jobs._tasks[trial.id]
        for state, method in ((PAUSED, "PauseJob"), (QUEUED, "ResumeJob")) * 2:
            assert (await trial.ask(method)).job.state == state
        jobs.work.ring()
        await asyncio.sleep(0.3)
        assert jobs._tasks[trial.id] is first and not first.done()
        assert (await trial.job()).state == QUEUED
        imports = jobs.kinds["IMPORT"]
        assert trial.id in imports._open  # type: ignore[attr-defined]
    await trial.crm.until(lambda: _is(trial, cursor=30, created=30))
    assert {row["version"] for row in (await trial.stored()).values()} == {1}
    assert (await trial.job()).state in (RUNNING, QUEUED)
    await trial.ask("CancelJob")
    await trial.crm.until(lambda: trial.id not in jobs._tasks)
    assert trial.id not in imports._open  # type: ignore[attr-defined]


async def test_a_batch_that_was_stopped_or_met_a_refused_twin_is_done_later_and_no_row_is_refused(trial: Trial) -> None:
    database = trial.crm.suite["customer"].database
    await trial.start()
    for first in range(2):  # one row a batch: it would be the row at fault
        async with at_hand(trial, first, [trial.row(first)]):
            mark = f"{trial.crm.people['COORDINATOR']}:BatchUpsertCustomers:{trial.id}-{first}"
            if first:  # a twin, of a replica that has the job no more
                await database[REQUESTS].insert_one({"_id": mark, "fence": "another", "hash": "", "create_time": now()})
            else:
                await trial.ask("PauseJob")
        if not first:
            await trial.crm.until(lambda: trial.id not in trial.crm.suite["customer"].jobs._tasks)
            assert await database[REQUESTS].find_one({"_id": mark}) is None
            await trial.ask("ResumeJob")
        await trial.crm.until(lambda wanted=first + 1: _is(trial, cursor=wanted))  # type: ignore[misc]
    job = await trial.job()
    assert (job.created, job.refused) == (2, 0)
    await trial.ask("CancelJob")


async def test_a_row_that_the_database_never_takes_is_refused_alone(trial: Trial) -> None:
    """As one that is too large for it: to wait does not help."""
    database = trial.crm.suite["customer"].database
    await trial.start()
    await database.command({"collMod": "customers", "validator": {"name": {"$ne": "不可存"}}})
    try:
        answer = await trial.append(0, [*trial.rows(0, 5), trial.row(5, "不可存"), *trial.rows(6, 9)])
    finally:
        await database.command({"collMod": "customers", "validator": {}})
    assert [row.result for row in answer.rows] == [CREATED] * 5 + [REFUSED] + [CREATED] * 3
    assert (answer.rows[5].error_code, "correct or shorten" in answer.rows[5].error_message) == ("INVALID_ARGUMENT", True)
    assert (await trial.ask("RetryJobRows")).count == 1
    await trial.crm.until(lambda: _is(trial, created=9, refused=0))
    await trial.ask("CancelJob")


async def test_what_jobs_hold_is_counted_and_bounded(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = trial.crm.suite["customer"].database[JOBS]

    async def held_by() -> int:
        found = await jobs.find_one({"_id": trial.id}, {"held": 1})
        return int(found["held"]) if found else -1

    bad = customer_pb2.Customer(source_key=f"{trial.mark}:bad", kind=1).SerializeToString()
    await trial.start()
    await trial.ask("PauseJob")
    await trial.append(0, [*trial.rows(0, 3), bad], wait=0)
    assert await held_by() == sum(map(len, [*trial.rows(0, 3), bad]))
    theirs = await jobs.find({"held": {"$gt": 0}, "owner_id": trial.crm.people["COORDINATOR"]}, {"held": 1}).to_list()
    monkeypatch.setattr(model, "HELD_OF_PERSON", sum(job["held"] for job in theirs))
    with pytest.raises(Conflict, match="send these when some have their outcome") as refusal:
        await trial.append(4, trial.rows(4, 5))
    assert (refusal.value.code, refusal.value.retryable) == ("JOBS_FULL", True)
    await trial.ask("ResumeJob")
    await trial.crm.until(lambda: _is(trial, cursor=4))
    assert await held_by() == len(bad)
    await trial.append(4, trial.rows(4, 5))
    monkeypatch.setattr(model, "OPEN_OF_PERSON", 1)
    with pytest.raises(Conflict, match="jobs of yours have not ended") as refusal:
        await trial.ask("StartImport", resource="customers")
    assert (refusal.value.code, refusal.value.retryable) == ("JOBS_FULL", False)
    await trial.ask("CancelJob")
    assert await held_by() == 0


async def _is(trial: Trial, **wanted: int) -> bool:
    job = await trial.job()
    return all(getattr(job, name) == number for name, number in wanted.items())


async def test_whoever_starts_the_same_import_at_once_gets_the_same_job(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has looked, and found none, before the first one is committed."""
    looked, real = asyncio.Barrier(4), store.open_jobs

    async def together(call: Call) -> tuple[int, int]:
        with contextlib.suppress(asyncio.BrokenBarrierError, TimeoutError):
            await asyncio.wait_for(looked.wait(), 1)
        return await real(call)

    monkeypatch.setattr(store, "open_jobs", together)
    other = Trial(trial.crm)
    jobs = await asyncio.gather(*(one.start(fingerprint=f"at once {trial.mark}") for one in (trial, trial, other, other)))
    assert len({job.id for job in jobs}) == 1
    await trial.ask("CloseJob")
    await trial.until(DONE)
    assert (await trial.start(fingerprint=f"at once {trial.mark}")).id != jobs[0].id  # what is over stands in nobody's way


async def test_who_works_on_jobs_looks_when_a_command_is_committed_however_long_that_takes(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "QUIET_SECONDS", 3600.0)
    await trial.start()
    await trial.append(0, [trial.row(0)])
    await trial.ask("PauseJob")
    commit = Changes.commit

    async def slowly(changes: Changes) -> None:
        if changes.method.endswith("ResumeJob"):
            await asyncio.sleep(0.5)
        await commit(changes)

    jobs = trial.crm.suite["customer"].jobs
    await trial.crm.until(lambda: trial.id not in jobs._tasks)
    monkeypatch.setattr(Changes, "commit", slowly)
    await trial.ask("ResumeJob")
    await trial.until(RUNNING)
    await trial.ask("CancelJob")


async def test_the_end_of_a_job_wakes_who_seals_the_audit_and_no_relay(trial: Trial) -> None:
    department = trial.crm.suite["customer"]
    relay, chain = department.relay.woken, department.chain.woken
    relay.clear()
    chain.clear()
    department.wake(0)
    assert (relay.is_set(), chain.is_set()) == (False, True)
