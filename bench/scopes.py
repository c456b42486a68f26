"""Do the filters of access use indexes? Every scope, order, filter and search over a million customers, as MongoDB explains them.

`python -m bench.scopes FOLDER` keeps its database in the folder. What it explains are the very commands that the store sent.
BENCH_MILLION sets how many customers. Flags: COLLSCAN, SORT (in memory), and the number of documents or keys looked at for each row
returned where it is above 20.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from pymongo.errors import ExecutionTimeout, PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from bench.million import OPEN, SCOPES, caller, directory, load, some_customers
from chassis.rpc.call import Call
from chassis.storage.changes import Changes
from chassis.storage.client import Database, connect
from chassis.storage.finding import Finder
from cli.engines import free_port, start_mongo
from cli.words import say
from services.customer.customers.store import Customers

COUNT = int(os.environ.get("BENCH_MILLION", "1000000"))
SECONDS, MOST, CALLS = 3.0, 20, 3
_OF_DRIVER = ("lsid", "$db", "$clusterTime", "$readPreference", "maxTimeMS", "readConcern", "apiVersion")
Ask = Callable[[Call], Awaitable[object]]
FILTERS: dict[str, Any] = {
    "lifecycle = CONVERT": {"condition": {"field": "lifecycle", "operator": "EQUALS", "values": [{"text": "CONVERT"}]}},
    "level = KEY and lifecycle = CHURN": {"all": {"items": [
        {"condition": {"field": "level", "operator": "EQUALS", "values": [{"text": "KEY"}]}},
        {"condition": {"field": "lifecycle", "operator": "EQUALS", "values": [{"text": "CHURN"}]}},
    ]}},
    "region = 华北": {"condition": {"field": "region", "operator": "EQUALS", "values": [{"text": "华北"}]}},
    "name begins 上海": {"condition": {"field": "name", "operator": "STARTS_WITH", "values": [{"text": "上海"}]}},
    "archived": {"condition": {"field": "archive_time", "operator": "IS_SET", "values": [{"flag": True}]}},
}  # fmt: skip
SEARCHES = ("上海", "shanghai", "有限公司", "person77777@mail.example", "Garcia Consulting")


class Recorder(CommandListener):
    """Keeps the finds that were sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        """A find is kept without what the driver adds."""
        if event.command_name == "find":
            self.sent.append({key: value for key, value in event.command.items() if key not in _OF_DRIVER})

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to keep."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to keep."""


@dataclass
class Explained:
    """One question: what it returned, what was looked at, how long it took (median, ms), and what is wrong with it."""

    words: str
    returned: int = 0
    keys: int = 0
    docs: int = 0
    ms: float = 0.0
    stages: set[str] = field(default_factory=set)

    def flags(self) -> list[str]:
        """What a reader must see."""
        found = [stage for stage in ("COLLSCAN", "SORT", "TIMEOUT") if stage in self.stages]
        ratio = max(self.keys, self.docs) / max(1, self.returned)
        return found + ([f"{ratio:.0f} ×"] if ratio > MOST else [])

    def line(self) -> str:
        """A row of the table."""
        plan = " ".join(sorted(self.stages & {"SORT_MERGE", "IXSCAN", "OR", "SORT", "COLLSCAN", "IDHACK", "FETCH"}))
        return f"| {self.words} | {self.returned} | {self.keys} | {self.docs} | {self.ms:.1f} | {plan} | {', '.join(self.flags())} |"


def stages(plan: Mapping[str, Any]) -> Iterator[str]:
    """Every stage of a plan."""
    if "stage" in plan:
        yield str(plan["stage"])
    for name in ("queryPlan", "inputStage", "thenStage", "elseStage", "outerStage", "innerStage"):
        if name in plan:
            yield from stages(plan[name])
    for inner in plan.get("inputStages", ()):
        yield from stages(inner)


