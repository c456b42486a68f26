"""Hunt: what the reads of somebody with OWN (and collaboration, and a deputyship) cost: explain() of each find that is sent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.monitoring import CommandListener

from chassis.access.caller import Caller
from chassis.access.directory import Directory, Member
from chassis.kernel.ids import new_id
from chassis.rpc.call import Call
from chassis.rpc.contract import nouns
from chassis.storage.changes import Changes
from chassis.storage.client import connect
from chassis.storage.encryption import Masters, Vault
from cli.plan import new_master
from tests.support.installation import Installation

MANY = 5000


class Heard(CommandListener):
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: Any) -> None:
        if event.command_name in ("find", "aggregate"):
            self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


def stages(plan: Any) -> list[str]:
    found = []
    if isinstance(plan, dict):
        if "stage" in plan:
            found.append(str(plan["stage"]) + (":" + plan.get("indexName", "") if "indexName" in plan else ""))
        for key, value in plan.items():
            if key not in ("rejectedPlans", "indexBounds", "parsedQuery"):
                found += stages(value)
    elif isinstance(plan, list):
        for one in plan:
            found += stages(one)
    return found


def docs_of(plan: Any) -> Iterator[int]:
    """Documents examined by each part of a plan that was run."""
    if isinstance(plan, dict):
        if "totalDocsExamined" in plan:
            yield plan["totalDocsExamined"]
        else:
            for value in plan.values():
                yield from docs_of(value)
    elif isinstance(plan, list):
        for one in plan:
            yield from docs_of(one)


# Every noun whose readers are decided by an owner or by a customer.
CASES = [
    (noun.department, noun.resource)
    for noun in nouns()
    if noun.department != "organization" and (noun.owned or "customer_id" in noun.record.fields_by_name)
]


@pytest.mark.parametrize("width", [1, 2000])
@pytest.mark.parametrize("scope", [1])
@pytest.mark.parametrize(("department", "resource"), CASES)
async def test_no_scan(crm: Installation, department: str, resource: str, scope: int, width: int) -> None:
    service = crm.suite[department]
    store = next(s for s in service.stores if s.resource == resource)
    heard = Heard()
    # A database of the test's own, with the indexes of the real one: nothing of this may reach a reaction.
    database = connect(crm.plan.mongo_uri, f"{service.database.name}_scans", [heard])
    table = database[resource]
    await table.create_indexes(store.indexes())
    if await table.count_documents({"hunt": True}) < MANY:
        rng = random.Random(5)
        from datetime import UTC, datetime, timedelta

        day = datetime(2026, 1, 1, tzinfo=UTC)
        unique = next(noun.unique for noun in nouns() if noun.resource == resource)
        rows = []
        for i in range(MANY):
            identity = new_id()
            row: dict[str, Any] = {
                "_id": identity,
                "hunt": True,
                "version": 1,
                "owner_id": f"p{rng.randrange(100)}",
                "team_id": f"t{rng.randrange(20)}",
                "department_id": f"d{rng.randrange(5)}",
                "create_time": day + timedelta(minutes=i),
                "name": f"n{i}",
                "customer_id": f"c{rng.randrange(1000)}",
                "source_key": f"h{identity}",
                "order_time": day + timedelta(minutes=i),
                "state": "OPEN",
                "occur_time": day + timedelta(minutes=i),
                "resource": "customers",
                "ticket_id": f"k{i}",
                "segment_id": f"g{i}",
                "campaign_id": f"m{i}",
            } | dict.fromkeys(unique, f"h{identity}")
            if resource == "customers":
                row["_id"] = f"c{i}" if i < 1000 else identity
            rows.append(row)
        await table.insert_many(rows)
    members = {
        "p1": Member("p1", "d1", "t1", frozenset(), True, frozenset(("R",))),
        "p2": Member("p2", "d2", "t2", frozenset(), True, frozenset(("R",)), "p1"),
    }
    grants = {("R", name, "read"): scope for name in ("customers", "contacts", "notes", "timeline_entries", "segments", resource)}
    directory = Directory(1, grants, members, {})
    caller = Caller("nobody", frozenset(("R",)), "d1", "t1")
    call = Call(
        caller,
        directory,
        database,
        Changes(database, vault=Vault(database, Masters.of(new_master()))),
        "hunt",
        "r",
        customers={"nobody": tuple(f"c{i * 7919 % 100000}" for i in range(3, 3 + width))},
    )
    out: list[str] = []
    bad = False
    for order in ["", *store.sorts]:
        heard.sent.clear()
        if resource == "timeline_entries":
            await store.batch_page(call, "customer_id", ["c1"], size=20)
        else:
            await store.page(call, order=order, size=20)
        command = {k: v for k, v in heard.sent[-1].items() if not k.startswith("$") and k != "lsid"}
        plan = await database.command({"explain": command, "verbosity": "executionStats"})
        stats = plan["executionStats"]
        names = stages(plan["queryPlanner"]["winningPlan"])
        out.append(
            f"{resource} scope {scope} width {width} order {order or '-'}: keys {stats['totalKeysExamined']} docs {stats['totalDocsExamined']} {sorted(set(names))}"
        )
        bad |= "COLLSCAN" in str(names) or stats["totalDocsExamined"] > 1000
    for order in ["", *store.sorts]:
        if resource == "timeline_entries":
            continue
        heard.sent.clear()
        await store.page(call, order=order, size=20, backward=True, skip=3, count_up_to=1000)
        for sent in heard.sent:
            command = {k: v for k, v in sent.items() if not k.startswith("$") and k != "lsid"}
            plan = await database.command({"explain": command, "verbosity": "executionStats"})
            examined = sum(docs_of(plan))
            names = stages(plan)
            out.append(
                f"{resource} scope {scope} width {width} {sorted(sent)[0]} order {order or '-'}: docs {examined} {sorted(set(names))}"
            )
            bad |= "COLLSCAN" in str(names) or examined > 1000
    await database.client.close()
    assert not bad, out
