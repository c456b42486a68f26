"""What is counted and summed is found by indexes, whoever asks, and asked in two commands; what is behind groups is one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from chassis.access.caller import ALL, OWN, TEAM, Caller
from chassis.access.directory import Directory, Member
from chassis.kernel.criteria import Criteria
from chassis.kernel.groups import SUM, Measure
from chassis.rpc.call import Call
from chassis.storage.aggregates import Grouping, Question
from chassis.storage.changes import Changes
from chassis.storage.client import Database, connect
from chassis.storage.encryption import Masters, Vault
from cli.plan import new_master
from services.sales.opportunities.store import Opportunities
from tests.e2e.test_access_scans import Heard
from tests.support.checks import equals
from tests.support.installation import Engines

MANY, MINE = 6000, 60
STORE = Opportunities()
BY_MONTH, BY_STAGE = Grouping("create_time", "time", "MONTH"), Grouping("stage_key", "text")
AMOUNT = Measure(SUM, "amount", "money")
# Nothing in it leads to an index, or only in one of two ways.
BESIDE: Criteria = {"any": {"items": [equals("source_key", "nobody"), equals("stage_key", "s1")]}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def heard(engines: Engines) -> AsyncIterator[tuple[Database, Heard]]:
    """A collection of its own, and what is asked of it."""
    listener, chance = Heard(), random.Random(3)
    database = connect(engines.mongo_uri, "aggregates_scans", [listener])
    table, begin = database[STORE.resource], datetime(2026, 1, 1, tzinfo=UTC)
    await table.create_indexes(STORE.indexes())
    await table.insert_many([
        {
            "_id": f"o{place}", "version": 1, "owner_id": f"p{place % (MANY // MINE)}", "team_id": f"t{place % 20}", "customer_id": f"c{place % 500}",
            "state": "OPEN", "stage_key": f"s{place % 3}", "create_time": begin + timedelta(hours=place),
            "amount": {"currency_code": chance.choice(["CNY", "USD"]), "amount_micros": place * 1_000_000},
        }
        for place in range(MANY)
    ])  # fmt: skip
    yield database, listener
    await database.client.drop_database("aggregates_scans")
    await database.client.close()


def call_of(database: Database, scope: int) -> Call:
    """Somebody with a scope who works with two customers."""
    member = Member("p1", "d1", "t1", frozenset(), True, frozenset(("R",)))
    directory = Directory(1, {("R", STORE.resource, "read"): scope}, {"p1": member}, {})
    changes = Changes(database, vault=Vault(database, Masters.of(new_master())))
    return Call(Caller("p1", frozenset(("R",)), "d1", "t1"), directory, database, changes, customers={"p1": ("c7", "c8")})


async def plans(database: Database, listener: Heard) -> list[str]:
    """How each command that was sent is answered."""
    sent = [{name: value for name, value in one.items() if not name.startswith("$") and name != "lsid"} for one in listener.sent]
    return [str(await database.command({"explain": one, "verbosity": "queryPlanner"})) for one in sent]


@pytest.mark.parametrize(
    "criteria", [None, equals("stage_key", "s1"), equals("owner_id", "p1"), BESIDE], ids=["all", "stage", "owner", "either"]
)
@pytest.mark.parametrize("scope", [OWN, TEAM, ALL])
async def test_no_question_walks_the_collection(heard: tuple[Database, Heard], scope: int, criteria: Criteria | None) -> None:
    database, listener = heard
    call = call_of(database, scope)
    by_name: Any = criteria and _named(criteria)
    listener.sent.clear()
    found = await STORE.aggregate(call, Question(by_name, [BY_MONTH, BY_STAGE], [AMOUNT], 100))
    assert len(listener.sent) == 2
    told = await plans(database, listener)
    assert not [one for one in told if "COLLSCAN" in one]
    assert found.totals.count == sum(group.count for group in found.rows) > 0


async def test_what_is_behind_a_hundred_groups_is_one_command_by_indexes(heard: tuple[Database, Heard]) -> None:
    database, listener = heard
    listener.sent.clear()
    pages = await STORE.drilled(call_of(database, ALL), [_named(equals("owner_id", f"p{place}")) for place in range(100)], size=5)
    assert [len(page.rows) for page in pages] == [5] * 100
    assert len(listener.sent) == 1
    assert not [one for one in await plans(database, listener) if "COLLSCAN" in one]


def _named(criteria: Any) -> Any:
    """Criteria as stores take them: operators by name."""
    if "condition" in criteria:
        return {"condition": {**criteria["condition"], "operator": {1: "EQUALS", 2: "IN"}[criteria["condition"]["operator"]]}}
    return {"any": {"items": [_named(one) for one in criteria["any"]["items"]]}}
