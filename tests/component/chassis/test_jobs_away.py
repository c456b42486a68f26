"""Jobs while a department is away: the others' are told, and who asks for the one that is away is told that."""

from __future__ import annotations

import re
import time

import pytest

from cli import jobs, rebuild
from cli.engines import EngineError
from gateway.graph.contract import to_global
from tests.support.installation import Installation
from tests.support.trials import Trial

_LIST = (
    "query($d: String, $after: String) { jobs(department: $d, after: $after) { nodes { id } missingDepartments pageInfo { endCursor } } }"
)


async def test_a_department_that_is_away_takes_only_its_own_jobs_with_it(own_crm: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    made = {}
    for department, resource in (("customer", "customers"), ("sales", "products"), ("support", "tickets")):
        made[department] = to_global("Job", (await Trial(own_crm, department=department).ask("StartImport", resource=resource)).job.id)
    found = (await own_crm.data(_LIST))["jobs"]
    assert [node["id"] for node in found["nodes"]] == [*made.values()][::-1] and found["missingDepartments"] == []
    await own_crm.suite.stop("customer")
    found = (await own_crm.data(_LIST))["jobs"]
    assert [node["id"] for node in found["nodes"]] == [made["support"], made["sales"]]
    assert found["missingDepartments"] == ["customer"]
    alone = await own_crm.graph(_LIST, d="customer")
    assert alone["data"]["jobs"] is None and alone["errors"][0]["extensions"]["department"] == "customer"

    with pytest.raises(SystemExit):
        await jobs.show_all(own_crm.plan)
    told = capsys.readouterr().out
    assert "import products" in told and "import tickets" in told and "the customer department" in told
    began = time.monotonic()
    with pytest.raises(EngineError) as refusal:
        await rebuild.rebuild(own_crm.plan, "timeline")
    words = str(refusal.value)
    assert re.search("«timeline» was not begun: the customer department", words) and "\n" not in words
    assert time.monotonic() - began < 60
