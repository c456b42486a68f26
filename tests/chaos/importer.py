"""A client that brings rows in by jobs through the whole run, pausing, resuming and repeating as it likes; and what must hold of each row."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chassis.kernel.ids import from_source, new_id
from gateway.graph.contract import from_global
from tests.chaos.checker import Checker, Findings
from tests.chaos.stack import Stack
from tests.chaos.workers import Worker

_START = "mutation($i: ImportStartInput!) { answer: importStart(input: $i) { job { id } errors { code message retryable } } }"
_APPEND = "mutation($i: ImportAppendInput!) { answer: importAppend(input: $i) { job { appended } errors { code message retryable } } }"
_TURN = "mutation($i: {name}Input!) {{ answer: {field}(input: $i) {{ job {{ state }} errors {{ code message retryable }} }} }}"


@dataclass
class Sent:
    """An import: its job, the key and the goodness of each row whose sending was acknowledged, and whether its end was."""

    job: str
    rows: list[tuple[str, bool]] = field(default_factory=list)
    closed: bool = False


class Importer(Worker):
    """`sent` are its imports."""

    def __init__(self, number: int, stack: Stack, folder: Path, seed: int) -> None:
        super().__init__(number, stack, folder, seed, [])
        self.role, self.dice = "COORDINATOR", random.Random(f"{seed}:importer")
        self.sent: list[Sent] = []

    async def run(self, ended: asyncio.Event) -> None:
        """Until told to end; the import under way gets no further rows then, and is closed."""
        self._ended = ended
        await super().run(ended)

    async def _one(self) -> None:
        """One import, whole; each step is repeated under its id or number until it is answered."""
        job = (await self._patiently(_START, {"resource": "customers", "label": "chaos"}))["job"]["id"]
        one = Sent(job)
        self.sent.append(one)
        for _ in range(self.dice.randint(1, 4)):
            if self._ended.is_set():
                break
            count = self.dice.randint(5, 60)
            fresh = [(f"chaos-job:{new_id()}", self.dice.random() > 0.1) for _ in range(count)]
            rows = [{"sourceKey": key, "name": key} | ({"kind": "COMPANY"} if good else {}) for key, good in fresh]
            fields = {"jobId": job, "resource": "customers", "firstNumber": len(one.rows), "rows": rows}
            fields["waitMilliseconds"] = self.dice.choice((0, 1500))  # who waits has them done as they come
            await self._patiently(_APPEND, fields)
            one.rows += fresh
            if self.dice.random() < 0.2:
                await self._turn("jobPause", job)
                await asyncio.sleep(self.dice.uniform(0, 0.3))
                await self._turn("jobResume", job)
            if self.dice.random() < 0.2:
                await self._patiently(_APPEND, fields)  # once more: the same rows are taken once
            await asyncio.sleep(self.dice.uniform(0, 0.3))
        await self._turn("importClose", job)
        one.closed = True

    async def _turn(self, name: str, job: str) -> None:
        await self._patiently(_TURN.format(name=f"{name[0].upper()}{name[1:]}", field=name), {"jobId": job})

    async def _patiently(self, query: str, fields: dict[str, Any]) -> dict[str, Any]:
        """An answer, however long that takes: an import is brought to its end."""
        asked = fields if "rows" in fields else {**fields, "requestId": new_id()}
        while True:
            answer = await self._ask(query, asked)
            again = bool(answer and answer["errors"]) and all(error["retryable"] for error in answer["errors"])
            if answer is not None and not again:
                if answer["errors"]:
                    self.unexpected.append(f"{query[:60]}: {answer['errors']}"[:400])
                return answer
            await asyncio.sleep(self.dice.uniform(0.1, 0.5))


async def judge_imports(importer: Importer, checker: Checker, found: Findings) -> None:
    """Each row has one outcome, each good one made one record, and no bad one any."""
    database = checker.databases["customer"]
    wrong: list[str] = []
    for one in importer.sent:
        job = await database["jobs"].find_one({"_id": from_global(one.job)[1]})
        good = [key for key, right in one.rows if right]
        told = {
            name: (job or {}).get(name) for name in ("state", "appended", "cursor", "created", "done", "refused", "updated", "unchanged")
        }
        wanted = {
            "state": "DONE", "appended": len(one.rows), "cursor": len(one.rows), "created": len(good), "done": len(good),
            "refused": len(one.rows) - len(good), "updated": 0, "unchanged": 0,
        }  # fmt: skip
        if one.closed and told != wanted:
            wrong.append(f"{one.job}: should be {wanted}, is {told}")
        batches = await database["job_rows"].find({"job_id": (job or {}).get("_id")}).sort("_id", 1).to_list()
        results = [result["r"] for batch in batches for result in batch["results"]]
        if results != ["CREATED" if right else "REFUSED" for _, right in one.rows]:
            wrong.append(f"{one.job}: outcomes are not those of its {len(one.rows)} rows")
        ids = [from_source("customers", key) for key, _ in one.rows]
        stored = {row["source_key"] async for row in database["customers"].find({"_id": {"$in": ids}, "version": 1}, {"source_key": 1})}
        if stored != set(good):
            wrong.append(f"{one.job}: {len(stored)} records of {len(good)} good rows")
    found.must("each row of a job once", wrong, sum(len(one.rows) for one in importer.sent))
