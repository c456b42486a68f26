"""After an erasure nothing that names the person stays readable: in no database, stream, history, kept answer or disclosure."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.messaging.broker import stream_name
from chassis.runtime import erasure
from cli.plan import DEPARTMENTS
from gateway.graph.contract import to_global
from tests.e2e.world import message
from tests.support.installation import Installation

HISTORY = "query($id: ID!) { recordHistory(id: $id) { nodes { action reason changes { field before after } } } }"


class Life:
    """A person of whom every department was told by words that stand nowhere else."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.ids: dict[str, str] = {}
        self.first: dict[str, Any] = {}

    def word(self, what: str) -> str:
        """A text with a new word."""
        self.words.append(f"{what}{new_id()}")
        return f"{self.words[-1]} 李四"

    async def live(self, crm: Installation) -> Life:
        """Everything that departments can be told of a person."""
        ask, word, boss = crm.ask, self.word, {"role": "COORDINATOR"}
        self.first = {**boss, "request_id": f"life-{new_id()}", "name": word("name"), "kind": 2, "description": word("about")}
        customer = (await ask("CreateCustomer", **self.first)).customer.id
        about = {**boss, "customer_id": customer}
        await ask("UpdateCustomer", **about, version=1, update_mask={"paths": ["name"]}, name=word("renamed"))
        await ask("MoveCustomerLifecycle", **about, lifecycle=2, reason=word("because"))
        contact = (await ask("CreateContact", **about, name=word("contact"), title=word("title"))).contact.id
        await ask("CreateNote", **about, text=word("note"))
        made = await ask("CreatePipeline", name=f"管道 {new_id()}", stages=[{"key": "first", "name": "第一", "probability": 10}])
        deal = (
            await ask("CreateOpportunity", **about, name=word("deal"), description=word("deal"), pipeline_id=made.pipeline.id)
        ).opportunity
        named = {"version": 1, "update_mask": {"paths": ["name"]}, "name": word("deal")}
        await ask("UpdateOpportunity", **boss, opportunity_id=deal.id, **named)
        await ask("LoseOpportunity", **boss, opportunity_id=deal.id, reason=word("lost"))
        line = {"quantity": 1, "unit_price": {"currency_code": "CNY", "amount_micros": 5_000_000}, "description": "P"}
        order = (await ask("CreateOrder", **about, lines=[line])).order
        await ask("CancelOrder", **boss, order_id=order.id, reason=word("cancelled"))
        ticket = (await ask("CreateTicket", **about, subject=word("ticket"), description=word("ticket"), channel=1)).ticket
        await ask("CreateTicketReply", **boss, ticket_id=ticket.id, text=word("reply"), author=1)
        await ask("ResolveTicket", **boss, ticket_id=ticket.id, resolution=word("solved"))
        await ask("ReopenTicket", **boss, ticket_id=ticket.id, reason=word("reopened"))
        key = new_id()
        out = await ask(
            "BatchUpsertCampaigns", campaigns=[message("BatchUpsertCampaigns", source_key=key, name="活动", channel=1, state=3)]
        )
        row = message(
            "BatchUpsertCampaignMessages", source_key=key, campaign_id=out.outcomes[0].id, customer_id=customer, contact_id=contact, state=2,
            contact_name=word("letter"), address=f"{new_id()}@example.com", planned_time={"seconds": 1}, sent_time={"seconds": 2},
        )  # fmt: skip
        await ask("BatchUpsertCampaignMessages", campaign_messages=[row])
        self.ids = {"customer": customer, "opportunity": deal.id, "ticket": ticket.id, "order": order.id}
        await crm.settled()
        return self


@pytest_asyncio.fixture(loop_scope="session")
async def life(crm: Installation) -> Life:
    return await Life().live(crm)


async def everything(crm: Installation) -> str:
    """All that the databases and the streams hold."""
    found: list[str] = []
    for name in DEPARTMENTS:
        department = crm.suite[name]
        for collection in await department.database.list_collection_names():
            rows = department.database[collection].find({"$or": [{"_id": {"$exists": True}}]})
            found += [f"{collection} {row!r}" async for row in rows]
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        info = await department.jetstream.add_consumer(stream_name(name), config)
        subscription = await department.jetstream.pull_subscribe_bind(info.name, stream_name(name))
        left = int(info.num_pending or 0)
        while left > 0:
            messages = await subscription.fetch(500, timeout=5)
            left -= len(messages)
            found += [f"stream {one.subject} {one.headers} {one.data!r}" for one in messages]
        await subscription.unsubscribe()
    return "\n".join(found)


