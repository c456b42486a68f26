"""Records against a real mongod: pages lose and repeat nothing, batches are one command, reads stand on indexes, commits are whole."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from crm.customer.v1 import customer_events_pb2, customer_pb2
from crm.sales.v1 import opportunity_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import InsertOne, MongoClient
from pymongo.monitoring import CommandListener, CommandStartedEvent

from chassis.access.caller import Caller
from chassis.access.directory import Directory, Member
from chassis.kernel.errors import AlreadyExists, Conflict, Invalid, NotFound
from chassis.kernel.ids import new_id
from chassis.kernel.pages import Sort, filter_after, token_after
from chassis.messaging.relay import INDEXES as OUTBOX_INDEXES
from chassis.rpc.call import Call
from chassis.storage.changes import AUDIT, OUTBOX, REQUESTS, Changes, Duplicate, as_refusal
from chassis.storage.client import Database, connect
from chassis.storage.encryption import Masters, Vault
from chassis.storage.records import Records
from cli.plan import new_master
from tests.support.installation import Engines

DAY = datetime(2026, 5, 6, tzinfo=UTC)
SCOPES = {"OWN": 1, "TEAM": 2, "DEPARTMENT": 3, "BELOW": 4, "ALL": 5}
CUSTOMERS = Records(customer_pb2.Customer)
DEALS = Records(opportunity_pb2.Opportunity)


class Commands(CommandListener):
    """Every command that was sent, as it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "getMore", "count"):
            self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        """Not needed."""

    def failed(self, event: Any) -> None:
        """Not needed."""


