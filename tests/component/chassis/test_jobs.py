"""Long work as a record: rows of an import each have one outcome, whoever is killed, paused or loses a right in the midst of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crm.customer.v1 import customer_pb2

from chassis.jobs import api
from chassis.jobs import worker as working
from chassis.jobs.store import JOBS, ROWS
from chassis.kernel.errors import Conflict, CrmError, NotAllowed, NotFound
from chassis.kernel.ids import from_source, new_id
from gateway.graph.contract import to_global
from tests.e2e import test_access_roles as roles
from tests.support.installation import Installation
from tests.support.trials import CANCELLED, CREATED, DONE, FAILED, PAUSED, QUEUED, REFUSED, RUNNING, Trial, at_hand, held


@pytest.fixture
def trial(crm: Installation) -> Trial:
    return Trial(crm)


async def test_every_row_has_one_outcome_and_a_bad_one_does_not_stop_the_rest(trial: Trial) -> None:
    await trial.start(label="客户.csv", purpose="搬家")
    sent = [
        *trial.rows(0, 30),
        customer_pb2.Customer(source_key=f"{trial.mark}:30", kind=1).SerializeToString(),
        b"\xff\xff",
        *trial.rows(0, 1),
    ]
    answer = await trial.append(0, sent)
    assert [row.result for row in answer.rows] == [CREATED] * 30 + [REFUSED] * 3
    assert (answer.rows[30].error_field, answer.rows[31].error_code) == ("name", "INVALID_ARGUMENT")
    await trial.append(33, trial.rows(30, 40))
    await trial.ask("CloseJob")
    job = await trial.until(DONE)
    assert (job.total, job.cursor, job.done, job.created, job.refused, job.starter_id) == (
        43,
        43,
        40,
        40,
        3,
        trial.crm.people["COORDINATOR"],
    )
    assert len(await trial.stored()) == 40
    rows = await trial.listed()
    assert [row.number for row in rows] == list(range(43))
    assert [row.number for row in await trial.listed(REFUSED)] == [30, 31, 32]
    entry = (await trial.audited(rows[0].record_id))[0]
    assert (entry["request_id"], entry["actor_id"]) == (trial.id, trial.crm.people["COORDINATOR"])
    told = await trial.crm.data(
        "query($id: ID!) { recordHistory(id: $id) { nodes { reason } } }", id=to_global("Customer", rows[0].record_id)
    )
    assert told["recordHistory"]["nodes"] == [{"reason": "搬家"}]


async def test_the_same_rows_are_taken_once_and_others_under_their_number_are_refused(trial: Trial) -> None:
    await trial.start(fingerprint="same")
    first = await trial.append(0, trial.rows(0, 5))
    again = await trial.append(0, trial.rows(0, 5))
    assert list(again.rows) == list(first.rows)
    assert again.job.appended == again.job.created == 5
    for number, rows in ((0, trial.rows(5, 10)), (7, trial.rows(5, 10))):
        with pytest.raises(Conflict) as refusal:
            await trial.append(number, rows)
        assert refusal.value.code == "JOB_ROWS_DIFFER"
    assert (await trial.start(fingerprint="same")).id == first.job.id
    await trial.ask("CloseJob")
    await trial.until(DONE)
    with pytest.raises(Conflict) as refusal:
        await trial.append(5, trial.rows(5, 6))
    assert refusal.value.code == "JOB_STATE_NOT_ALLOWED"
    assert (await trial.start(fingerprint="same")).id != first.job.id


async def test_only_refused_rows_are_tried_again(trial: Trial) -> None:
    parent = from_source("customers", f"{trial.mark}:9")
    await trial.start()
    child = customer_pb2.Customer(source_key=f"{trial.mark}:1", name="子", kind=1, parent_id=parent).SerializeToString()
    bad = customer_pb2.Customer(source_key=f"{trial.mark}:2", kind=1).SerializeToString()
    answer = await trial.append(0, [child, trial.row(0), bad])
    assert [row.error_code for row in answer.rows] == ["REFERENCE_NOT_FOUND", "", "INVALID_ARGUMENT"]
    await trial.append(3, [trial.row(9)])
    await trial.ask("CloseJob")
    await trial.until(DONE)
    assert (await trial.ask("RetryJobRows")).count == 2
    await trial.crm.until(lambda: _counts(trial, created=3, refused=1))
    job = await trial.until(DONE)
    assert (job.done, job.created, job.refused, job.cursor) == (3, 3, 1, 4)
    assert [row.result for row in await trial.listed()] == [CREATED, CREATED, REFUSED, CREATED]
    assert (await trial.stored())[f"{trial.mark}:0"]["version"] == 1
    assert (await trial.ask("RetryJobRows", numbers=[1])).count == 0


async def test_many_refused_rows_are_tried_again_some_batches_a_commit(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "RETRIED", 2)
    parent = from_source("customers", f"{trial.mark}:99")
    child = [
        customer_pb2.Customer(source_key=f"{trial.mark}:{n}", name="子", kind=1, parent_id=parent).SerializeToString() for n in range(10)
    ]
    await trial.start()
    for first in range(0, 10, 2):
        await trial.append(first, child[first : first + 2])
    assert (await trial.job()).refused == 10
    assert (await trial.ask("RetryJobRows", numbers=[3, 8, 400])).count == 2
    await trial.crm.until(lambda: _counts(trial, retrying=0))
    assert (await trial.job()).refused == 10
    await trial.append(10, [trial.row(99)])
    await trial.ask("PauseJob")
    for _ in range(2):  # what is said already is said once
        assert (await trial.ask("RetryJobRows")).count == 10
    assert (await trial.job()).retrying == 10
    await trial.ask("CloseJob")
    await trial.ask("ResumeJob")
    job = await trial.until(DONE)
    assert (job.created, job.refused, job.retrying) == (11, 0, 0)


async def _counts(trial: Trial, **wanted: int) -> bool:
    job = await trial.job()
    return all(getattr(job, name) == number for name, number in wanted.items())


async def test_a_job_that_is_paused_or_cancelled_writes_nothing_of_the_batch_at_hand(trial: Trial) -> None:
    await trial.start()
    async with at_hand(trial, 0, trial.rows(0, 20)):
        assert (await trial.ask("PauseJob")).job.state == PAUSED
    await asyncio.sleep(0.3)
    assert await trial.stored() == {}
    job = await trial.job()
    assert (job.state, job.cursor, job.appended) == (PAUSED, 0, 20)
    assert (await trial.ask("ResumeJob")).job.state == QUEUED
    await trial.crm.until(lambda: _counts(trial, cursor=20))
    async with at_hand(trial, 20, trial.rows(20, 40)):
        assert (await trial.ask("CancelJob")).job.state == CANCELLED
    await asyncio.sleep(0.3)
    assert len(await trial.stored()) == 20
    for method in ("ResumeJob", "PauseJob", "RetryJobRows"):
        with pytest.raises(Conflict) as refusal:
            await trial.ask(method)
        assert refusal.value.code == "JOB_STATE_NOT_ALLOWED"
    kept = trial.crm.suite["customer"].database[ROWS].find({"job_id": trial.id, "waiting": {"$exists": True}})
    assert await kept.to_list() == []


async def test_of_two_workers_that_do_the_same_batch_one_writes(trial: Trial) -> None:
    """The other replica took the lease while this one stood still, as one that is paused by its machine does."""
    jobs = trial.crm.suite["customer"].jobs
    await trial.start()
    async with at_hand(trial, 0, trial.rows(0, 10)) as gate:
        other = working.Jobs(
            jobs.database,
            jobs.vault,
            jobs.directory,
            jobs._changes,
            jobs.collaborations,
            jobs.kinds,
            jobs.others,
            jobs.zone,
            jobs.seal,
            "customer",
        )
        running = asyncio.create_task(other.run())
        try:
            await trial.crm.until(lambda: _counts(trial, cursor=10))
            gate.set()
            await asyncio.sleep(0.3)
            await trial.append(10, trial.rows(10, 15))
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    job = await trial.job()
    assert (job.created, job.cursor) == (15, 15)
    assert {row["version"] for row in (await trial.stored()).values()} == {1}
    await trial.ask("CancelJob")


async def test_who_lost_the_right_in_the_midst_of_it_gets_no_further(crm: Installation) -> None:
    await crm.person("IMPORTER", "COORDINATOR")
    await crm.until(lambda: crm.people["IMPORTER"] in crm.suite["customer"].authority.directory.members)
    trial = Trial(crm, "IMPORTER")
    await trial.start()
    await trial.append(0, trial.rows(0, 5))
    version = (await crm.ask("GetPerson", person_id=crm.people["IMPORTER"])).person.version
    await crm.ask("UpdatePerson", person_id=crm.people["IMPORTER"], version=version, roles=[3], update_mask={"paths": ["roles"]})
    importer = crm.people["IMPORTER"]
    await crm.until(lambda: "COORDINATOR" not in crm.suite["customer"].authority.directory.members[importer].roles)
    await trial.append(5, trial.rows(5, 10), wait=0)
    job = await trial.until(FAILED)
    assert (job.error_code, job.cursor, job.created) == ("NOT_ALLOWED", 5, 5)
    assert "import" in job.error_message
    failed = (await trial.audited(trial.id))[-1]
    assert (failed["action"], failed["actor_id"], failed["changed"]["error_code"]) == (
        "JobFailed",
        "service-customer",
        [None, "NOT_ALLOWED"],
    )
    assert len(await trial.stored()) == 5
    with pytest.raises(NotAllowed):
        await trial.start()
    await trial.ask("CancelJob", role="ADMINISTRATOR")


async def test_two_jobs_of_a_person_run_at_once_and_others_wait(crm: Installation) -> None:
    trials = [Trial(crm) for _ in range(4)]
    async with held(crm):
        for trial in trials:
            await trial.start()
            await trial.append(0, trial.rows(0, 2), wait=0)

        async def states() -> list[int]:
            return [(await trial.job()).state for trial in trials]

        await crm.until(lambda: _same(states(), [RUNNING, RUNNING, QUEUED, QUEUED]))
        await asyncio.sleep(0.6)
        assert await states() == [RUNNING, RUNNING, QUEUED, QUEUED]
    for trial in trials:
        await trial.ask("CloseJob")
        await trial.until(DONE)


async def _same(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)


async def test_a_job_is_its_starters_and_open_to_who_looks_after_all(trial: Trial) -> None:
    await trial.start(role="COORDINATOR")
    await trial.append(0, [trial.row(0), customer_pb2.Customer(source_key=f"{trial.mark}:秘密").SerializeToString()])
    assert (await trial.job("ADMINISTRATOR")).created == 1
    assert [row.error_message == "" for row in await trial.listed(REFUSED)] == [False]
    assert [row.error_message for row in await trial.listed(REFUSED, role="ADMINISTRATOR")] == [""]
    for role in ("SALES_LEAD", "MARKETER"):
        with pytest.raises(NotFound):
            await trial.job(role)
        assert trial.id not in [job.id for job in (await trial.ask("ListJobs", role=role)).jobs]
        with pytest.raises(NotFound):
            await trial.ask("PauseJob", role=role)
        with pytest.raises(NotAllowed):
            await trial.ask("StartImport", role=role, resource="customers")
    with pytest.raises(NotAllowed):
        await trial.append(2, [trial.row(2)], role="ADMINISTRATOR")
    assert trial.id in [job.id for job in (await trial.ask("ListJobs", role="ADMINISTRATOR")).jobs]
    with pytest.raises(CrmError):
        await trial.ask("StartImport", resource="opportunities")
    await trial.ask("CancelJob", role="ADMINISTRATOR")


async def test_what_nobody_goes_on_with_is_cancelled_and_what_ended_long_ago_is_gone(trial: Trial) -> None:
    from datetime import timedelta

    from chassis.kernel.clock import now

    jobs = trial.crm.suite["customer"].jobs
    await trial.start()
    await trial.ask("PauseJob")
    await trial.append(0, trial.rows(0, 3), wait=0)
    await jobs._tidy(now() + timedelta(days=6))
    assert (await trial.job()).state == PAUSED
    await jobs.database[JOBS].update_one({"_id": trial.id}, {"$set": {"update_time": now() - timedelta(days=8)}})
    await jobs._tidy(now())
    assert (await trial.job()).state == CANCELLED
    await jobs.database[JOBS].update_one({"_id": trial.id}, {"$set": {"update_time": now() - timedelta(days=31)}})
    await jobs._tidy(now())
    with pytest.raises(NotFound):
        await trial.job()
    told = [(line["action"], line["actor_id"], line["reason"]) for line in await trial.audited(trial.id)]
    assert told[0][:2] == ("JobStarted", trial.crm.people["COORDINATOR"])
    assert told[-2:] == [
        ("JobCancelled", "service-customer", "nobody went on with it for seven days"), ("JobDeleted", "service-customer", "it ended 30 days ago"),
    ]  # fmt: skip
    for collection, query in ((ROWS, {"job_id": trial.id}), ("subject_keys", {"_id": trial.id})):
        assert await jobs.database[collection].find_one(query) is None


async def test_a_row_that_sets_what_its_sender_may_not_is_refused_alone(crm: Installation) -> None:
    actions = [("customers", action, "ALL") for action in ("read", "create", "update", "import")]
    actions += [("jobs", action, "OWN") for action in ("read", "create", "update")]
    await roles.holder(crm, "no phones", (await roles.role(crm, f"no phones {new_id()}", actions, [("customers", "phone", "READ")]))["id"])
    trial = Trial(crm, "no phones")
    await trial.start()
    bad = customer_pb2.Customer(source_key=f"{trial.mark}:1", name="一", kind=1, phone="+8613800001234").SerializeToString()
    answer = await trial.append(0, [trial.row(0), bad, trial.row(2)])
    assert [row.result for row in answer.rows] == [CREATED, REFUSED, CREATED]
    assert (answer.rows[1].error_code, answer.rows[1].error_field) == ("NOT_ALLOWED", "phone")
    assert answer.job.state in (RUNNING, QUEUED)
    await trial.ask("CancelJob")


async def test_a_row_on_which_the_department_fails_is_refused_alone(trial: Trial) -> None:
    jobs: Any = trial.crm.suite["customer"].jobs
    target = jobs.kinds["IMPORT"].targets["customers"]
    name, handlers = target.method.name, target.service.handlers
    real = handlers[name]

    async def failing(call: Any, request: Any) -> Any:
        if any(row.name == "坏" for row in request.customers):
            raise RuntimeError("a fault of ours")
        return await real(call, request)

    await trial.start()
    handlers[name] = failing
    try:
        rows = [*trial.rows(0, 9), trial.row(9, "坏"), *trial.rows(10, 20)]
        answer = await trial.append(0, rows)
    finally:
        handlers[name] = real
    assert [row.number for row in answer.rows if row.result == REFUSED] == [9]
    assert answer.rows[9].error_code == "INTERNAL"
    assert (await trial.ask("RetryJobRows")).count == 1
    await trial.crm.until(lambda: _counts(trial, created=20, refused=0))
    await trial.ask("CancelJob")
