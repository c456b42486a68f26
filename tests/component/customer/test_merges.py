"""Merging customers and undoing it: who may, what is refused, what becomes of hierarchy, work, owners and what was told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.runtime import merging
from chassis.storage import aliases
from chassis.storage.aliases import Aliases
from gateway.graph.contract import to_global
from tests.e2e.test_merges import BOSS, customer, found, life, merged, swept, unmerged
from tests.e2e.world import message
from tests.support.checks import equals, mask, refused
from tests.support.installation import Installation

CUSTOMERS, MERGES = "customer.customers", "customer.customer_merges"


def asked(crm: Installation, survivor: str, loser: str, **given: Any) -> Any:
    return crm.ask("MergeCustomers", **{**BOSS, **given}, survivor_id=survivor, loser_id=loser)


async def test_what_cannot_become_one_is_refused_and_told_why(crm: Installation) -> None:
    one, other, person = await customer(crm, "甲"), await customer(crm, "乙"), await customer(crm, "丙", kind=2)
    gone = await customer(crm, "丁")
    await crm.ask("ArchiveCustomer", **BOSS, customer_id=gone)
    erased = await customer(crm, "戊")
    await crm.ask("EraseCustomer", **BOSS, customer_id=erased, reason="asked")
    for action, code, field in (
        (asked(crm, one, one), "INVALID_ARGUMENT", "loser_id"),
        (asked(crm, one, person), "KINDS_DIFFER", "loser_id"),
        (asked(crm, one, gone), "ARCHIVED", "loser_id"),
        (asked(crm, gone, one), "ARCHIVED", "survivor_id"),
        (asked(crm, one, erased), "ERASED", ""),
        (asked(crm, one, "no-such-customer"), "NOT_FOUND", "loser_id"),
        (asked(crm, "no-such-customer", one), "NOT_FOUND", "survivor_id"),
        (asked(crm, one, other, survivor_version=2), "VERSION_CONFLICT", "survivor_id"),
        (asked(crm, one, other, loser_version=2), "VERSION_CONFLICT", "loser_id"),
    ):
        await refused(crm, MERGES, action, code, field=field)
    merge = await merged(crm, one, other, survivor_version=1, loser_version=1)
    third = await customer(crm, "己")
    told = await refused(crm, MERGES, asked(crm, third, other), "ALREADY_MERGED", field="loser_id")
    assert one in told.message
    told = await refused(crm, MERGES, asked(crm, other, one), "MERGED_MEANWHILE", field="survivor_id")
    assert one in told.message
    await refused(crm, MERGES, asked(crm, other, third), "MERGED_MEANWHILE", field="survivor_id")
    await refused(crm, MERGES, crm.ask("UnmergeCustomer", **BOSS, customer_merge_id=merge.id, version=2), "VERSION_CONFLICT")
    await refused(crm, MERGES, crm.ask("UnmergeCustomer", **BOSS, customer_merge_id="no-such-merge"), "NOT_FOUND")
    undone = await unmerged(crm, merge)
    assert (undone.state, undone.version, undone.HasField("undo_time")) == (2, 2, True)
    await refused(crm, MERGES, crm.ask("UnmergeCustomer", **BOSS, customer_merge_id=merge.id), "MERGE_UNDONE")


async def test_what_is_part_of_another_customer_is_not_changed(crm: Installation) -> None:
    survivor = await customer(crm, "主")
    key = new_id()
    row = message("BatchUpsertCustomers", source_key=key, name="副", kind=1)
    loser = (await crm.ask("BatchUpsertCustomers", customers=[row])).outcomes[0].id
    await merged(crm, survivor, loser)
    about = {**BOSS, "customer_id": loser}
    for action in (
        crm.ask("UpdateCustomer", **about, version=2, update_mask=mask("level"), level=1),
        crm.ask("AssignCustomer", **about, owner_id=crm.people["SALES_REP"]),
        crm.ask("ArchiveCustomer", **about), crm.ask("RestoreCustomer", **about), crm.ask("EraseCustomer", **about, reason="asked"),
        crm.ask("MoveCustomerLifecycle", **about, lifecycle=2, reason="x"),
    ):  # fmt: skip
        told = await refused(crm, CUSTOMERS, action, "MERGED_MEANWHILE", field="customer_id", record_id=loser)
        assert survivor in told.message
    row = message("BatchUpsertCustomers", source_key=key, name="副本", kind=1)
    outcome = (await crm.ask("BatchUpsertCustomers", customers=[row])).outcomes[0]
    assert (outcome.error_code, outcome.error_field) == ("MERGED_MEANWHILE", "source_key")


async def test_who_may_merge_reaches_both(crm: Installation) -> None:
    await crm.person("merge lead", "SALES_LEAD")
    await crm.person("merge rep", "SALES_REP")
    await crm.person("far rep", "SALES_REP", unit="other")
    await crm.until(lambda: crm.people["far rep"] in crm.suite["customer"].authority.directory.members)
    one, other = [await customer(crm, name, owner_id=crm.people["merge rep"]) for name in ("近一", "近二")]
    far = await customer(crm, "远", owner_id=crm.people["far rep"])
    await refused(crm, MERGES, asked(crm, one, other, role="merge rep"), "NOT_ALLOWED")
    await refused(crm, MERGES, asked(crm, one, far, role="merge lead"), "NOT_FOUND", field="loser_id")
    await refused(crm, MERGES, asked(crm, far, one, role="merge lead"), "NOT_FOUND", field="survivor_id")
    made = (await asked(crm, one, other, role="merge lead", reason="同一家")).customer_merge
    assert made.creator_id == crm.people["merge lead"]
    await refused(crm, MERGES, crm.ask("UnmergeCustomer", role="merge rep", customer_merge_id=made.id), "NOT_ALLOWED")
    seen = (await crm.ask("GetCustomerMerge", role="merge rep", customer_merge_id=made.id)).customer_merge
    assert (seen.loser_name, seen.reason) == ("近二", "同一家"), "who sees the customer sees what it is made of"
    with pytest.raises(CrmError) as hidden:
        await crm.ask("GetCustomerMerge", role="far rep", customer_merge_id=made.id)
    assert hidden.value.code == "NOT_FOUND"
    assert (await crm.ask("UnmergeCustomer", role="merge lead", customer_merge_id=made.id)).customer_merge.state == 2


async def test_merging_two_into_each_other_at_once_makes_one_of_them(crm: Installation) -> None:
    one, other = await customer(crm, "左"), await customer(crm, "右")
    outcomes = await asyncio.gather(asked(crm, one, other), asked(crm, other, one), return_exceptions=True)
    refusals = [found for found in outcomes if isinstance(found, CrmError)]
    assert [refusal.code for refusal in refusals] in (["MERGED_MEANWHILE"], ["ALREADY_MERGED"])
    database = crm.suite["customer"].database
    assert await database["customers"].count_documents({"_id": {"$in": [one, other]}, "merged_into_id": {"$exists": True}}) == 1


async def test_a_merge_is_done_once_under_its_request_id(crm: Installation) -> None:
    survivor, loser = await customer(crm, "一次"), await customer(crm, "再次")
    request = f"merge-{new_id()}"
    first, second = await merged(crm, survivor, loser, request_id=request), await merged(crm, survivor, loser, request_id=request)
    assert first == second
    again = f"note-{new_id()}"
    note = (await crm.ask("CreateNote", **BOSS, request_id=again, customer_id=survivor, text="话")).note
    await swept(crm, loser)
    key = f"note-{new_id()}"
    named = (await crm.ask("CreateNote", **BOSS, request_id=key, customer_id=loser, text="话")).note
    await unmerged(crm, first)
    await swept(crm, loser)
    assert (await crm.ask("CreateNote", **BOSS, request_id=again, customer_id=survivor, text="话")).note.id == note.id
    assert (await crm.ask("CreateNote", **BOSS, request_id=key, customer_id=loser, text="话")).note.id == named.id, "what was asked counts"


async def test_a_chain_leads_to_its_end_and_is_undone_in_any_order(crm: Installation) -> None:
    a, b, c = [await life(crm, name) for name in ("链甲", "链乙", "链丙")]
    await crm.settled()
    own = {one: await found(crm, one) for one in (a, b, c)}
    first = await merged(crm, b, a)
    second = await merged(crm, c, b)
    assert {(await crm.ask("GetCustomer", **BOSS, customer_id=one)).customer.id for one in (a, b, c)} == {c}
    answer = await crm.ask("BatchGetCustomers", **BOSS, ids=[a, b, c, "none"], read_mask=mask("name"))
    assert ([one.id for one in answer.customers], dict(answer.resolved_ids), list(answer.missing_ids)) == ([c], {a: c, b: c}, ["none"])
    await swept(crm, a, b)
    assert await found(crm, c) == {rows: own[a][rows] | own[b][rows] | own[c][rows] for rows in own[a]}
    history = (await crm.ask("BatchListCustomerMerges", **BOSS, customer_ids=[c])).groups[0].customer_merges
    assert [one.id for one in history] == [second.id, first.id], "what was merged into a part of it stands in its history too"
    await unmerged(crm, first)  # the older one first
    await swept(crm, a, b)
    assert await found(crm, a) == own[a]
    assert await found(crm, b) == {rows: own[b][rows] | own[c][rows] for rows in own[b]}
    await unmerged(crm, second)
    await swept(crm, a, b)
    assert [await found(crm, one) for one in (a, b, c)] == [own[a], own[b], own[c]]


async def test_children_stand_below_the_survivor_and_come_back(crm: Installation) -> None:
    top, survivor, loser = await customer(crm, "顶"), await customer(crm, "留"), await customer(crm, "并")
    child = await customer(crm, "子", parent_id=loser)
    below = await customer(crm, "下", parent_id=child)
    await refused(crm, MERGES, asked(crm, below, loser), "HIERARCHY_CYCLE", field="survivor_id")
    merge = await merged(crm, survivor, loser)
    shown = (await crm.ask("BatchListChildCustomers", **BOSS, parent_ids=[survivor])).groups[0].customers
    assert [one.id for one in shown] == [child], "at once: no circle can come between"
    about = {**BOSS, "customer_id": survivor, "update_mask": mask("parent_id"), "parent_id": below}
    await refused(crm, CUSTOMERS, crm.ask("UpdateCustomer", **about, version=1), "HIERARCHY_CYCLE", field="parent_id")
    await swept(crm, loser)
    late = await customer(crm, "晚", parent_id=loser)
    assert (await crm.ask("GetCustomer", **BOSS, customer_id=late)).customer.parent_id == survivor
    assert (await crm.ask("ListCustomers", **BOSS, filter=equals("parent_id", loser))).customers
    await unmerged(crm, merge)
    await swept(crm, loser)
    shown = (await crm.ask("BatchListChildCustomers", **BOSS, parent_ids=[loser, survivor])).groups  # type: ignore[assignment]
    assert [sorted(one.id for one in group.customers) for group in shown] == [[child, late], []]  # type: ignore[attr-defined]
    await crm.ask("UpdateCustomer", **BOSS, customer_id=loser, version=3, update_mask=mask("parent_id"), parent_id=top)
    merge = await merged(crm, survivor, loser)
    await crm.ask("UpdateCustomer", **BOSS, customer_id=top, version=1, update_mask=mask("parent_id"), parent_id=below)
    await refused(crm, MERGES, crm.ask("UnmergeCustomer", **BOSS, customer_merge_id=merge.id), "HIERARCHY_CYCLE")


async def test_owners_and_who_works_with_a_customer_follow_both_ways(crm: Installation) -> None:
    reps = [await crm.person(f"follow {name}", "SALES_REP") for name in ("one", "two")]
    await crm.until(lambda: all(rep in crm.suite[name].authority.directory.members for rep in reps for name in ("customer", "sales")))
    survivor, loser = [await life(crm, name, owner_id=rep) for name, rep in zip(("主人", "客人"), reps, strict=True)]
    guest = await crm.person("follow guest", "SALES_REP")
    await crm.until(lambda: guest in crm.suite["customer"].authority.directory.members)
    seen = (await crm.ask("GetCustomer", **BOSS, customer_id=loser)).customer
    shared = {"update_mask": mask("collaborator_ids"), "collaborator_ids": [guest]}
    await crm.ask("UpdateCustomer", **BOSS, customer_id=loser, version=seen.version, **shared)
    helper = await crm.person("follow help", "SUPPORT_AGENT")
    await crm.until(lambda: helper in crm.suite["support"].authority.directory.members)
    ticket = await crm.ask("CreateTicket", **BOSS, customer_id=loser, subject="帮忙", channel=1, owner_id=helper)
    assert ticket.ticket.owner_id == helper
    await crm.settled()
    database = crm.suite["customer"].database

    async def who(identity: str) -> set[str]:
        row = await database["customer_accesses"].find_one({"_id": identity}) or {}
        return set(row.get("person_ids", ()))

    async def owners(identity: str) -> set[str]:
        kept = ("contacts", "notes", "timeline_entries", "customer_merges")
        return {row.get("owner_id") for name in kept async for row in database[name].find({"customer_id": identity})}

    before = [await who(survivor), await who(loser)]
    assert helper in before[1]
    merge = await merged(crm, survivor, loser)
    await swept(crm, loser)
    assert [await who(survivor), await who(loser)] == [before[0] | before[1] | {reps[1]}, set()], "its owner works with the one that stayed"
    assert (await owners(survivor), await owners(loser)) == ({reps[0]}, set())
    row = await crm.suite["support"].database["customer_accesses"].find_one({"_id": survivor})
    assert {helper, reps[1], guest} <= set((row or {})["person_ids"]), "every department knows"
    for name in ("follow two", "follow guest"):
        assert (await crm.ask("GetCustomer", role=name, customer_id=survivor)).customer.id == survivor
    await crm.ask("AssignCustomer", **BOSS, customer_id=survivor, owner_id=reps[1])
    await crm.settled()
    assert await who(survivor) == (before[0] | before[1]) - {reps[1]}, "its owner is no collaborator beside"
    await crm.ask("AssignCustomer", **BOSS, customer_id=survivor, owner_id=reps[0])
    await crm.settled()
    assert reps[1] in await who(survivor)
    await unmerged(crm, merge)
    await swept(crm, loser)
    assert [await who(survivor), await who(loser)] == before
    assert (await owners(survivor), await owners(loser)) == ({reps[0]}, {reps[1]})


async def test_a_late_fact_lands_on_the_survivor_and_goes_back(crm: Installation) -> None:
    survivor, loser = await customer(crm, "现在"), await life(crm, "从前")
    await crm.settled()
    merge = await merged(crm, survivor, loser)
    await swept(crm, loser)
    ticket = next(iter((await found(crm, survivor))["tickets"]))
    await crm.ask("ResolveTicket", **BOSS, ticket_id=ticket, resolution="好了")
    await crm.settled()
    database = crm.suite["customer"].database
    entry = await database["timeline_entries"].find_one({"record_id": ticket, "event_type": "crm.support.v1.TicketResolved"})
    assert entry
    assert (entry["customer_id"], entry["customer_alias"]) == (survivor, loser)
    fact = await crm.suite["support"].database["outbox"].find_one({"headers.ce-subject": ticket, "headers.ce-survivor": survivor})
    assert fact
    assert fact["headers"]["ce-customer"] == loser, "a fact carries the id of writing"
    await unmerged(crm, merge)
    await swept(crm, loser)
    entry = await database["timeline_entries"].find_one({"_id": entry["_id"]})
    assert entry
    assert (entry["customer_id"], "customer_alias" in entry) == (loser, False)


async def test_a_later_merge_counts_whatever_comes_first_and_a_killed_sweep_goes_on(crm: Installation) -> None:
    department = crm.suite["sales"]
    call = department.own_call("tests")
    early, late = call.now, call.now + timedelta(seconds=1)
    loser, first, second = (f"{name}-{new_id()}" for name in ("loser", "first", "second"))
    rows = [{"_id": new_id(), "customer_id": loser, "version": 1} for _ in range(merging.BATCH + 3)]
    await department.database["order_totals"].insert_many(rows)
    for change in (
        aliases.told(loser, second, "m2", late, undone=False), aliases.told(loser, first, "m1", early, undone=False),
        aliases.told(loser, first, "m1", early, undone=True),
    ):  # fmt: skip
        await department.database[aliases.COLLECTION].update_one(change._filter, change._doc, upsert=True)
    own = Aliases(department.database)
    await own.look()
    assert own.resolve(loser) == second
    sweep = merging.Sweep(own, department.own_call, [merging.Place("order_totals")])
    move = own.moves(loser, "customer_id")[-1]
    assert await sweep._batch(sweep.places[0], move) == merging.BATCH
    # killed here: who takes over begins again, and finds the most of it done
    await sweep._bring(sweep.places[0], loser)
    kept = department.database["order_totals"]
    assert await kept.count_documents({"customer_id": second, "customer_alias": loser}) == len(rows)
    assert await sweep._batch(sweep.places[0], move) == 0, "twice is once"
    await kept.delete_many({"customer_alias": loser})
    await department.database[aliases.COLLECTION].delete_one({"_id": loser})


async def test_erasing_the_survivor_erases_all_that_is_part_of_it(crm: Installation) -> None:
    survivor, loser, apart = [await life(crm, name) for name in ("抹除甲", "抹除乙", "抹除丙")]
    other = await merged(crm, survivor, apart, reason="误会")
    merge = await merged(crm, survivor, loser, reason="同一人")
    await swept(crm, loser, apart)
    disclosed = await crm.data(
        "query($id: ID!) { customerDisclosure(customerId: $id) { place recordCount } }", id=to_global("Customer", loser)
    )
    counts = {place["place"]: place["recordCount"] for place in disclosed["customerDisclosure"]}
    assert (counts["customers"], counts["contacts"], counts["tickets"], counts["opportunities"]) == (3, 3, 3, 3)
    await unmerged(crm, other)
    await swept(crm, apart)
    await crm.ask("EraseCustomer", **BOSS, customer_id=survivor, reason="asked")
    await crm.settled()
    rows = await crm.suite["customer"].database["customers"].find({"_id": {"$in": [survivor, loser]}}).to_list()
    assert all(row["erase_time"] and row["name"] == "已删除" for row in rows)
    for name in ("sales", "support", "marketing", "customer"):
        gone = crm.suite[name].database["subject_keys"].find({"_id": {"$in": [survivor, loser]}, "destroy_time": None})
        assert not await gone.to_list(), f"{name} keeps a key"
    tickets = crm.suite["support"].database["tickets"]
    assert await tickets.count_documents({"customer_id": survivor, "subject": "已删除"}) == 2
    assert await tickets.count_documents({"customer_id": apart, "subject": "抹除丙 坏了"}) == 1, "who was two again is not forgotten"
    seen = (await crm.ask("GetCustomerMerge", **BOSS, customer_merge_id=merge.id)).customer_merge
    assert not seen.HasField("loser_name")
    assert not seen.HasField("reason")
    await refused(crm, MERGES, crm.ask("UnmergeCustomer", **BOSS, customer_merge_id=merge.id), "UNDO_OVER")
    note = (await crm.ask("BatchListNotes", **BOSS, customer_ids=[apart])).groups[0].notes[0]
    assert note.text == "抹除丙 备注"


async def test_no_fact_of_a_merge_holds_anything_personal(crm: Installation) -> None:
    word = f"canary{new_id()}"
    survivor, loser = await customer(crm, "无痕"), await customer(crm, word)
    merge = await merged(crm, survivor, loser, reason=f"why {word}")
    await unmerged(crm, merge, reason=f"undo {word}")
    facts = await crm.suite["customer"].database["outbox"].find({"headers.ce-aggregate": "crm.customer.v1.CustomerMerge"}).to_list()
    mine = [row for row in facts if row["headers"]["ce-subject"] == merge.id]
    assert [row["subject"].split(".")[4] for row in sorted(mine, key=lambda row: row["headers"]["ce-version"])] == ["done", "undone"]
    assert not [row for row in mine if word.encode() in row["payload"] or word in str(row["headers"])]
    stored = await crm.suite["customer"].database["customer_merges"].find_one({"_id": merge.id})
    assert word not in str(stored)
