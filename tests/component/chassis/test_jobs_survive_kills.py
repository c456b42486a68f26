"""A department that is killed in the midst of a job, again and again: every row has one outcome and every record is made once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import from_source
from tests.component.chassis.test_events_survive_kills import Killable
from tests.support.installation import Installation
from tests.support.trials import DONE, Trial

ROWS, KILLS = 1_500, 3
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "BUSY", "UNAUTHENTICATED", "NOT_ALLOWED")


async def patient(trial: Trial, method: str, **fields: Any) -> Any:
    """An answer, however often the department has to be asked."""
    for _ in range(300):
        try:
            return await trial.ask(method, **fields)
        except CrmError as refusal:
            assert refusal.code in AWAY, refusal.message
            await asyncio.sleep(0.1)
    raise AssertionError(f"{method} was never answered")


async def test_a_kill_in_the_midst_of_a_batch_repeats_nothing(own_crm: Installation, tmp_path: Path) -> None:
    crm, trial, dice = own_crm, Trial(own_crm), random.Random(50)
    await crm.suite.stop("customer")
    department = Killable("customer", crm, tmp_path)
    await department.start()
    await department.answers()
    trial.id = (await patient(trial, "StartImport", resource="customers")).job.id
    for first in range(0, ROWS, 500):
        await patient(trial, "AppendJobRows", first_number=first, rows=trial.rows(first, first + 500))
    cursors = []
    for _ in range(KILLS):
        await asyncio.sleep(dice.uniform(0.05, 0.5))
        cursors.append((await patient(trial, "GetJob")).job.cursor)
        await department.kill()
        await department.start()
        await department.answers()
    await patient(trial, "CloseJob")

    async def done() -> bool:
        return bool((await patient(trial, "GetJob")).job.state == DONE)

    await crm.until(done, 30)
    job = (await patient(trial, "GetJob")).job
    assert (job.created, job.cursor, job.refused, job.done) == (ROWS, ROWS, 0, ROWS)
    assert cursors[0] < ROWS, "it was killed after the work"
    ids = [from_source("customers", f"{trial.mark}:{number}") for number in range(ROWS)]
    database = department.database
    assert await database["customers"].count_documents({"_id": {"$in": ids}, "version": 1}) == ROWS
    assert await database["outbox"].count_documents({"headers.ce-subject": {"$in": ids}}) == ROWS
    assert await database["audit_entries"].count_documents({"record_id": {"$in": ids}}) == ROWS
    await department.child.stop()
    await department.database.client.close()