class Questions:
    """Asks the store, then has explained what it sent."""

    def __init__(self, database: Database, recorder: Recorder, store: Customers | None = None) -> None:
        self.database, self.recorder, self.store, self.directory = database, recorder, store or Customers(), directory()
        self.finder = Finder([self.store])

    def call(self, scope: str, working: tuple[str, ...]) -> Call:
        """A call as the server makes it."""
        person = caller(scope)
        customers = {person.person_id: working} if working else {}
        made = Call(person, self.directory, self.database, Changes(self.database, vault=OPEN), customers=customers, seal="s")
        made.deadline = time.monotonic() + SECONDS
        return made

    async def explain(self, words: str, scope: str, working: tuple[str, ...], ask: Ask) -> Explained:
        """The question three times, then its explanation."""
        found, times = Explained(words), []
        for _ in range(CALLS):
            self.recorder.sent.clear()
            call, begun = self.call(scope, working), time.perf_counter()
            try:
                await ask(call)
            except (ExecutionTimeout, PyMongoError):
                found.stages.add("TIMEOUT")
            times.append((time.perf_counter() - begun) * 1000)
            if "TIMEOUT" in found.stages:
                break
        found.ms = median(times)
        for command in list(self.recorder.sent):
            await self._add(found, command)
        return found

    async def _add(self, found: Explained, command: dict[str, Any]) -> None:
        try:
            told = await self.database.command({"explain": command, "verbosity": "executionStats", "maxTimeMS": int(SECONDS * 3000)})
        except PyMongoError:
            told = await self.database.command({"explain": command, "verbosity": "queryPlanner"})
        found.stages |= set(stages(told["queryPlanner"]["winningPlan"]))
        statistics = told.get("executionStats", {})
        found.returned += statistics.get("nReturned", 0)
        found.keys += statistics.get("totalKeysExamined", 0)
        found.docs += statistics.get("totalDocsExamined", 0)

    def asked(self, scope: str, *, brief: bool = False) -> Iterator[tuple[str, Ask]]:
        """What people ask: each order, its second page, filters, searches."""
        store = self.store
        for order in store.sorts:
            yield order, lambda call, order=order: store.page(call, order=order)
        yield "second page", self._second
        if brief:
            return
        for words, criteria in FILTERS.items():
            for order in ("CREATE_TIME_DESC", "NAME_ASC"):
                yield f"{words}, {order}", lambda call, c=criteria, o=order: store.page(call, c, o)
        for question in SEARCHES:
            yield f"search {question}", lambda call, q=question: self.finder.find(call, q)

    async def _second(self, call: Call) -> None:
        first = await self.store.page(call)
        self.recorder.sent.clear()
        if first.next_token:
            await self.store.page(call, token=first.next_token)


async def table(questions: Questions, *, only_flagged: bool = False, brief: bool = False) -> list[str]:
    """The table over all scopes and collaborations."""
    working = {count: await some_customers(questions.database, count) for count in (0, 200, 2000)}
    lines = ["| question | rows | keys | docs | ms | plan | flags |", "|---|---|---|---|---|---|---|"]
    for scope in SCOPES:
        for count in (0,) if scope == "all" else working:
            for words, ask in questions.asked(scope, brief=brief):
                found = await questions.explain(f"{scope} + {count}: {words}", scope, working[count], ask)
                if found.flags() or not only_flagged:
                    lines.append(found.line())
                    say(lines[-1])
    return lines


async def main(folder: Path) -> None:
    """Load, then explain."""
    child, uri = await start_mongo(folder / "mongo", free_port(), folder / "mongod.log")
    recorder = Recorder()
    database = connect(uri, "bench_scopes", [recorder])
    try:
        begun = time.monotonic()
        await load(database, COUNT)
        say(f"{COUNT:,} customers ready in {time.monotonic() - begun:.0f} s")
        lines = await table(Questions(database, recorder))
        (folder / "scopes.md").write_text("\n".join(lines) + "\n")
    finally:
        await database.client.close()
        await child.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
