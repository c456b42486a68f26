"""Long work as a record: rows of an import each have one outcome, whoever is killed, paused or loses a right in the midst of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from crm.customer.v1 import customer_pb2

from chassis.jobs import worker as working
from chassis.jobs.api import DESCRIPTOR
from chassis.jobs.store import JOBS, ROWS
from chassis.kernel.errors import Conflict, CrmError, NotAllowed, NotFound
from chassis.kernel.ids import from_source, new_id
from chassis.rpc.service import request_class
from tests.support.installation import PATIENCE, Installation

REFUSED, CREATED = 4, 1


class Trial:
    """An import of customers under keys of its own."""

    def __init__(self, crm: Installation, role: str = "COORDINATOR", department: str = "customer") -> None:
        self.crm, self.role, self.department, self.mark = crm, role, department, new_id()
        self.id = ""

    async def ask(self, method: str, *, role: str = "", **fields: Any) -> Any:
        described = DESCRIPTOR.methods_by_name[method]
        if "request_id" in described.input_type.fields_by_name:
            fields.setdefault("request_id", new_id())
        if self.id and "job_id" in described.input_type.fields_by_name:
            fields.setdefault("job_id", self.id)
        role = role or self.role
        token = await self.crm.link.token() if role == "cli" else self.crm.tokens[role]
        channel = self.crm.channels[self.department]
        return await channel.call(DESCRIPTOR, method, request_class(described)(**fields), token=token, seconds=PATIENCE)

    async def start(self, **fields: Any) -> Any:
        job = (await self.ask("StartImport", resource="customers", **fields)).job
        self.id = job.id
        return job

    def row(self, number: int, name: str = "") -> bytes:
        return customer_pb2.Customer(source_key=f"{self.mark}:{number}", name=name or f"任务 {number}", kind=1).SerializeToString()

    def rows(self, start: int, stop: int) -> list[bytes]:
        return [self.row(number) for number in range(start, stop)]

    async def append(self, first: int, rows: list[bytes], wait: int = 15_000, **more: Any) -> Any:
        return await self.ask("AppendJobRows", first_number=first, rows=rows, wait_milliseconds=wait, **more)

    async def job(self, role: str = "") -> Any:
        return (await self.ask("GetJob", role=role)).job

    async def until(self, *states: int) -> Any:
        async def there() -> bool:
            return (await self.job()).state in states

        await self.crm.until(there)
        return await self.job()

    async def listed(self, result: int = 0, role: str = "") -> list[Any]:
        found, start = [], 0
        while True:
            answer = await self.ask("ListJobRows", role=role, result=result, from_number=start, page_size=7)
            found += answer.rows
            if not answer.HasField("next_number"):
                return found
            start = answer.next_number

    async def stored(self) -> dict[str, Any]:
        query = {"_id": {"$in": [from_source("customers", f"{self.mark}:{number}") for number in range(2000)]}}
        return {row["source_key"]: row async for row in self.crm.suite["customer"].database["customers"].find(query)}

    async def audited(self, record_id: str) -> list[Any]:
        return await self.crm.suite["customer"].database["audit_entries"].find({"record_id": record_id}).to_list()


QUEUED, RUNNING, PAUSED, DONE, FAILED, CANCELLED = range(1, 7)


@pytest.fixture
def trial(crm: Installation) -> Trial:
    return Trial(crm)


@contextlib.asynccontextmanager
async def held(crm: Installation, department: str = "customer") -> AsyncIterator[asyncio.Event]:
    """As long as the event is not set, no batch of a job of the department commits; `reached` tells that one is about to."""
    jobs = crm.suite[department].jobs
    gate, reached, still = asyncio.Event(), asyncio.Event(), jobs.still

    async def wait(job: Any) -> None:
        reached.set()
        await gate.wait()
        await still(job)

    jobs.still = wait  # type: ignore[method-assign]
    gate.reached = reached  # type: ignore[attr-defined]
    try:
        yield gate
    finally:
        gate.set()
        jobs.still = still  # type: ignore[method-assign]


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
        "query($id: ID!) { recordHistory(id: $id) { nodes { reason } } }", id=_global("Customer", rows[0].record_id)
    )
    assert told["recordHistory"]["nodes"] == [{"reason": "搬家"}]


def _global(kind: str, identity: str) -> str:
    from gateway.graph.contract import to_global

    return to_global(kind, identity)


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


async def _counts(trial: Trial, **wanted: int) -> bool:
    job = await trial.job()
    return all(getattr(job, name) == number for name, number in wanted.items())


async def test_a_job_that_is_paused_or_cancelled_writes_nothing_of_the_batch_at_hand(trial: Trial) -> None:
    await trial.start()
    async with held(trial.crm) as gate:
        await trial.append(0, trial.rows(0, 20), wait=0)
        await gate.reached.wait()  # type: ignore[attr-defined]
        assert (await trial.ask("PauseJob")).job.state == PAUSED
    await asyncio.sleep(0.3)
    assert await trial.stored() == {}
    job = await trial.job()
    assert (job.state, job.cursor, job.appended) == (PAUSED, 0, 20)
    assert (await trial.ask("ResumeJob")).job.state == QUEUED
    await trial.crm.until(lambda: _counts(trial, cursor=20))
    async with held(trial.crm) as gate:
        await trial.append(20, trial.rows(20, 40), wait=0)
        await gate.reached.wait()  # type: ignore[attr-defined]
        assert (await trial.ask("CancelJob")).job.state == CANCELLED
    await asyncio.sleep(0.3)
    assert len(await trial.stored()) == 20
    for method in ("ResumeJob", "PauseJob", "RetryJobRows"):
        with pytest.raises(Conflict) as refusal:
            await trial.ask(method)
        assert refusal.value.code == "JOB_STATE_NOT_ALLOWED"
    kept = trial.crm.suite["customer"].database[ROWS].find({"job_id": trial.id, "payload": {"$exists": True}})
    assert await kept.to_list() == []


async def test_of_two_workers_that_do_the_same_batch_one_writes(trial: Trial) -> None:
    """The other replica took the lease while this one stood still, as one that is paused by its machine does."""
    jobs = trial.crm.suite["customer"].jobs
    await trial.start()
    async with held(trial.crm) as gate:
        await trial.append(0, trial.rows(0, 10), wait=0)
        await gate.reached.wait()  # type: ignore[attr-defined]
        other = working.Jobs(
            jobs.database, jobs.vault, jobs.directory, jobs._changes, jobs.collaborations, jobs.kinds, jobs.others, jobs.zone, jobs.seal
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


async def test_what_refused_rows_say_is_sealed_and_forgotten_with_their_customer(trial: Trial) -> None:
    await trial.start()
    answer = await trial.append(0, [trial.row(0)])
    customer = answer.rows[0].record_id
    bad = customer_pb2.Customer(source_key=f"{trial.mark}:0", name="王秘密", kind=1, parent_id=customer, phone="+8613800001234")
    answer = await trial.append(1, [bad.SerializeToString()])
    assert answer.rows[0].result == REFUSED
    batch = await trial.crm.suite["customer"].database[ROWS].find_one({"job_id": trial.id, "first": 1})
    assert batch is not None
    assert "王秘密".encode() not in str(batch).encode() and b"13800001234" not in batch["results"][0]["kept"]
    query = "query($id: ID!) { customerDisclosure(customerId: $id) { place recordCount } }"
    places = (await trial.crm.data(query, id=_global("Customer", customer)))["customerDisclosure"]
    assert {"place": "job_rows", "recordCount": 1} in places
    await trial.crm.ask("EraseCustomer", role="COORDINATOR", customer_id=customer, reason="请求")
    batch = await trial.crm.suite["customer"].database[ROWS].find_one({"job_id": trial.id, "first": 1})
    assert batch is not None
    assert "kept" not in batch["results"][0] and "text" not in batch["results"][0]
    assert (await trial.ask("RetryJobRows")).count == 0
    await trial.ask("CancelJob")


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
    for collection, query in ((ROWS, {"job_id": trial.id}), ("subject_keys", {"_id": trial.id})):
        assert await jobs.database[collection].find_one(query) is None


# ---- in the graph, and on the command line

_JOB = "id state kind resource label done refused total cursor starter { name }"


async def test_a_person_brings_rows_in_by_the_graph_and_watches(trial: Trial) -> None:
    crm, key = trial.crm, trial.mark
    start = "mutation($input: ImportStartInput!) { importStart(input: $input) { job { id state } errors { code message path } } }"
    made = (await crm.data(start, input={"resource": "orders", "label": "订单.csv"}))["importStart"]
    assert made["errors"] == []
    job = made["job"]["id"]
    await trial.start()
    await trial.append(0, [trial.row(0)])
    rows: list[dict[str, Any]] = [
        {
            "sourceKey": f"{key}:o{number}", "number": f"{key[-12:]}-{number}", "kind": "SALE", "state": "CONFIRMED", "customerId": {"key": f"{key}:0"},
            "orderTime": "2026-03-01T09:00:00+08:00",
            "lines": [{"description": "x", "quantity": number, "unitPrice": {"currencyCode": "CNY", "amount": "12.50"}}],
        }
        for number in (1, 2, 0)
    ]  # fmt: skip
    append = "mutation($input: ImportAppendInput!) { importAppend(input: $input) { rows { number result recordId errorField } errors { message path } } }"
    sent = await crm.data(append, input={"jobId": job, "resource": "orders", "firstNumber": 0, "rows": rows, "waitMilliseconds": 2000})
    assert [row["result"] for row in sent["importAppend"]["rows"]] == ["CREATED", "CREATED", "REFUSED"], sent
    found = await crm.data(
        "query($id: ID!) { order(id: $id) { number customer { name } } }", id=sent["importAppend"]["rows"][0]["recordId"]
    )
    assert found["order"] == {"number": rows[0]["number"], "customer": {"name": "任务 0"}}
    bad = {"jobId": job, "resource": "orders", "firstNumber": 3, "rows": [rows[0] | {"kind": "NONE"}]}
    refused = (await crm.data(append, input=bad))["importAppend"]["errors"]
    assert refused[0]["path"] == ["input", "rows", "0", "kind"]
    await crm.data("mutation($input: ImportCloseInput!) { importClose(input: $input) { errors { message } } }", input={"jobId": job})
    await crm.until(lambda: _state(crm, job, "DONE"))
    told = (await crm.data(f"query($id: ID!) {{ job(id: $id) {{ {_JOB} }} }}", id=job))["job"]
    assert told == {
        "id": job, "state": "DONE", "kind": "IMPORT", "resource": "orders", "label": "订单.csv", "done": 2, "refused": 1, "total": 3, "cursor": 3,
        "starter": {"name": "人 COORDINATOR"},
    }  # fmt: skip
    rows_of = "query($id: ID!) { jobRows(jobId: $id, result: REFUSED) { rows { number errorMessage } nextNumber } }"
    refusals = (await crm.data(rows_of, id=job))["jobRows"]
    assert [row["number"] for row in refusals["rows"]] == [2] and refusals["rows"][0]["errorMessage"]
    assert (await crm.data("query($id: ID!) { job(id: $id) { id } }", "SALES_LEAD", id=job))["job"] is None
    await trial.ask("CancelJob")


async def _state(crm: Installation, job: str, state: str) -> bool:
    return bool((await crm.data("query($id: ID!) { job(id: $id) { state } }", id=job))["job"]["state"] == state)


async def test_jobs_of_all_departments_are_one_list_from_page_to_page(crm: Installation) -> None:
    made = []
    for department, resource in (("customer", "customers"), ("sales", "products"), ("customer", "notes"), ("support", "tickets")):
        trial = Trial(crm, department=department)
        job = (await trial.ask("StartImport", resource=resource)).job
        made.append(_global("Job", job.id))
        await trial.ask("CancelJob", job_id=job.id)
    seen: list[str] = []
    after, pages = None, 0
    query = "query($after: String) { jobs(first: 3, after: $after, filter: {kind: {eq: IMPORT}}) { nodes { id createTime } pageInfo { hasNextPage endCursor } } }"
    while pages < 40:
        page = (await crm.data(query, after=after))["jobs"]
        seen += [node["id"] for node in page["nodes"]]
        after, pages = page["pageInfo"]["endCursor"], pages + 1
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(set(seen)) == len(seen)
    assert [job for job in seen if job in made] == made[::-1]
    only = (await crm.data('{ jobs(department: "support", first: 1) { nodes { id } } }'))["jobs"]["nodes"]
    assert only == [{"id": made[3]}]


async def test_progress_comes_by_subscription_until_the_end(trial: Trial) -> None:
    from tests.e2e.test_graph_websocket import ask, heard, socket

    job = _global("Job", (await trial.start()).id)
    async with socket(trial.crm) as connection:
        await ask(connection, "1", "subscription($id: ID!) { jobChanged(id: $id) { state cursor } }", id=job)
        seen = [(await heard(connection, 8))["payload"]["data"]["jobChanged"]]
        await trial.append(0, trial.rows(0, 5))
        await trial.ask("CloseJob")
        while (message := await heard(connection, 8))["type"] == "next":
            seen.append(message["payload"]["data"]["jobChanged"])
        assert message["type"] == "complete"
    assert (seen[0], seen[-1]) == ({"state": "QUEUED", "cursor": 0}, {"state": "DONE", "cursor": 5})


async def test_the_command_line_lists_watches_and_stops_jobs(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    from cli import jobs

    await trial.start(label="文件")
    await trial.append(0, [trial.row(0), trial.row(0)])
    await jobs.turn(trial.crm.plan, "pause", [trial.id])
    await jobs.show_all(trial.crm.plan, ["customer"])
    await jobs.turn(trial.crm.plan, "resume", [trial.id])
    await trial.ask("CloseJob")
    await jobs.watch(trial.crm.plan, trial.id)
    await jobs.rows(trial.crm.plan, trial.id)
    told = capsys.readouterr().out
    assert f"{trial.id}  PAUSED" in told and "import customers «文件»" in told and "1 refused" in told
    assert f"{trial.id}  DONE" in told and "1: source_key INVALID_ARGUMENT" in told
    with pytest.raises(SystemExit):
        await jobs.turn(trial.crm.plan, "cancel", [trial.id])


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
