"""The mail queue against a real mail server that puts off, refuses, closes, sleeps and dies; and who is told after all."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

import pytest
from crm.customer.v1 import customer_pb2
from crm.marketing.v1 import campaign_message_pb2
from crm.support.v1 import ticket_pb2

from services.marketing.messages import mail, model, sender
from tests.component.marketing.test_campaigns import audience, completed, get, launch, messages
from tests.support.checks import mask
from tests.support.installation import Installation
from tests.support.mailbox import Mailbox

RUNNING, COMPLETED = 3, 5
PLANNED, SENT, UNSUBSCRIBED, FAILED, DROPPED = 1, 2, 5, 6, 7


def reasons(rows: list[Any]) -> dict[str, str]:
    """By contact why it was not told; "" for who was."""
    name = campaign_message_pb2.CampaignMessageDropReason.Name
    return {row.contact_id: name(row.drop_reason).removeprefix("CAMPAIGN_MESSAGE_DROP_REASON_") if row.drop_reason else "" for row in rows}


async def of(crm: Installation, identity: str, address: str) -> Any:
    return next(row for row in await messages(crm, identity) if row.address == address)


# ---- what the server does not take now


@pytest.mark.parametrize(("stage", "answer"), [
    ("rcpt", "450 4.2.1 busy mail box"), ("rcpt", "451 4.7.1 greylisted"), ("rcpt", "452 4.2.2 full"), ("data", "451 local error"), ("data", "452 no room"),
])  # fmt: skip
async def test_one_that_is_put_off_holds_up_nobody_and_is_not_tried_in_vain(
    crm: Installation, inbox: Mailbox, stage: str, answer: str
) -> None:
    domain = f"{stage}{answer[:3]}"
    segment, _ = await audience(crm, domain, 8)
    late = f"c0-3@{domain}.example"
    (inbox.at_rcpt if stage == "rcpt" else inbox.at_data)[late] = answer
    identity = await launch(crm, segment)
    await crm.until(lambda: len(inbox.to(f"{domain}.example")) == 7)
    await asyncio.sleep(1.2)
    found, row = await get(crm, identity), await of(crm, identity, late)
    assert (found.state, found.sent_count, found.waiting_count, found.failed_count, found.waiting_reason) == (RUNNING, 7, 1, 0, "")
    assert (row.state, row.attempts, row.failure, inbox.tries[late]) == (PLANNED, 1, answer, 1)
    assert 50 < row.due_time.seconds - time.time() < 61
    await crm.ask("CancelCampaign", campaign_id=identity, reason="over")

    async def dropped() -> bool:
        return bool((await of(crm, identity, late)).state == DROPPED)

    await crm.until(dropped)
    found, row = await get(crm, identity), await of(crm, identity, late)
    assert (found.waiting_count, found.dropped_count, reasons([row])[row.contact_id]) == (0, 1, "CAMPAIGN_OVER")
    assert "cancelled" in row.drop_text
    assert not row.HasField("due_time")


async def test_what_is_put_off_again_and_again_is_given_up_with_the_servers_words_and_ends_the_campaign(
    crm: Installation, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "PUT_OFF_SECONDS", (0.3, 0.6))
    segment, _ = await audience(crm, "tired", 3)
    inbox.at_rcpt |= {"c0-0@tired.example": "450 4.2.0 not today", "c0-1@tired.example": "451 in a while"}
    identity = await launch(crm, segment)
    await crm.until(lambda: inbox.tries["c0-1@tired.example"] == 2)
    del inbox.at_rcpt["c0-1@tired.example"]
    await completed(crm, identity)
    found, tired, late = (
        await get(crm, identity),
        await of(crm, identity, "c0-0@tired.example"),
        await of(crm, identity, "c0-1@tired.example"),
    )
    assert (tired.state, tired.attempts, tired.failure, tired.bounced) == (FAILED, 3, "450 4.2.0 not today", False)
    assert (late.state, late.attempts, late.failure) == (SENT, 2, "")
    assert inbox.tries["c0-0@tired.example"] == 3
    assert (found.sent_count, found.failed_count, found.waiting_count, found.state_reason) == (
        2,
        1,
        0,
        "every message is sent, given up or dropped",
    )


# ---- when the server is away


async def test_a_server_that_is_away_holds_all_without_an_attempt_and_says_so(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "away", 4)
    inbox.away = True
    identity, began = await launch(crm, segment), inbox.connections

    async def held() -> bool:
        return "4.3.2 closing" in (await get(crm, identity)).waiting_reason

    await crm.until(held)
    await asyncio.sleep(2)
    assert 1 <= inbox.connections - began <= 4, "no busy loop"
    assert {(row.state, row.attempts) for row in await messages(crm, identity)} == {(PLANNED, 0)}
    assert (await get(crm, identity)).waiting_count == 4
    inbox.away = False
    await completed(crm, identity)
    assert len(inbox.to("away.example")) == 4
    assert (await get(crm, identity)).waiting_reason == ""


async def test_nobody_at_the_port_is_waited_for(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "nobody", 2)
    inbox.controller.stop()
    try:
        identity = await launch(crm, segment)

        async def held() -> bool:
            return "is away" in (await get(crm, identity)).waiting_reason

        await crm.until(held)
    finally:
        inbox.__enter__()
    await completed(crm, identity)
    assert {row.attempts for row in await messages(crm, identity)} == {0}


@pytest.mark.parametrize("answer", ["421 4.7.0 too fast", "dies", "sleeps"])
async def test_a_server_that_goes_at_one_message_takes_the_others_and_that_one_is_set_aside_in_the_end(
    crm: Installation, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(mail, "SECONDS", 1.5)
    monkeypatch.setattr(model, "PUT_OFF_SECONDS", (600,))
    monkeypatch.setattr(sender, "SUSPECT_SECONDS", 3.0)  # where it is the last one there are no others to tell by
    domain = f"goes{answer[:3]}"
    segment, _ = await audience(crm, domain, 5)
    poison = f"c0-2@{domain}.example"
    (inbox.at_rcpt if answer.startswith("421") else inbox.at_data)[poison] = answer
    identity = await launch(crm, segment)
    await crm.until(lambda: len(inbox.to(f"{domain}.example")) == 4)

    async def aside() -> bool:
        return bool((await of(crm, identity, poison)).attempts)

    await crm.until(aside)
    assert (await of(crm, identity, poison)).state == PLANNED
    assert 2 <= inbox.tries[poison] <= 5, "the first time may be the server's own fault"
    assert len(inbox.to(f"{domain}.example")) == 4
    assert (await get(crm, identity)).waiting_count == 1
    await crm.ask("CancelCampaign", campaign_id=identity, reason="over")


async def test_a_server_that_went_once_costs_nobody_an_attempt(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "once-gone", 3)
    inbox.at_data["c0-0@once-gone.example"] = "dies"
    identity = await launch(crm, segment)
    await crm.until(lambda: inbox.tries["c0-0@once-gone.example"] == 1)
    del inbox.at_data["c0-0@once-gone.example"]
    await completed(crm, identity)
    assert len(inbox.to("once-gone.example")) == 3
    assert {(row.state, row.attempts) for row in await messages(crm, identity)} == {(SENT, 0)}


async def test_a_message_whose_outcome_cannot_be_written_is_not_mailed_twice_a_second_and_holds_up_nobody(
    crm: Installation, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, _ = await audience(crm, "unwritten", 4)
    broken, whole = "c0-1@unwritten.example", model.sent

    def sent(message: dict[str, Any], now: datetime) -> dict[str, Any]:
        return whole(message, now) | ({"subject": object()} if message["address"] == broken else {})  # MongoDB refuses it

    monkeypatch.setattr(model, "sent", sent)
    identity = await launch(crm, segment)
    await crm.until(lambda: len(set(inbox.to("unwritten.example"))) == 4, 30)
    await asyncio.sleep(2)
    assert (await get(crm, identity)).sent_count == 3
    assert 1 <= inbox.tries[broken] <= 4
    assert len({one["Message-ID"] for address, one in inbox.mails if address == broken}) == 1, "a server can tell that it is the same mail"
    monkeypatch.setattr(model, "sent", whole)
    await completed(crm, identity)


# ---- asked again at the moment of the effect


async def test_what_chose_the_audience_and_the_address_is_asked_again_before_each_mail(crm: Installation, inbox: Mailbox) -> None:
    segment, contacts = await audience(crm, "again", 1, 9)
    inbox.away = True
    identity = await launch(crm, segment)

    async def planned() -> bool:
        return bool((await get(crm, identity)).waiting_reason)

    await crm.until(planned)
    customer = {row.contact_id: row.customer_id for row in await messages(crm, identity)}
    moved, gone, churned, wechat, complains, quiet, left, archived, erased = contacts
    await crm.ask("UpdateContact", contact_id=moved, version=1, update_mask=mask("email", "name"), email="New@again.example", name="新名")
    await crm.ask("ArchiveCustomer", customer_id=customer[gone])
    churn = customer_pb2.CUSTOMER_LIFECYCLE_CHURN
    for step in range(1, churn + 1):  # the way to it is the customer department's business
        try:
            await crm.ask("MoveCustomerLifecycle", customer_id=customer[churned], lifecycle=step, reason="r")
        except Exception as refusal:
            last = refusal
    found = (await crm.ask("GetCustomer", customer_id=customer[churned])).customer
    assert found.lifecycle == churn, last
    await crm.ask("UpdateContact", contact_id=wechat, version=1, update_mask=mask("preferred_channel"), preferred_channel=4)
    for contact, priority in ((complains, "URGENT"), (quiet, "HIGH")):  # one that is not urgent does not count
        await crm.ask(
            "CreateTicket", customer_id=customer[contact], subject="s", channel=1, kind=ticket_pb2.TICKET_KIND_COMPLAINT,
            priority=ticket_pb2.TicketPriority.Value(f"TICKET_PRIORITY_{priority}"),
        )  # fmt: skip
    version = (await crm.ask("GetCustomer", customer_id=customer[left])).customer.version
    await crm.ask("UpdateCustomer", customer_id=customer[left], version=version, update_mask=mask("region"), region="elsewhere")
    await crm.ask("ArchiveContact", contact_id=archived)
    await crm.ask("EraseCustomer", customer_id=customer[erased], reason="asked")
    await crm.settled()
    tried = inbox.connections
    await crm.until(lambda: inbox.connections > tried)  # a look has just ended at the closed door: the next one begins anew
    calls = {name: dict(channel.calls) for name, channel in departments(crm).items()}
    inbox.away = False
    await completed(crm, identity)
    assert reasons(await messages(crm, identity)) == {
        moved: "", gone: "CUSTOMER_ARCHIVED", churned: "CUSTOMER_CHURNED", wechat: "OTHER_CHANNEL", complains: "OPEN_COMPLAINT", quiet: "",
        left: "NOT_IN_SEGMENT", archived: "CONTACT_ARCHIVED", erased: "CUSTOMER_ERASED",
    }  # fmt: skip
    assert inbox.to("again.example") == ["c5-0@again.example", "new@again.example"]
    assert any(text.startswith("你好 新名\n") for text in inbox.texts("again.example"))
    assert (await of(crm, identity, "new@again.example")).state == SENT
    asked = departments(crm)["support"].calls.get("BatchListTickets", 0) - calls["support"].get("BatchListTickets", 0)
    assert 1 <= asked <= 4, "in batches, not once a message"


def departments(crm: Installation) -> dict[str, Any]:
    """Marketing's channels to the others."""
    work = next(one.__self__ for one in crm.suite["marketing"].alone if isinstance(getattr(one, "__self__", None), sender.Sender))
    return {"customer": work.departments.customer, "support": work.departments.support}