async def erased(crm: Installation, life: Life) -> None:
    """Erase, and wait until it is done everywhere."""
    await crm.ask("EraseCustomer", role="COORDINATOR", customer_id=life.ids["customer"], reason="本人要求")
    await crm.settled()

    async def done() -> bool:
        return not any([await crm.suite[name].database["outbox"].find_one({"forget": True}) for name in DEPARTMENTS])

    await crm.until(done)
    await crm.settled()


async def test_no_word_about_an_erased_person_is_left_anywhere(crm: Installation, life: Life) -> None:
    before = await everything(crm)
    for what in ("renamed", "contact", "ticket"):  # names lie in the clear, so that the search shows that it finds things
        assert any(word in before for word in life.words if word.startswith(what)), what
    await erased(crm, life)
    after = await everything(crm)
    found = [(word, next(line for line in after.splitlines() if word in line)[:300]) for word in life.words if word in after]
    assert not found, found


async def test_what_is_read_of_an_erased_person_names_nobody(crm: Installation, life: Life) -> None:
    ids = [to_global(kind.capitalize(), life.ids[kind]) for kind in ("customer", "opportunity", "ticket", "order")]
    told = str([await crm.data(HISTORY, "COORDINATOR", id=one) for one in ids])
    # A history tells what names were changed to, and why, as long as the person may be known.
    assert any(word in told for word in life.words if word.startswith("renamed"))
    assert any(word in told for word in life.words if word.startswith("reopened"))
    await erased(crm, life)
    told = str([await crm.data(HISTORY, "COORDINATOR", id=one) for one in ids])
    query = "query($id: ID!) { customerDisclosure(customerId: $id) { place records { values { field value } } } }"
    disclosed = await crm.data(query, "COORDINATOR", id=ids[0])
    listed = str([await crm.ask(f"Get{kind.capitalize()}", role="COORDINATOR", **{f"{kind}_id": life.ids[kind]}) for kind in life.ids])
    assert [word for word in life.words if word in told + str(disclosed) + listed] == []
    assert "5000000" in str(disclosed)  # what the books need is kept, and told


async def test_a_repeated_command_brings_nobody_back(crm: Installation, life: Life) -> None:
    assert (await crm.ask("CreateCustomer", **life.first)).customer.id == life.ids["customer"]
    await erased(crm, life)
    with pytest.raises(CrmError) as again:
        await crm.ask("CreateCustomer", **life.first)
    assert again.value.code == "ERASED"


async def test_nothing_of_an_erased_person_can_be_changed(crm: Installation, life: Life) -> None:
    await erased(crm, life)
    opportunity, ticket = {"opportunity_id": life.ids["opportunity"]}, {"ticket_id": life.ids["ticket"]}
    commands: list[tuple[str, dict[str, Any]]] = [
        ("UpdateOpportunity", {**opportunity, "version": 3, "update_mask": {"paths": ["name"]}, "name": "李四"}),
        ("ReopenOpportunity", {**opportunity, "reason": "李四"}),
        ("ResolveTicket", {**ticket, "resolution": "李四"}),
        ("CreateTicketReply", {**ticket, "text": "李四", "author": 1}),
    ]
    for name, fields in commands:
        with pytest.raises(CrmError) as refused:
            await crm.ask(name, role="COORDINATOR", **fields)
        assert refused.value.code == "ERASED", name


async def test_a_migration_seals_what_lies_open_and_forgets_whoever_was_erased_before(crm: Installation, life: Life) -> None:
    sales = crm.suite["sales"]
    deals, word = sales.database["opportunities"], f"old{new_id()}"
    await deals.update_one({"_id": life.ids["opportunity"]}, {"$set": {"description": word}})
    await erasure.mend(sales.database, sales.vault, sales.stores)
    stored = await deals.find_one({"_id": life.ids["opportunity"]})
    assert isinstance((stored or {})["description"], bytes)
    assert (await crm.ask("GetOpportunity", role="COORDINATOR", opportunity_id=life.ids["opportunity"])).opportunity.description == word
    await erased(crm, life)
    await deals.update_one({"_id": life.ids["opportunity"]}, {"$set": {"name": word, "description": word}})  # as an earlier build left it
    for _ in range(2):
        await erasure.mend(sales.database, sales.vault, sales.stores)
    stored = await deals.find_one({"_id": life.ids["opportunity"]})
    assert ((stored or {})["name"], "description" in (stored or {})) == ("已删除", False)
