"""Campaigns from plan to mail box with a real mail server: once per contact, no mail where none is wanted, states, money, imports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.checks import cny, equals, mask, refused
from tests.support.installation import Installation
from tests.support.mailbox import Mailbox

CAMPAIGNS, MESSAGES = "marketing.campaigns", "marketing.campaign_messages"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(crm: Installation) -> AsyncIterator[Mailbox]:
    with Mailbox(crm.plan.smtp_port) as mailbox:
        yield mailbox


@pytest.fixture
def inbox(server: Mailbox) -> Mailbox:
    server.seconds = 0.0
    return server


async def audience(crm: Installation, region: str, contacts: int, customers: int = 1) -> tuple[str, list[Any]]:
    """A built segment of customers with contacts at «region».example; (segment id, contacts)."""
    rows = []
    for number in range(customers):
        customer = (await crm.ask("CreateCustomer", kind=1, name=f"{region} {number}", region=region)).customer
        rows += [
            {
                "source_key": f"{region}:{number}:{index}",
                "customer_id": customer.id,
                "name": f"N{index}",
                "email": f"c{number}-{index}@{region}.example",
            }
            for index in range(contacts)
        ]
    answer = await crm.ask("BatchUpsertContacts", contacts=rows)
    segment = (await crm.ask("CreateSegment", name=region, criteria=equals("region", region))).segment
    await crm.settled()
    assert (await crm.ask("GetSegment", segment_id=segment.id)).segment.state == 2
    return segment.id, [one.id for one in answer.outcomes]


async def campaign(crm: Installation, segment: str = "", **more: Any) -> Any:
    values = {
        "role": "COORDINATOR",
        "name": "春季",
        "channel": 1,
        "subject": "新品",
        "body": "你好 {name}",
        **({"segment_id": segment} if segment else {}),
    }
    return (await crm.ask("CreateCampaign", **{**values, **more})).campaign


async def launch(crm: Installation, segment: str, **more: Any) -> str:
    made = await campaign(crm, segment, **more)
    await crm.ask("LaunchCampaign", campaign_id=made.id)
    return str(made.id)


async def get(crm: Installation, identity: str) -> Any:
    return (await crm.ask("GetCampaign", campaign_id=identity)).campaign


async def completed(crm: Installation, identity: str) -> None:
    """Wait until a campaign has ended."""

    async def ended() -> bool:
        return bool((await get(crm, identity)).state == 5)

    await crm.until(ended)


async def messages(crm: Installation, identity: str) -> list[Any]:
    return list((await crm.ask("BatchListMessagesOfCampaigns", campaign_ids=[identity], page_size=100)).groups[0].campaign_messages)


async def test_each_contact_who_may_be_told_is_told_once(crm: Installation, inbox: Mailbox) -> None:
    segment, contacts = await audience(crm, "once", 4, 2)
    await crm.ask("UpdateContact", contact_id=contacts[0], version=1, update_mask=mask("do_not_contact"), do_not_contact=True)
    await crm.ask("UpdateContact", contact_id=contacts[1], version=1, update_mask=mask("email"))
    await crm.ask("ArchiveContact", contact_id=contacts[2])
    identity = await launch(crm, segment)
    wanted = ["c0-3@once.example", *(f"c1-{index}@once.example" for index in range(4))]
    await crm.until(lambda: inbox.to("once.example") == wanted)
    await asyncio.sleep(0.7)
    assert inbox.to("once.example") == wanted
    rows = await messages(crm, identity)
    assert {row.contact_id for row in rows} == set(contacts[3:])
    assert {row.state for row in rows} == {2}
    mails = {mail["Message-ID"]: str(mail.get_content()) for address, mail in inbox.mails if address.endswith("@once.example")}
    assert mails.keys() == {f"<{row.id}@crm.example>" for row in rows}
    assert all(mails[f"<{row.id}@crm.example>"].splitlines()[0] == f"你好 {row.contact_name}" for row in rows)
    await completed(crm, identity)
    found = await get(crm, identity)
    assert (found.planned_count, found.sent_count, found.failed_count, found.waiting_count, found.dropped_count) == (5, 5, 0, 0, 0)
    groups = (await crm.ask("BatchListCampaignMessages", customer_ids=[rows[0].customer_id])).groups
    assert rows[0].id in {row.id for row in groups[0].campaign_messages}


async def test_a_customer_with_many_contacts_is_told_in_full(crm: Installation, inbox: Mailbox) -> None:
    segment, contacts = await audience(crm, "many", 25)
    identity = await launch(crm, segment)

    async def running() -> bool:
        return (await get(crm, identity)).state in (3, 5)

    await crm.until(running)
    await crm.until(lambda: len(inbox.to("many.example")) >= 20)
    assert (await get(crm, identity)).planned_count == len(contacts)


async def test_what_a_contact_does_is_counted_once_and_unsubscribing_is_heard_by_the_customer_department(
    crm: Installation, inbox: Mailbox
) -> None:
    segment, contacts = await audience(crm, "heard", 2)
    identity = await launch(crm, segment)
    await crm.until(lambda: len(inbox.to("heard.example")) == 2)
    await crm.settled()
    row = next(row for row in await messages(crm, identity) if row.contact_id == contacts[0])
    for method in ("RecordMessageClick", "RecordMessageOpen", "UnsubscribeMessage", "UnsubscribeMessage", "RecordMessageClick"):
        await crm.ask(method, role="COORDINATOR", campaign_message_id=row.id)
    found = await get(crm, identity)
    assert (found.opened_count, found.clicked_count, found.unsubscribed_count) == (1, 1, 1)
    final = (await crm.ask("GetCampaignMessage", campaign_message_id=row.id)).campaign_message
    assert (final.state, final.version) == (5, 4)
    await crm.settled()
    told = {one: (await crm.ask("GetContact", contact_id=one)).contact.do_not_contact for one in contacts}
    assert told == {contacts[0]: True, contacts[1]: False}
    await launch(crm, segment)
    await crm.until(lambda: len(inbox.to("heard.example")) == 3)
    await asyncio.sleep(0.7)
    assert inbox.to("heard.example") == ["c0-0@heard.example", "c0-1@heard.example", "c0-1@heard.example"]
    await refused(
        crm, MESSAGES, crm.ask("UnsubscribeMessage", role="SALES_REP", campaign_message_id=row.id), "NOT_ALLOWED", record_id=row.id
    )
    await refused(crm, MESSAGES, crm.ask("RecordMessageOpen", campaign_message_id=row.id, version=1), "VERSION_CONFLICT", record_id=row.id)
    await refused(crm, MESSAGES, crm.ask("RecordMessageOpen", campaign_message_id="nothing"), "NOT_FOUND")


async def test_a_refused_address_fails_and_the_others_go_out(crm: Installation, inbox: Mailbox) -> None:
    segment, contacts = await audience(crm, "mixed", 3)
    inbox.at_data["refused@mixed.example"] = "550 no such mail box"
    await crm.ask("UpdateContact", contact_id=contacts[0], version=1, update_mask=mask("email"), email="refused@mixed.example")
    identity = await launch(crm, segment)

    async def done() -> bool:
        found = await get(crm, identity)
        return bool((found.sent_count, found.failed_count) == (2, 1))

    await crm.until(done)
    assert [row.state for row in await messages(crm, identity) if row.contact_id == contacts[0]] == [6]


async def test_a_pause_holds_the_rest_back_and_resuming_or_cancelling_ends_it(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "pause", 15, 2)
    inbox.seconds = 0.05
    identity = await launch(crm, segment)
    await crm.until(lambda: len(inbox.to("pause.example")) >= 2)
    await crm.ask("PauseCampaign", campaign_id=identity, reason="wait")
    held = len(inbox.to("pause.example"))
    try:
        await asyncio.sleep(0.8)
        assert len(inbox.to("pause.example")) <= held + 1  # the one that was on its way
    finally:
        inbox.seconds = 0.0
    await refused(
        crm, CAMPAIGNS, crm.ask("PauseCampaign", campaign_id=identity, reason="r"), "CAMPAIGN_STATE_NOT_ALLOWED", record_id=identity
    )
    await crm.ask("ResumeCampaign", campaign_id=identity)
    await crm.until(lambda: len(inbox.to("pause.example")) == 30)
    assert len(set(inbox.to("pause.example"))) == 30


async def test_cancelling_drops_what_was_not_sent(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "drop", 15, 2)
    inbox.seconds = 0.05
    identity = await launch(crm, segment)
    await crm.until(lambda: len(inbox.to("drop.example")) >= 2)
    await crm.ask("CancelCampaign", campaign_id=identity, reason="stop")
    told = len(inbox.to("drop.example"))

    async def settled() -> bool:
        return not [row for row in await messages(crm, identity) if row.state == 1]

    try:
        await crm.until(settled)
    finally:
        inbox.seconds = 0.0
    sent = [row for row in await messages(crm, identity) if row.state == 2]
    assert len(sent) == len(inbox.to("drop.example")) <= told + 1
    await refused(crm, CAMPAIGNS, crm.ask("ResumeCampaign", campaign_id=identity), "CAMPAIGN_STATE_NOT_ALLOWED", record_id=identity)


async def test_who_says_no_before_the_mail_leaves_gets_none(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "late", 12)
    inbox.seconds = 0.08
    identity = await launch(crm, segment)
    await crm.until(lambda: len(inbox.to("late.example")) >= 1)
    last = max((row for row in await messages(crm, identity) if row.state == 1), key=lambda row: row.id)
    await crm.ask("UpdateContact", contact_id=last.contact_id, version=1, update_mask=mask("do_not_contact"), do_not_contact=True)
    inbox.seconds = 0.02
    await crm.until(lambda: len(inbox.to("late.example")) >= 11)
    await asyncio.sleep(0.5)
    assert last.address not in inbox.to("late.example")


@pytest.mark.parametrize("channel", [2, 3, 4])
async def test_what_nothing_sends_is_neither_launched_nor_scheduled_nor_imported_as_running(crm: Installation, channel: int) -> None:
    made = (await crm.ask("CreateCampaign", name="展会", channel=channel)).campaign.id
    soon = {"seconds": int(time.time()) + 100}
    for action in (crm.ask("LaunchCampaign", campaign_id=made), crm.ask("ScheduleCampaign", campaign_id=made, start_time=soon)):
        await refused(crm, CAMPAIGNS, action, "CHANNEL_WITHOUT_SENDER", field="channel", record_id=made)
    row = {"source_key": f"ch:{channel}", "name": "i", "channel": channel, "state": 3}
    (outcome,) = (await crm.ask("BatchUpsertCampaigns", campaigns=[row])).outcomes
    assert (outcome.error_code, outcome.error_field) == ("CHANNEL_WITHOUT_SENDER", "channel")
    (outcome,) = (await crm.ask("BatchUpsertCampaigns", campaigns=[{**row, "state": 5}])).outcomes
    assert outcome.result == 1, "what was goes on record"


async def test_a_text_that_would_not_be_sent_as_it_is_meant_is_refused(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "braces", 1)
    for name in ("subject", "body"):
        made = await campaign(crm, segment, **{name: "亲爱的 {姓名}"})
        found = await refused(
            crm, CAMPAIGNS, crm.ask("LaunchCampaign", campaign_id=made.id), "CAMPAIGN_TEXT_INVALID", field=name, record_id=made.id
        )
        assert "{姓名}" in found.message
        assert "{name}" in found.message
    await completed(crm, await launch(crm, segment, subject="{name}，{{新品}}"))
    ((_, mail),) = [one for one in inbox.mails if one[0].endswith("@braces.example")]
    assert mail["Subject"] == "N0，{新品}"


async def test_a_campaign_of_somebody_who_has_left_holds_up_no_other(crm: Installation, inbox: Mailbox) -> None:
    person = await crm.person("gone marketer", "MARKETER")
    segment, _ = await audience(crm, "left", 1)
    other, _ = await audience(crm, "stay", 1)
    await crm.until(lambda: person in crm.suite["marketing"].authority.directory.members)
    made = await campaign(crm, segment, owner_id=person)
    await crm.ask("DeactivatePerson", person_id=person)
    await crm.until(lambda: not crm.suite["marketing"].authority.directory.members[person].active)
    await crm.ask("LaunchCampaign", campaign_id=made.id)
    await launch(crm, other)
    await crm.until(lambda: len(inbox.to("stay.example")) == 1, 5)
    await completed(crm, made.id)


async def test_a_hundred_campaigns_whose_messages_wait_hold_up_no_other(crm: Installation, inbox: Mailbox) -> None:
    customer = (await crm.ask("CreateCustomer", kind=1, name="hundred waiting")).customer.id
    rows = [{"source_key": f"hundred:{number}", "name": "i", "channel": 1, "state": 4} for number in range(100)]
    made = [one.id for one in (await crm.ask("BatchUpsertCampaigns", campaigns=rows)).outcomes]
    waiting = [
        {"source_key": f"hundred:{one}", "campaign_id": one, "customer_id": customer, "planned_time": {"seconds": 1}, "state": 1}
        for one in made
    ]
    await crm.ask("BatchUpsertCampaignMessages", campaign_messages=waiting)
    segment, _ = await audience(crm, "hundred", 1)
    await launch(crm, segment)
    await crm.until(lambda: len(inbox.to("hundred.example")) == 1, 5)
    assert (await get(crm, made[0])).state == 4, "a paused one is not ended by itself"
    await asyncio.gather(*(crm.ask("CompleteCampaign", campaign_id=one) for one in made))


async def test_a_campaign_is_planned_by_its_rules(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "rules", 1)
    soon, later = {"seconds": int(time.time()) + 100}, {"seconds": int(time.time()) + 200}
    for values, code, field in (
        ({"segment_id": "nothing"}, "REFERENCE_NOT_FOUND", "segment_id"),
        ({"start_time": later, "end_time": soon}, "CAMPAIGN_TIMES_REVERSED", "end_time"),
        ({"budget": cny(-1)}, "INVALID_ARGUMENT", "budget"),
        ({"channel": 0}, "INVALID_ARGUMENT", "channel"),
        ({"name": ""}, "INVALID_ARGUMENT", "name"),
        ({"role": "SALES_REP"}, "NOT_ALLOWED", ""),
        ({"role": "SUPPORT_AGENT"}, "NOT_ALLOWED", ""),
    ):
        await refused(crm, CAMPAIGNS, campaign(crm, **values), code, field=field)
    made = await campaign(crm, role="MARKETER", budget=cny(10))
    key = {"campaign_id": made.id}
    for action, code in (
        (crm.ask("LaunchCampaign", **key), "CAMPAIGN_INCOMPLETE"),
        (crm.ask("LaunchCampaign", **key, version=3), "VERSION_CONFLICT"),
        (crm.ask("PauseCampaign", **key, reason="r"), "CAMPAIGN_STATE_NOT_ALLOWED"),
        (crm.ask("CompleteCampaign", **key), "CAMPAIGN_STATE_NOT_ALLOWED"),
        (crm.ask("RecordCampaignCost", **key, amount=cny(11), reason="print"), "BUDGET_EXCEEDED"),
        (crm.ask("RecordCampaignCost", **key, amount=cny(0), reason="print"), "INVALID_ARGUMENT"),
        (crm.ask("RecordCampaignCost", **key, amount={"currency_code": "USD", "amount_micros": 1}, reason="print"), "CURRENCY_MIXED"),
        (crm.ask("UpdateCampaign", **key, version=1, update_mask=mask("segment_id"), segment_id="nothing"), "REFERENCE_NOT_FOUND"),
        (crm.ask("LaunchCampaign", role="SALES_LEAD", **key), "NOT_ALLOWED"),
    ):
        await refused(crm, CAMPAIGNS, action, code, record_id=made.id)
    await crm.ask("RecordCampaignCost", role="MARKETER", **key, amount=cny(4), reason="print")
    assert (await crm.ask("RecordCampaignCost", **key, amount=cny(6), reason="stand")).campaign.cost.amount_micros == 10_000_000
    assert (
        await crm.ask("UpdateCampaign", **key, version=3, update_mask=mask("segment_id"), segment_id=segment)
    ).campaign.segment_id == segment
    await refused(
        crm,
        CAMPAIGNS,
        crm.ask("RecordCampaignCost", **key, amount=cny(-11), reason="x"),
        "COST_BELOW_ZERO",
        field="amount",
        record_id=made.id,
    )
    taken = (
        await crm.ask("RecordCampaignCost", role="MARKETER", **key, amount=cny(-6), reason="the stand was another campaign's")
    ).campaign
    assert taken.cost.amount_micros == 4_000_000
    await crm.ask("CancelCampaign", **key, reason="r")
    for action in (
        crm.ask("UpdateCampaign", **key, version=6, update_mask=mask("name"), name="x"),
        crm.ask("CancelCampaign", **key, reason="r"),
    ):
        await refused(crm, CAMPAIGNS, action, "CAMPAIGN_STATE_NOT_ALLOWED", record_id=made.id)


async def test_the_reason_of_a_cost_stands_in_the_audit(crm: Installation) -> None:
    made = await campaign(crm)
    await crm.ask("RecordCampaignCost", campaign_id=made.id, amount=cny(4), reason="printing of leaflets")
    rows = await crm.suite["marketing"].database["audit_entries"].find({"record_id": made.id}).to_list()
    assert "printing of leaflets" in str(rows)


async def test_marketers_see_the_campaigns_of_their_department(crm: Installation) -> None:
    person = await crm.person("other marketer", "MARKETER", unit="other")
    await crm.until(lambda: person in crm.suite["marketing"].authority.directory.members)
    made = await campaign(crm, role="MARKETER")
    await refused(crm, CAMPAIGNS, crm.ask("GetCampaign", role="other marketer", campaign_id=made.id), "NOT_FOUND", record_id=made.id)
    for role, sees in (("SALES_REP", True), ("SUPPORT_AGENT", True), ("MARKETER", True), ("other marketer", False)):
        assert [one.id for one in (await crm.ask("BatchGetCampaigns", role=role, ids=[made.id])).campaigns] == ([made.id] if sees else [])
        assert (made.id in {one.id for one in (await crm.ask("ListCampaigns", role=role, page_size=100)).campaigns}) == sees
    given = await crm.ask("AssignCampaign", role="MARKETER", campaign_id=made.id, owner_id=person)
    assert given.campaign.department_id == crm.units["other"]
    await refused(crm, CAMPAIGNS, crm.ask("ListCampaigns", role="ADMINISTRATOR"), "NOT_ALLOWED")


async def test_campaigns_and_messages_are_imported_once(crm: Installation) -> None:
    row = {"source_key": "ca:1", "name": "i", "channel": 1, "state": 5}
    for results in ([1, 4], [3, 4]):
        answer = await crm.ask("BatchUpsertCampaigns", campaigns=[row, {"source_key": "ca:2", "name": "i"}])
        assert [one.result for one in answer.outcomes] == results
    identity = answer.outcomes[0].id
    customer = (await crm.ask("CreateCustomer", kind=1, name="导入")).customer.id
    sent = {
        "source_key": "me:1",
        "campaign_id": identity,
        "customer_id": customer,
        "planned_time": {"seconds": 1},
        "state": 2,
        "sent_time": {"seconds": 2},
    }
    wrong = {**sent, "source_key": "me:2", "opened_time": {"seconds": 1}}
    for results in ([1, 4], [3, 4]):
        answer = await crm.ask("BatchUpsertCampaignMessages", campaign_messages=[sent, wrong])
        assert [one.result for one in answer.outcomes] == results
    assert answer.outcomes[1].error_field == "opened_time"
    assert (await get(crm, identity)).sent_count == 1
    assert list((await crm.ask("BatchGetCampaignMessages", ids=["x"])).missing_ids) == ["x"]
    assert (await crm.ask("ListCampaignMessages", filter=equals("customer_id", customer))).campaign_messages[0].state == 2
