"""Two customers become one for every department at once, and two again."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from tests.e2e.world import message
from tests.support.checks import cny
from tests.support.installation import Installation
from tests.support.samples import rounds

KEEPING = ("customer", "sales", "marketing", "support")  # the departments that keep something about customers
BOSS = {"role": "COORDINATOR"}
# What hangs on customers: the question by customers, and its rows.
HANGING = {
    "BatchListContacts": "contacts", "BatchListNotes": "notes", "BatchListOpportunities": "opportunities", "BatchListOrders": "orders",
    "BatchListTickets": "tickets", "BatchListCampaignMessages": "campaign_messages",
}  # fmt: skip


async def customer(crm: Installation, name: str, **given: Any) -> str:
    return str((await crm.ask("CreateCustomer", **BOSS, name=name, **{"kind": 1, **given})).customer.id)


async def life(crm: Installation, name: str, **given: Any) -> str:
    """A customer with something in every department, personal data among it."""
    identity = await customer(crm, name, phone="+86 138 0000 1234", **given)
    await fill(crm, identity, name)
    return identity


async def fill(crm: Installation, identity: str, name: str) -> None:
    about = {**BOSS, "customer_id": identity}
    await crm.ask("CreateContact", **about, name=f"{name} 王", email=f"w{new_id()}@example.com")
    await crm.ask("CreateNote", **about, text=f"{name} 备注")
    pipeline = await crm.ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
    await crm.ask("CreateOpportunity", **about, name=f"{name} 商机", pipeline_id=pipeline.pipeline.id, description=f"{name} 机密")
    line = {"quantity": 1, "unit_price": cny(5), "description": "P"}
    await crm.ask("CreateOrder", **about, lines=[line])
    ticket = (await crm.ask("CreateTicket", **about, subject=f"{name} 坏了", channel=1, description=f"{name} 说明")).ticket.id
    await crm.ask("CreateTicketReply", **BOSS, ticket_id=ticket, text=f"{name} 答复", author=1)
    campaign = (await crm.ask("CreateCampaign", **BOSS, name=f"{name} 活动", channel=1)).campaign.id
    row = message(
        "BatchUpsertCampaignMessages", source_key=new_id(), campaign_id=campaign, customer_id=identity, planned_time=datetime(2026, 1, 1, tzinfo=UTC),
        subject=name, state=1,
    )  # fmt: skip
    assert not (await crm.ask("BatchUpsertCampaignMessages", campaign_messages=[row])).outcomes[0].error_message


async def found(crm: Installation, identity: str) -> dict[str, frozenset[str]]:
    """Ids of everything that hangs on a customer, in every department."""
    answers = await asyncio.gather(*(crm.ask(rpc, **BOSS, customer_ids=[identity]) for rpc in HANGING))
    return {
        rows: frozenset(row.id for row in getattr(answer.groups[0], rows)) for rows, answer in zip(HANGING.values(), answers, strict=True)
    }


async def merged(crm: Installation, survivor: str, loser: str, **given: Any) -> Any:
    answer = await crm.ask("MergeCustomers", **BOSS, survivor_id=survivor, loser_id=loser, **given)
    return answer.customer_merge


async def unmerged(crm: Installation, merge: Any, **given: Any) -> Any:
    return (await crm.ask("UnmergeCustomer", **BOSS, customer_merge_id=merge.id, **given)).customer_merge


async def swept(crm: Installation, *losers: str) -> None:
    """Wait until every department has brought what it has to where it belongs, and every replica knows."""
    await crm.settled()

    async def done() -> bool:
        for name in KEEPING:
            department = crm.suite[name]
            rows = await department.database["customer_aliases"].find({"_id": {"$in": losers}}).to_list()
            if len(rows) != len(losers) or not all(row["sweeps"] for row in rows):
                return False
            for row in rows:
                if (row["_id"] in department.aliases._edges) is row["undone"]:
                    return False
        return True

    await crm.until(done)
    await crm.settled()


async def test_customers_merged_by_mistake_are_one_everywhere_and_two_again(crm: Installation) -> None:
    survivor, loser = await life(crm, "云栖"), await life(crm, "云溪")
    await crm.settled()
    own, others = await found(crm, survivor), await found(crm, loser)
    assert all(own.values()), own
    assert all(others.values()), others
    merge = await merged(crm, survivor, loser, reason="同一家")
    assert (await crm.ask("GetCustomer", **BOSS, customer_id=loser)).customer.id == survivor, "at once, where the merge was made"
    await swept(crm, loser)
    both = {rows: own[rows] | others[rows] for rows in own}
    assert await found(crm, survivor) == both
    assert await found(crm, loser) == both, "by the old id too"
    totals = (await crm.ask("BatchGetOrderTotals", **BOSS, customer_ids=[survivor])).order_totals
    assert [(one.customer_id, one.sale_count, one.net_value.amount_micros) for one in totals] == [(survivor, 2, 10_000_000)]
    shown = await crm.data(
        "query($id: ID!) { customer(id: $id) { id name contacts { nodes { name email } } opportunities { nodes { description customer { id } } } "
        "timeline(first: 100) { nodes { recordId } } customerMerges { nodes { loserName reason state } } } }",
        id=to_global("Customer", loser),
    )
    node = shown["customer"]
    assert node["id"] == to_global("Customer", survivor)
    assert {row["description"] for row in node["opportunities"]["nodes"]} == {"云栖 机密", "云溪 机密"}, "each is opened by its own key"
    assert {row["customer"]["id"] for row in node["opportunities"]["nodes"]} == {node["id"]}
    assert all(row["email"] for row in node["contacts"]["nodes"])
    told = {row["recordId"] for row in node["timeline"]["nodes"]}
    assert told >= both["opportunities"] | both["tickets"] | both["orders"] | both["contacts"]
    assert node["customerMerges"]["nodes"] == [{"loserName": "云溪", "reason": "同一家", "state": "DONE"}]

    since = (await crm.ask("CreateNote", **BOSS, customer_id=survivor, text="合并之后")).note
    named = (await crm.ask("CreateNote", **BOSS, customer_id=loser, text="按旧编号")).note
    assert (since.customer_id, named.customer_id) == (survivor, survivor)
    changed = next(iter(others["tickets"]))
    await crm.ask("CreateTicketReply", **BOSS, ticket_id=changed, text="合并期间的答复", author=1)
    undone = await unmerged(crm, merge, version=merge.version, reason="弄错了")
    assert undone.version == 2
    assert (await crm.ask("GetCustomer", **BOSS, customer_id=loser)).customer.id == loser
    await swept(crm, loser)
    assert await found(crm, survivor) == own | {"notes": own["notes"] | {since.id}}, "what was written for it since stays"
    assert await found(crm, loser) == others | {"notes": others["notes"] | {named.id}}, "what named the other goes with that one"
    replies = await crm.suite["support"].database["ticket_replies"].find({"ticket_id": changed}).to_list()
    assert {row["customer_id"] for row in replies} == {loser}, "what hangs on a record of one goes with it"
    for name in KEEPING:
        for store in crm.suite[name].stores:
            assert not await crm.suite[name].database[store.resource].count_documents({"customer_alias": {"$in": [loser, survivor]}})
    totals = (await crm.ask("BatchGetOrderTotals", **BOSS, customer_ids=[survivor, loser])).order_totals
    assert sorted((one.customer_id, one.sale_count) for one in totals) == sorted([(survivor, 1), (loser, 1)])


async def stand(crm: Installation, number: int) -> tuple[str, dict[str, set[str]]]:
    """A customer with a record in three departments."""
    identity = await customer(crm, f"史 {number}")
    return identity, await add(crm, identity)


async def add(crm: Installation, named: str) -> dict[str, set[str]]:
    """A note, an order and a ticket for a customer by one of its ids."""
    about = {**BOSS, "customer_id": named}
    note, order, ticket = await asyncio.gather(
        crm.ask("CreateNote", **about, text="话"),
        crm.ask("CreateOrder", **about, lines=[{"quantity": 1, "unit_price": cny(5), "description": "P"}]),
        crm.ask("CreateTicket", **about, subject="事", channel=1),
    )
    return {"notes": {note.note.id}, "orders": {order.order.id}, "tickets": {ticket.ticket.id}}


@pytest.mark.parametrize("seed", rounds(1, 40, "merges of real stores"))
async def test_a_random_history_over_real_stores_ends_as_if_nothing_had_been_merged(crm: Installation, seed: int) -> None:
    """What each department shows after merges, undoings and writes in between, told of while they go on, is what it would have without a merge,
    looked at under the customer that counts."""
    dice, merges, into = random.Random(seed), dict[str, Any](), dict[str, str]()
    own = dict([await stand(crm, number) for number in range(4)])
    for _ in range(14):
        free = [one for one in own if one not in into]
        act = dice.random()
        if act < 0.35 and len(free) > 1:
            loser, survivor = dice.sample(free, 2)
            merges[loser], into[loser] = await merged(crm, survivor, loser), survivor
        elif act < 0.6 and into:
            loser = dice.choice(sorted(into))
            await unmerged(crm, merges[loser])
            del into[loser]
        else:
            named = dice.choice(sorted(own))
            for rows, ids in (await add(crm, named)).items():
                own[named][rows] |= ids
        await asyncio.sleep(dice.choice((0, 0, 0.3)))

    def counts(identity: str) -> str:
        return counts(into[identity]) if identity in into else identity

    async def misplaced() -> list[str]:
        shown, wrong = {one: await found(crm, one) for one in own}, list[str]()
        for one in own:
            for rows in ("notes", "orders", "tickets"):
                wanted = set[str]().union(*(own[other][rows] for other in own if counts(other) == counts(one)))
                wrong += [f"{rows} {identity} at {one}" for identity in wanted ^ shown[one][rows]]
        return wrong

    async def settles() -> None:
        """A write of a replica that had not heard yet is brought over by the second sweep, after five seconds."""
        await swept(crm, *merges)
        end = asyncio.get_running_loop().time() + 20
        while (wrong := await misplaced()) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.3)
        assert not wrong

    await settles()
    for loser in dice.sample(sorted(into), len(into)):
        await unmerged(crm, merges[loser])
    into.clear()
    await settles()
