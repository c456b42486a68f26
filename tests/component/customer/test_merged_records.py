"""What becomes of records, pages and read models around a merge and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest

from chassis.kernel.clock import day
from chassis.kernel.errors import Conflict, CrmError
from chassis.kernel.ids import new_id
from chassis.messaging.models import aside_of
from chassis.rpc.call import Call
from chassis.runtime import merging
from chassis.runtime.handover import work_for
from chassis.storage.aliases import Aliases
from services.customer.accesses.store import Accesses
from services.customer.customers import erasure
from services.customer.customers.store import Customers
from services.customer.merges import model
from services.customer.merges.places import FOLLOWING, places
from tests.e2e.test_merges import BOSS, customer, merged, swept, unmerged
from tests.e2e.world import message
from tests.support.installation import Installation


async def test_the_end_of_a_merge_gives_back_what_was_said_of_the_other_one(crm: Installation) -> None:
    survivor, loser = await customer(crm, "留下"), await customer(crm, "并去")
    merge = await merged(crm, survivor, loser, reason="同一家")
    await swept(crm, loser)
    await unmerged(crm, merge, reason="弄错了")
    await swept(crm, loser)
    answer = await crm.ask("BatchListCustomerMerges", **BOSS, customer_ids=[survivor, loser])
    assert [[one.id for one in group.customer_merges] for group in answer.groups] == [[], [merge.id]]
    await crm.ask("EraseCustomer", **BOSS, customer_id=survivor, reason="asked")
    await crm.settled()
    seen = (await crm.ask("GetCustomerMerge", **BOSS, customer_merge_id=merge.id)).customer_merge
    assert (seen.customer_id, seen.loser_name, seen.reason, seen.undo_reason) == (loser, "并去", "同一家", "弄错了")


async def test_rows_of_one_file_that_name_both_go_back_each_to_its_own(crm: Installation) -> None:
    keys = [new_id(), new_id()]
    rows = [message("BatchUpsertCustomers", source_key=key, name=f"行 {key}", kind=1) for key in keys]
    survivor, loser = [one.id for one in (await crm.ask("BatchUpsertCustomers", customers=rows)).outcomes]
    merge = await merged(crm, survivor, loser)
    await swept(crm, loser)
    rows = [message("BatchUpsertCustomers", source_key=key, name=f"新 {key}", kind=1) for key in keys]
    outcomes = (await crm.ask("BatchUpsertCustomers", customers=rows)).outcomes
    assert [one.error_code for one in outcomes] == ["", "MERGED_MEANWHILE"], "one record: by one of its keys"
    contacts = [
        message("BatchUpsertContacts", source_key=new_id(), customer_id=named, name=f"人 {named}", is_primary=True)
        for named in (survivor, loser)
    ]
    made = (await crm.ask("BatchUpsertContacts", contacts=contacts)).outcomes
    group = (await crm.ask("BatchListContacts", **BOSS, customer_ids=[loser])).groups[0]
    assert sorted((one.id, one.is_primary) for one in group.contacts) == sorted([(made[0].id, False), (made[1].id, True)])
    await unmerged(crm, merge)
    await swept(crm, loser)
    groups = (await crm.ask("BatchListContacts", **BOSS, customer_ids=[survivor, loser])).groups
    assert [[one.id for one in group.contacts] for group in groups] == [[made[0].id], [made[1].id]]


async def test_a_page_goes_on_by_the_id_it_was_asked_for(crm: Installation) -> None:
    survivor, loser = await customer(crm, "页一"), await customer(crm, "页二")
    ids = [(await crm.ask("CreateNote", **BOSS, customer_id=loser, text=f"{number}")).note.id for number in range(4)]

    async def page(named: str, token: str) -> tuple[list[str], str]:
        group = (await crm.ask("BatchListNotes", **BOSS, customer_ids=[named], page_size=2, page_token=token)).groups[0]
        return [note.id for note in group.notes], group.next_page_token

    first, before = await page(loser, "")
    merge = await merged(crm, survivor, loser)
    await swept(crm, loser)
    assert (await page(loser, before))[0] == ids[1::-1] or (await page(loser, before))[0] == ids[2:], "made before, used after"
    assert (await page(survivor, before))[0] == (await page(loser, before))[0]
    again, since = await page(loser, "")
    assert again == first
    await unmerged(crm, merge)
    await swept(crm, loser)
    assert (await page(loser, since))[0] == (await page(loser, before))[0], "made while they were one, used afterwards"
    with pytest.raises(CrmError) as refusal:
        await page(survivor, since)
    assert refusal.value.code == "PAGE_TOKEN_INVALID"


async def test_a_model_that_is_folded_anew_gets_the_owner_with_the_customer(crm: Installation) -> None:
    department = crm.suite["customer"]
    rep = await crm.person("aside rep", "SALES_REP")
    await crm.until(lambda: rep in department.authority.directory.members)
    survivor, loser = await customer(crm, "折一", owner_id=rep), await customer(crm, "折二")
    aside = aside_of("timeline_entries", 1)
    place = next(place for place in places(Accesses()) if place.collection == "timeline_entries")
    assert place.collection in FOLLOWING
    row = {"_id": new_id(), "customer_id": loser, "owner_id": "somebody"}
    await department.database[aside].insert_one(row)
    known = Aliases()
    known.take([{"_id": loser, "into": survivor, "since": datetime(2026, 1, 1, tzinfo=UTC), "undone": False}])
    await merging.Sweep(known, department.own_call, [])._bring(replace(place, collection=aside), loser)
    found = await department.database[aside].find_one({"_id": row["_id"]})
    await department.database[aside].delete_many({})
    assert found
    assert (found["customer_id"], found["customer_alias"], found["owner_id"]) == (survivor, loser, rep)


async def test_a_sweep_that_somebody_is_always_faster_than_waits_for_its_next_turn(crm: Installation) -> None:
    department = crm.suite["sales"]
    rows = [{"_id": new_id(), "customer_id": "busy-one"}]
    await department.database["order_totals"].insert_many(rows)

    async def contended(call: Call, *_: object) -> None:
        call.changes.guard("order_totals", {"_id": "no-such-row"})

    known = Aliases()
    known.take([{"_id": "busy-one", "into": "busy-two", "since": datetime(2026, 1, 1, tzinfo=UTC), "undone": False}])
    with pytest.raises(Conflict) as busy:
        await merging.Sweep(known, department.own_call, [])._bring(merging.Place("order_totals", moved=contended), "busy-one")
    await department.database["order_totals"].delete_many({"_id": rows[0]["_id"]})
    assert busy.value.code == "BUSY"


async def test_an_erasure_sees_what_became_part_of_the_customer_while_it_looked(crm: Installation) -> None:
    survivor, loser = await customer(crm, "正在抹除"), await customer(crm, "正在并入")
    department = crm.suite["customer"]
    customers = next(store for store in department.stores if isinstance(store, Customers))
    call = department.own_call("tests")
    await erasure.erase(customers, [], call, customer_id=survivor, reason="asked")
    await merged(crm, survivor, loser)
    with pytest.raises(Conflict):
        await call.changes.commit()
    await crm.ask("EraseCustomer", **BOSS, customer_id=survivor, reason="asked")
    rows = await department.database["customers"].find({"_id": {"$in": [survivor, loser]}}).to_list()
    assert all(row["erase_time"] for row in rows)


async def test_work_is_handed_over_by_whichever_id_its_customer_had(crm: Installation) -> None:
    survivor, loser = await customer(crm, "交接一"), await customer(crm, "交接二")
    tickets = {}
    for one in (survivor, loser):
        tickets[one] = (await crm.ask("CreateTicket", **BOSS, customer_id=one, subject="事", channel=1)).ticket.id
    await merged(crm, survivor, loser)
    await swept(crm, loser)

    async def found(*ids: str) -> set[str]:
        return {row["_id"] async for row in crm.suite["support"].database["tickets"].find(work_for(ids))}

    assert await found(loser) == {tickets[loser]}, "given away before the merge, heard of after it"
    assert await found(survivor, loser) == set(tickets.values())


def test_days_are_told_in_the_company_s_time_zone() -> None:
    evening = datetime(2026, 5, 3, 17, tzinfo=UTC)  # the fourth in Shanghai
    merge = {"state": model.UNDONE, "undo_time": evening}
    with pytest.raises(CrmError, match="2026-05-04"):
        model.check_undo(merge, {}, {}, partial(day, zone="Asia/Shanghai"))
    with pytest.raises(CrmError, match="2026-05-04"):
        model.check_pair({"_id": "a"}, {"_id": "b", "merged_into_id": "c", "archive_time": evening}, partial(day, zone="Asia/Shanghai"))