class Store:
    """A database of the test's own and the commands sent to it."""

    def __init__(self, uri: str) -> None:
        self.commands = Commands()
        self.database: Database = connect(uri, f"r{secrets.token_hex(4)}", [self.commands])
        self.vault = Vault(self.database, Masters.of(new_master()))

    def call(self, scope: str = "ALL", actions: tuple[str, ...] = ("read", "create", "update")) -> Call:
        resources = ("customers", "opportunities")
        grants = {("R", resource, action): SCOPES[scope] for resource in resources for action in actions}
        members = {"p1": Member("p1", "d1", "t1", frozenset(), True, frozenset(["R"]))}
        caller = Caller("p1", frozenset(["R"]), "d1", "t1")
        changes = Changes(self.database, "p1", "correlation", "Test", vault=self.vault)
        return Call(caller, Directory(1, grants, members, {"d1": ("d2",)}), self.database, changes, request_id="correlation")

    async def counts(self) -> dict[str, int]:
        names = ("customers", OUTBOX, AUDIT, REQUESTS)
        return {name: await self.database[name].count_documents({}) for name in names}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(engines: Engines) -> AsyncIterator[Store]:
    made = Store(engines.mongo_uri)
    await made.vault.begin()
    for records in (CUSTOMERS, DEALS):
        await made.database.create_collection(records.resource)
        await made.database[records.resource].create_indexes(records.indexes())
    for name in (OUTBOX, AUDIT, REQUESTS):
        await made.database.create_collection(name)
    await made.database[OUTBOX].create_indexes(OUTBOX_INDEXES)
    deals = []
    for number in range(3000):
        deal: dict[str, Any] = {
            "_id": f"o{number:05}", "version": 1, "create_time": DAY + timedelta(milliseconds=number // 4), "name": f"n{number % 7}",
            "update_time": DAY, "customer_id": f"c{number % 100:03}", "owner_id": f"p{number % 3}", "team_id": f"t{number % 4}",
            "department_id": f"d{number % 4}",
        }  # fmt: skip
        if number % 5:
            deal["amount"] = {"currency_code": "CNY", "amount_micros": number % 11 * 1000}
        if number % 6:
            deal["expected_close_date"] = f"2026-01-{number % 9 + 1:02}" if number % 4 else None
        if number % 50 == 0:
            deal["archive_time"] = DAY
        deals.append(deal)
    await made.database["opportunities"].insert_many(deals)
    yield made
    await made.database.client.drop_database(made.database.name)
    await made.database.client.close()


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
        sort = order.turned if backward else order
        found: list[str] = []
        token = ""
        while True:
            page = list(rows.find(filter_after(token, sort, "m")).sort(sort.keys).limit(size))
            found += [row["_id"] for row in page]
            if len(page) < size or len(found) > len(stored):
                break
            token = token_after(page[-1], sort, "m")
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
        found: list[str] = []
        token = ""
        while True:
            page = list(rows.find(filter_after(token, sort, "m")).sort(sort.keys).limit(size))
            found += [row["_id"] for row in page]
            if len(page) < size or len(found) > len(stored):
                break
            token = token_after(page[-1], sort, "m")
        assert found == [row["_id"] for row in rows.find().sort(sort.keys)]

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


def _customer(name: str, **values: Any) -> dict[str, Any]:
    return {"kind": "COMPANY", "name": name, "lifecycle": "CONTACT", **values}


async def _made(store: Store, name: str = "甲", **values: Any) -> dict[str, Any]:
    call = store.call()
    document = CUSTOMERS.create(call, _customer(name, **values), customer_events_pb2.CustomerCreated)
    await call.changes.commit()
    return document


async def test_commit_writes_state_event_and_audit_together(store: Store) -> None:
    before = await store.counts()
    woken: list[int] = []
    call = store.call()
    call.changes.on_commit = woken.append
    document = CUSTOMERS.create(call, _customer("乙"), customer_events_pb2.CustomerCreated)
    call.changes.write(REQUESTS, InsertOne({"_id": new_id()}))
    assert await store.counts() == before
    await call.changes.commit()
    assert await store.counts() == {name: count + 1 for name, count in before.items()}
    assert woken == [1]
    event = await store.database[OUTBOX].find_one({"headers.ce-subject": document["_id"]})
    assert event is not None
    assert (event["pending"], event["subject"]) == (True, f"crm.customer.v1.customer.created.{document['_id']}")
    entry = await store.database[AUDIT].find_one({"record_id": document["_id"]})
    assert entry is not None
    assert (entry["action"], entry["version"], entry["actor_id"]) == ("CustomerCreated", 1, "p1")


async def test_a_commit_that_announces_nothing_wakes_who_seals_its_lines_of_the_audit(store: Store) -> None:
    woken: list[int] = []
    for audited in (False, True):
        call = store.call()
        call.changes.on_commit = woken.append
        call.changes.write(REQUESTS, InsertOne({"_id": new_id()}))
        if audited:
            call.changes.audit("jobs", new_id(), 1, "JobDone", {}, call.now)
        await call.changes.commit()
    assert woken == [0]


@pytest.mark.parametrize("breaks", ["request", "state", "event", "audit", "unique", "version"])
async def test_commit_that_fails_anywhere_writes_nothing_anywhere(store: Store, breaks: str) -> None:
    stored = await _made(store, tax_number=new_id())
    await store.database[REQUESTS].insert_one({"_id": f"taken-{breaks}"})
    before = await store.counts()
    whole = await store.database["customers"].find_one({"_id": stored["_id"]})
    woken: list[int] = []
    call = store.call()
    call.changes.on_commit = woken.append
    CUSTOMERS.create(call, _customer("丙"), customer_events_pb2.CustomerCreated)
    CUSTOMERS.change(call, stored, {"name": "丁"}, customer_events_pb2.CustomerUpdated)
    call.changes.write(REQUESTS, InsertOne({"_id": f"taken-{breaks}" if breaks == "request" else new_id()}))
    if breaks == "state":
        call.changes.insert("customers", {"_id": stored["_id"]})
    if breaks == "event":
        call.changes.emit(call.changes.events[0])
    if breaks == "audit":
        call.changes._audit.append(call.changes._audit[0])
    if breaks == "unique":
        CUSTOMERS.create(call, _customer("戊", tax_number=stored["tax_number"]), customer_events_pb2.CustomerCreated)
    if breaks == "version":
        CUSTOMERS.change(call, {**stored, "version": 7}, {"name": "己"}, customer_events_pb2.CustomerUpdated)
    with pytest.raises(Conflict if breaks == "version" else Duplicate):
        await call.changes.commit()
    assert await store.counts() == before
    assert await store.database["customers"].find_one({"_id": stored["_id"]}) == whole
    assert woken == []


async def test_lost_update_is_refused(store: Store) -> None:
    stored = await _made(store)
    calls = [store.call(), store.call()]
    for number, call in enumerate(calls):
        CUSTOMERS.change(call, stored, {"name": f"name {number}"}, customer_events_pb2.CustomerUpdated)
    await calls[0].changes.commit()
    with pytest.raises(Conflict) as refusal:
        await calls[1].changes.commit()
    assert (refusal.value.code, refusal.value.retryable) == ("VERSION_CONFLICT", True)
    found = await store.database["customers"].find_one({"_id": stored["_id"]})
    assert found is not None
    assert (found["name"], found["version"]) == ("name 0", 2)
    assert await store.database[OUTBOX].count_documents({"headers.ce-subject": stored["_id"]}) == 2


async def test_of_ten_writers_with_one_tax_number_one_wins(store: Store) -> None:
    number = new_id()
    before = await store.counts()

    async def attempt(index: int) -> str:
        call = store.call()
        CUSTOMERS.create(call, _customer(f"firm {index}", tax_number=number), customer_events_pb2.CustomerCreated)
        try:
            await call.changes.commit()
        except Duplicate as duplicate:
            refusal = as_refusal(duplicate, CUSTOMERS.duplicate_codes)
            assert isinstance(refusal, AlreadyExists)
            return f"{refusal.code} {refusal.field}"
        return "won"

    told = sorted(await asyncio.gather(*(attempt(index) for index in range(10))))
    assert told == ["TAX_NUMBER_TAKEN tax_number"] * 9 + ["won"]
    after = await store.counts()
    assert (after["customers"], after[OUTBOX], after[AUDIT]) == (before["customers"] + 1, before[OUTBOX] + 1, before[AUDIT] + 1)


@pytest.mark.parametrize("value", ["1 index: _id_ x", " index: unique_source_key dup", '" } index: by_name '])
async def test_name_of_a_broken_index_is_not_taken_from_the_value(store: Store, value: str) -> None:
    await _made(store, source_key=value)
    with pytest.raises(Duplicate) as refusal:
        await _made(store, source_key=value)
    assert (refusal.value.index, refusal.value.collection) == ("unique_source_key", "customers")


@pytest.mark.parametrize("path", ["", "$name", "a\x00b", ".name"])
async def test_field_mask_with_a_name_that_is_no_field_is_refused_not_broken(store: Store, path: str) -> None:
    with pytest.raises(Invalid):
        await DEALS.batch_get(store.call(), ["o00001"], [path])
    with pytest.raises(Invalid):
        await DEALS.page(store.call(), fields=[path])


async def test_hundred_writers_of_one_record_lose_none_of_their_writes(store: Store) -> None:
    stored = await _made(store)

    async def add(index: int) -> int:
        for attempt in range(200):
            call = store.call()
            present = await CUSTOMERS.get(call, stored["_id"])
            CUSTOMERS.change(call, present, {"region": f"{present.get('region', '')}{index},"}, customer_events_pb2.CustomerUpdated)
            try:
                await call.changes.commit()
            except Conflict:
                continue
            return attempt
        raise AssertionError("never won")

    await asyncio.gather(*(add(index) for index in range(12)))
    found = await store.database["customers"].find_one({"_id": stored["_id"]})
    assert found is not None
    assert sorted(found["region"].strip(",").split(","), key=int) == [str(index) for index in range(12)]
    assert found["version"] == 13
    versions = [row["headers"]["ce-version"] async for row in store.database[OUTBOX].find({"headers.ce-subject": stored["_id"]})]
    assert sorted(map(int, versions)) == list(range(1, 14))
