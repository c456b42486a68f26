"""Jobs as people see them: in the graph, live, and at a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.graph.contract import to_global
from tests.support.installation import Installation
from tests.support.trials import Trial


@pytest.fixture
def trial(crm: Installation) -> Trial:
    return Trial(crm)


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
    of_others = {"jobId": job, "resource": "products", "firstNumber": 3, "rows": [{"sourceKey": "p", "name": "x"}]}
    refused = (await crm.data(append, input=of_others))["importAppend"]["errors"]
    assert refused[0]["path"] == ["input", "resource"] and "imports orders" in refused[0]["message"]
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
    assert sent["importAppend"]["rows"][2]["errorField"] == "lines[0].quantity"
    chinese = (await crm.graph(rows_of, id=job, headers={"Accept-Language": "zh-CN"}))["data"]["jobRows"]["rows"][0]["errorMessage"]
    assert chinese == "lines[0].quantity：不能是 0", chinese
    assert (await crm.data("query($id: ID!) { job(id: $id) { id } }", "SALES_LEAD", id=job))["job"] is None
    await trial.ask("CancelJob")


async def _state(crm: Installation, job: str, state: str) -> bool:
    return bool((await crm.data("query($id: ID!) { job(id: $id) { state } }", id=job))["job"]["state"] == state)


async def test_jobs_of_all_departments_are_one_list_from_page_to_page(crm: Installation) -> None:
    made = []
    for department, resource in (("customer", "customers"), ("sales", "products"), ("customer", "notes"), ("support", "tickets")):
        trial = Trial(crm, department=department)
        job = (await trial.ask("StartImport", resource=resource)).job
        made.append(to_global("Job", job.id))
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

    job = to_global("Job", (await trial.start()).id)
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