async def test_while_support_does_not_answer_nobody_is_told(own_crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LONGEST_HOLD_SECONDS", 1.0)
    with Mailbox(own_crm.plan.smtp_port) as inbox:
        segment, _ = await audience(own_crm, "silent", 2)
        await own_crm.suite.stop("support")
        identity = await launch(own_crm, segment)

        async def held() -> bool:
            return "support" in (await get(own_crm, identity)).waiting_reason

        await own_crm.until(held)
        assert inbox.mails == []
        assert ((await get(own_crm, identity)).waiting_count, {row.attempts for row in await messages(own_crm, identity)}) == (2, {0})
        await own_crm.suite.start(["support"])
        await completed(own_crm, identity)
        assert len(inbox.to("silent.example")) == 2
        assert (await get(own_crm, identity)).waiting_reason == ""


async def test_a_campaign_ends_by_itself_with_a_fact(crm: Installation, inbox: Mailbox) -> None:
    segment, _ = await audience(crm, "ends", 1)
    identity = await launch(crm, segment)
    await completed(crm, identity)
    outbox = crm.suite["marketing"].database["outbox"]
    facts = [row["headers"]["ce-type"].rpartition(".")[2] async for row in outbox.find({"headers.ce-subject": identity}).sort("_id", 1)]
    assert facts[-2:] == ["CampaignStarted", "CampaignCompleted"]
