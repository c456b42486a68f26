"""Reads of records against a real mongod: pages lose and repeat nothing, batches are one command, all of them stand on indexes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from chassis.kernel.errors import NotFound
from chassis.kernel.pages import Sort, filter_after, token_after
from tests.support.installation import Engines
from tests.support.stores import DAY, DEALS, SCOPES, Store, stored


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(engines: Engines) -> AsyncIterator[Store]:
    async for made in stored(engines):
        yield made


async def _walk(store: Store, order: str, size: int, scope: str = "ALL") -> list[str]:
    seen: list[str] = []
    token = ""
    while True:
        page = await DEALS.page(store.call(scope), order=order, size=size, token=token)
        seen += [row["_id"] for row in page.rows]
        token = page.next_token
        if not token:
            return seen


@pytest.mark.parametrize("order", sorted(DEALS.sorts))
@pytest.mark.parametrize("scope", ["ALL", "TEAM"])
async def test_pages_walk_through_everything_once_and_in_order(store: Store, order: str, scope: str) -> None:
    sort = DEALS.sorts[order]
    reach = store.call(scope).reach("opportunities", "read").filter()
    whole = store.database["opportunities"].find({"$and": [reach, {"archive_time": None}]}, {"_id": 1}).sort(sort.keys)
    assert await _walk(store, order, 97, scope) == [row["_id"] async for row in whole]


def paged(rows: Collection[dict[str, Any]], sort: Sort, size: int, most: int) -> list[str]:
    """Ids of all rows, page by page; ends where more than `most` come."""
    found: list[str] = []
    token = ""
    while True:
        page = list(rows.find(filter_after(token, sort, "m")).sort(sort.keys).limit(size))
        found += [row["_id"] for row in page]
        if len(page) < size or len(found) > most:
            return found
        token = token_after(page[-1], sort, "m")


@pytest.mark.parametrize("directions", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("backward", [False, True])
async def test_pages_by_two_keys_lose_and_repeat_nothing_on_either_way(
    engines: Engines, directions: tuple[int, int], backward: bool
) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(engines.mongo_uri, tz_aware=True)
    rows = client["pages_of_tests"][f"two{directions[0]}{directions[1]}{backward}"]
    first = st.one_of(st.none(), st.just("missing"), st.integers(0, 2))
    second = st.one_of(st.none(), st.just("missing"), st.integers(0, 2).map(lambda number: DAY + timedelta(milliseconds=number)))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stored=st.lists(st.tuples(first, second), min_size=1, max_size=14), size=st.integers(1, 4))
    def walk(stored: list[tuple[Any, Any]], size: int) -> None:
        rows.delete_many({})
        rows.insert_many(
            {"_id": f"{index:02}"} | {name: value for name, value in zip(("at", "then"), pair, strict=True) if value != "missing"}
            for index, pair in enumerate(stored)
        )
        order = Sort("at", directions[0], then=Sort("then", directions[1]))
        found = paged(rows, order.turned if backward else order, size, len(stored))
        whole = [row["_id"] for row in rows.find().sort(order.keys)]
        assert found == (whole[::-1] if backward else whole)

    walk()
    client.close()


@pytest.mark.parametrize("year", [1969, 2004, 2026, 2039])
@pytest.mark.parametrize("direction", [1, -1])
async def test_any_page_size_loses_and_repeats_nothing(engines: Engines, direction: int, year: int) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(engines.mongo_uri, tz_aware=True)
    rows = client["pages_of_tests"][f"rows{direction}-{year}"]
    moments = st.integers(0, 6).map(lambda number: DAY.replace(year=year) + timedelta(milliseconds=number))
    values = st.one_of(st.none(), moments)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stored=st.lists(st.one_of(st.just("missing"), values), min_size=1, max_size=14), size=st.integers(1, 4))
    def walk(stored: list[Any], size: int) -> None:
        rows.delete_many({})
        rows.insert_many({"_id": f"{index:02}"} | ({} if value == "missing" else {"at": value}) for index, value in enumerate(stored))
        sort = Sort("at", direction)
        assert paged(rows, sort, size, len(stored)) == [row["_id"] for row in rows.find().sort(sort.keys)]

    try:
        await asyncio.to_thread(walk)
    finally:
        client.drop_database("pages_of_tests")
        client.close()


async def test_pages_of_a_hundred_customers_are_one_command_and_hold_what_single_pages_hold(store: Store) -> None:
    ids = [f"c{number:03}" for number in range(100)]
    store.commands.sent.clear()
    found = await DEALS.batch_page(store.call(), "customer_id", ids, size=3)
    assert [command for command in store.commands.sent if "getMore" in command or "aggregate" in command or "find" in command] == (
        store.commands.sent[:1]
    )
    assert list(found) == ids
    for identity in ("c001", "c002", "c099"):
        alone = await DEALS.batch_page(store.call(), "customer_id", [identity], size=3)
        assert alone[identity] == found[identity]
        assert len(found[identity].rows) == 3


async def test_hundred_pages_of_a_hundred_rows_are_one_command(store: Store) -> None:
    store.commands.sent.clear()
    found = await DEALS.batch_page(store.call(), "customer_id", [f"c{number:03}" for number in range(100)], size=100)
    assert len(store.commands.sent) == 1
    # 3000 deals, 30 a customer; every fiftieth is archived and belongs to c000 or c050
    assert {identity: len(page.rows) for identity, page in found.items() if len(page.rows) != 30} == {"c000": 0, "c050": 0}


async def test_a_key_that_reads_like_an_expression_of_the_database_is_a_key(store: Store) -> None:
    pages = await DEALS.batch_page(store.call(), "customer_id", ["$where", "$_id", "x"])
    assert {key: page.rows for key, page in pages.items()} == {"$where": [], "$_id": [], "x": []}


async def test_batch_goes_on_with_the_token_of_a_single_key(store: Store) -> None:
    found = await DEALS.batch_page(store.call(), "customer_id", ["c001", "c002"], size=20)
    following = await DEALS.batch_page(store.call(), "customer_id", ["c001"], size=20, token=found["c001"].next_token)
    assert len({row["_id"] for row in found["c001"].rows + following["c001"].rows}) == 30
    assert following["c001"].next_token == ""


async def test_every_row_can_be_gone_on_from_when_its_token_was_asked_for(store: Store) -> None:
    whole = await DEALS.page(store.call(), size=10, row_tokens=True)
    for index, token in enumerate(whole.row_tokens[:-1]):
        following = await DEALS.page(store.call(), size=1, token=token)
        assert following.rows == [whole.rows[index + 1]]
    assert (await DEALS.page(store.call(), size=10)).row_tokens == []


def _stages(plan: Any) -> set[str]:
    if isinstance(plan, list):
        return set().union(*map(_stages, plan)) if plan else set()
    if not isinstance(plan, dict):
        return set()
    own = {plan["stage"]} if isinstance(plan.get("stage"), str) else set()
    if plan.get("collectionScans") not in (None, 0) or int(plan.get("collectionScans") or 0):
        own.add("COLLSCAN")
    return own.union(*map(_stages, plan.values()))


async def _scans(store: Store) -> list[str]:
    """Commands sent since the last look that read a whole collection."""
    sent, store.commands.sent = store.commands.sent, []
    assert sent
    found = []
    for command in sent:
        plain = {
            key: value
            for key, value in command.items()
            if key not in ("lsid", "$db", "$clusterTime", "txnNumber", "readConcern", "maxTimeMS")
        }
        plan = await store.database.command("explain", plain, verbosity="executionStats")
        if "COLLSCAN" in _stages(plan):
            found.append(str(plain)[:300])
    store.commands.sent.clear()
    return found


@pytest.mark.parametrize("scope", sorted(SCOPES))
async def test_no_standard_read_scans_a_collection(store: Store, scope: str) -> None:
    scanned: list[str] = []
    store.commands.sent.clear()
    with pytest.raises(NotFound):
        await DEALS.get(store.call(scope), "nobody")
    await DEALS.batch_get(store.call(scope), [f"o{number:05}" for number in range(100)])
    await DEALS.batch_get(store.call(scope), ["o00001"], ["name"])
    for order in ("", *DEALS.sorts):
        page = await DEALS.page(store.call(scope), order=order, size=10)
        assert len(page.rows) == 10
        await DEALS.page(store.call(scope), order=order, size=10, token=page.next_token, fields=["name"])
        await DEALS.batch_page(store.call(scope), "customer_id", ["c001"], order=order)
        await DEALS.batch_page(store.call(scope), "customer_id", ["c001", "c002", "nobody"], order=order)
    await DEALS.must_exist(store.call(), ["o00001"], "opportunity_id")
    await DEALS.by_source_keys(store.call(scope, ("import",)), ["a", "b"])
    scanned += await _scans(store)
    assert scanned == []


async def test_rows_read_for_a_page_do_not_grow_with_the_collection(store: Store) -> None:
    store.commands.sent.clear()
    await DEALS.batch_page(store.call(), "customer_id", ["c001", "c002", "c003"], size=2)
    await DEALS.page(store.call(), size=20)
    for command in list(store.commands.sent):
        plain = {key: value for key, value in command.items() if key not in ("lsid", "$db", "$clusterTime", "readConcern", "maxTimeMS")}
        plan = await store.database.command("explain", plain, verbosity="executionStats")
        text = str(plan)
        assert "COLLSCAN" not in text
        assert "'stage': 'SORT'" not in text
        last = plan["stages"][-1] if "stages" in plan else plan["executionStats"]
        assert int(last["totalDocsExamined"]) <= 30
