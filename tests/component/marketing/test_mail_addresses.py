"""The mail queue and one address: one mail a campaign, and none after its owner said no, in whatever spelling."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import httpx
import pytest

from services.marketing.bootstrap import build
from services.marketing.messages.store import SUPPRESSIONS
from services.marketing.settings import Settings
from tests.component.marketing.test_campaigns import audience, campaign, completed, get, launch, messages
from tests.component.marketing.test_mail_queue import of, reasons
from tests.support.checks import mask
from tests.support.installation import Installation
from tests.support.mailbox import Mailbox

RUNNING, COMPLETED = 3, 5
PLANNED, SENT, UNSUBSCRIBED, FAILED, DROPPED = 1, 2, 5, 6, 7


async def twins(crm: Installation, region: str, *, second: str = "") -> tuple[str, list[str]]:
    """A built segment of two customers whose contacts have one address, the second one in another spelling."""
    segment, contacts = await audience(crm, region, 1, 2)
    email = second or f"C0-0@{region.upper()}.Example"
    await crm.ask("UpdateContact", contact_id=contacts[1], version=1, update_mask=mask("email"), email=email)
    return segment, [str(one) for one in contacts]


async def more(crm: Installation, region: str, email: str) -> str:
    """One more contact of the region, imported later; its id."""
    customer = (await crm.ask("CreateCustomer", kind=1, name=f"{region} more {time.time_ns()}", region=region)).customer
    row = {"source_key": f"{region}:{time.time_ns()}", "customer_id": customer.id, "name": "more", "email": email}
    (outcome,) = (await crm.ask("BatchUpsertContacts", contacts=[row])).outcomes
    await crm.settled()
    return str(outcome.id)


def way_out(inbox: Mailbox, domain: str) -> str:
    """The address in the last mail to a domain; in the header as in the text."""
    address, found = next(one for one in reversed(inbox.mails) if one[0].endswith(f"@{domain}"))
    url = re.fullmatch(r"<(https?://\S+)>", found["List-Unsubscribe"])
    assert url and url[1] in found.get_content(), address
    return url[1]


async def test_an_address_gets_one_mail_a_campaign_and_none_after_it_unsubscribed_through_any_contact(
    crm: Installation, inbox: Mailbox
) -> None:
    segment, contacts = await twins(crm, "twins")
    first = await launch(crm, segment)
    await completed(crm, first)
    assert inbox.to("twins.example") == ["c0-0@twins.example"]
    rows = await messages(crm, first)
    assert sorted(reasons(rows).values()) == ["", "SAME_ADDRESS"]
    assert ((await get(crm, first)).sent_count, (await get(crm, first)).dropped_count) == (1, 1)
    url = way_out(inbox, "twins.example")
    told = next(row for row in rows if row.state == SENT)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).status_code == 200
        assert (await crm.ask("GetCampaignMessage", campaign_message_id=told.id)).campaign_message.state == SENT, "a look changes nothing"
        for _ in range(2):
            assert (await http.post(url, data={"List-Unsubscribe": "One-Click"})).status_code == 200
        assert (await http.post(url[:-1])).status_code == 404
    assert (await crm.ask("GetCampaignMessage", campaign_message_id=told.id)).campaign_message.state == UNSUBSCRIBED
    assert (await get(crm, first)).unsubscribed_count == 1
    await crm.settled()
    assert (await crm.ask("GetContact", contact_id=told.contact_id)).contact.do_not_contact
    later = await more(crm, "twins", "c0-0@Twins.EXAMPLE")
    second = await launch(crm, segment)
    await completed(crm, second)
    other = next(one for one in contacts if one != told.contact_id)
    assert reasons(await messages(crm, second)) == {other: "UNSUBSCRIBED", later: "UNSUBSCRIBED"}
    assert inbox.to("twins.example") == ["c0-0@twins.example"]
    stored = str(await crm.suite["marketing"].database[SUPPRESSIONS].find({}).to_list())
    assert "twins" not in stored, "kept as a hash alone"


async def test_an_opt_out_outlives_who_was_erased(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "erased", 1)
    await completed(crm, await launch(crm, segment))
    url = way_out(inbox, "erased.example")
    row = (
        await crm.ask("ListContacts", filter={"condition": {"field": "email", "operator": 1, "values": [{"text": "c0-0@erased.example"}]}})
    ).contacts[0]
    await crm.ask("EraseCustomer", customer_id=row.customer_id, reason="asked")
    await crm.settled()
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(url)).status_code == 200, "an old mail still leads out"
    later = await more(crm, "erased", "c0-0@erased.example")
    identity = await launch(crm, segment)
    await completed(crm, identity)
    assert reasons(await messages(crm, identity)) == {later: "UNSUBSCRIBED"}


@pytest.mark.parametrize(("stage", "answer", "bounced"), [
    ("rcpt", "550 5.1.1 no such user", True), ("rcpt", "550 unknown", True), ("data", "550 5.1.1 no such user", True),
    ("data", "554 5.7.1 spam", False), ("rcpt", "550 5.7.1 blocked", False),
])  # fmt: skip
async def test_an_address_that_does_not_exist_is_not_written_to_again_and_one_that_refuses_a_text_is(
    crm: Installation, inbox: Mailbox, stage: str, answer: str, bounced: bool
) -> None:
    region = f"hard{stage}{answer[:9].replace(' ', '').replace('.', '')}"
    segment, _ = await audience(crm, region, 1)
    answers, address = inbox.at_rcpt if stage == "rcpt" else inbox.at_data, f"c0-0@{region}.example"
    answers[address] = answer
    first = await launch(crm, segment)
    await completed(crm, first)
    (row,) = await messages(crm, first)
    assert (row.state, row.bounced, row.failure, row.attempts, inbox.tries[address]) == (FAILED, bounced, answer, 0, 1)
    del answers[address]
    later = await more(crm, region, address)
    second = await launch(crm, segment)
    await completed(crm, second)
    found = reasons(await messages(crm, second))
    if bounced:
        assert set(found.values()) == {"HARD_BOUNCED"}
    else:
        assert sorted(found.values()) == ["", "SAME_ADDRESS"]
    assert later in found
    assert len(inbox.to(f"{region}.example")) == int(not bounced)


async def test_who_reported_a_mail_as_spam_or_was_marked_by_hand_gets_none_through_another_contact(
    crm: Installation, inbox: Mailbox
) -> None:
    segment, _ = await audience(crm, "spam", 2)
    first = await launch(crm, segment)
    await completed(crm, first)
    spam, marked = await of(crm, first, "c0-0@spam.example"), await of(crm, first, "c0-1@spam.example")
    await crm.ask("RecordMessageComplaint", role="COORDINATOR", campaign_message_id=spam.id)
    await crm.ask("UpdateContact", contact_id=marked.contact_id, version=1, update_mask=mask("do_not_contact"), do_not_contact=True)
    await crm.ask("ArchiveContact", contact_id=marked.contact_id)
    await crm.settled()
    assert (await crm.ask("GetContact", contact_id=spam.contact_id)).contact.do_not_contact
    later = [await more(crm, "spam", f"C0-{number}@spam.example") for number in range(2)]
    second = await launch(crm, segment)
    await completed(crm, second)
    assert reasons(await messages(crm, second)) == {later[0]: "UNSUBSCRIBED", later[1]: "DO_NOT_CONTACT"}
    assert "spam" in (await of(crm, second, "c0-0@spam.example")).drop_text


# ---- what earlier builds stored


async def test_what_an_earlier_build_stored_is_mended_and_may_be_mended_again(crm: Installation, inbox: Mailbox) -> None:
    marketing, made = crm.suite["marketing"], await campaign(crm, channel=3)
    database, now = marketing.database, datetime.now(UTC)
    await database["campaigns"].update_one({"_id": made.id}, {"$set": {"state": "RUNNING", "channel": "SMS"}})
    scheduled = await campaign(crm, channel=3)
    await database["campaigns"].update_one({"_id": scheduled.id}, {"$set": {"state": "SCHEDULED", "start_time": now}})
    segment, _ = await audience(crm, "before", 1)
    first = await launch(crm, segment)
    await completed(crm, first)
    (row,) = await messages(crm, first)
    await crm.ask("UnsubscribeMessage", role="COORDINATOR", campaign_message_id=row.id)
    await database[SUPPRESSIONS].delete_many({"message_id": row.id})
    await database["campaign_messages"].update_one({"_id": row.id}, {"$unset": {"address_key": "", "mailed_key": ""}})
    await database["campaigns"].update_one({"_id": first}, {"$set": {"waiting_count": 9}})
    for _ in range(2):
        await build(Settings.from_env(crm.plan.environment("marketing"))).migrate()
        assert [(await get(crm, one)).state for one in (made.id, scheduled.id)] == [COMPLETED, 1]
        assert "sms" in (await get(crm, made.id)).state_reason
        assert (await get(crm, first)).waiting_count == 0
        assert await database[SUPPRESSIONS].count_documents({"message_id": row.id}) == 1
    later = await more(crm, "before", row.address)
    identity = await launch(crm, segment)
    await completed(crm, identity)
    assert reasons(await messages(crm, identity))[later] == "UNSUBSCRIBED"
