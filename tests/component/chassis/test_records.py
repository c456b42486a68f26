"""Writes of records against a real mongod: commits are whole, no update is lost, what always stands is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from crm.customer.v1 import customer_events_pb2
from crm.sales.v1 import opportunity_events_pb2
from pymongo import InsertOne

from chassis.kernel.errors import AlreadyExists, Conflict, Invalid
from chassis.kernel.ids import new_id
from chassis.storage.changes import AUDIT, OUTBOX, REQUESTS, Duplicate, as_refusal
from tests.support.installation import Engines
from tests.support.stores import CUSTOMERS, DEALS, Store, stored


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(engines: Engines) -> AsyncIterator[Store]:
    async for made in stored(engines):
        yield made


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


async def test_no_record_is_written_without_what_its_contract_says_always_stands(store: Store) -> None:
    assert set(DEALS.standing) == {"create_time", "update_time", "state"}
    before = await store.counts()
    call = store.call()
    with pytest.raises(RuntimeError, match="would lack state, which its contract requires"):
        DEALS.create(call, {"name": "x", "owner_id": "p1"}, opportunity_events_pb2.OpportunityCreated)
    made = DEALS.create(store.call(), {"name": "x", "owner_id": "p1", "state": "OPEN"}, opportunity_events_pb2.OpportunityCreated)
    with pytest.raises(RuntimeError, match="would lack state"):
        DEALS.change(call, made, {"state": None}, opportunity_events_pb2.OpportunityUpdated)
    assert await store.counts() == before
