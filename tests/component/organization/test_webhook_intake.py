"""Webhooks of other systems at the gateway's door: verified first, once only, within the source's rights, with a log that says why."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from crm.sales.v1 import order_pb2

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from services.organization.webhook_receipts import model
from services.organization.webhook_receipts.store import WebhookReceipts
from tests.support.checks import cny, equals, mask, refused
from tests.support.installation import Installation
from tests.support.senders import BODY, Sender, State, sender

SOURCES = "organization.webhook_sources"
FULFILLED, PLACED = order_pb2.ORDER_STATE_FULFILLED, order_pb2.ORDER_STATE_PLACED
LINE = {"quantity": 1, "unit_price": cny(5), "description": "P"}


async def customer(crm: Installation, **more: Any) -> Any:
    return (await crm.ask("CreateCustomer", role="COORDINATOR", name=f"客户 {new_id()}", kind=1, **more)).customer


async def order(crm: Installation, number: str = "") -> Any:
    buyer = await customer(crm)
    return (await crm.ask("CreateOrder", role="COORDINATOR", customer_id=buyer.id, number=number or new_id(), lines=[LINE])).order


async def state_of(crm: Installation, record: Any) -> int:
    return int((await crm.ask("GetOrder", role="COORDINATOR", order_id=record.id)).order.state)


async def notes(crm: Installation, record: Any) -> list[str]:
    answer = await crm.ask("BatchListNotes", role="COORDINATOR", customer_ids=[record.id], page_size=50)
    return [note.text for note in answer.groups[0].notes]


def paid(record: Any, number: str = "INV-7") -> dict[str, Any]:
    return {"customer_id": to_global("Customer", record.id), "number": number, "amount": "1200.00", "currency_code": "CNY"}


async def test_a_delivered_order_is_fulfilled_in_the_name_of_the_source(crm: Installation) -> None:
    erp, sold = await sender(crm), await order(crm)
    answer = await erp.send("order.fulfilled", {"number": sold.number}, "msg_1")
    assert (answer.status_code, answer.json()) == (200, {"state": "ACCEPTED", "type": "order.fulfilled"})
    assert await state_of(crm, sold) == FULFILLED
    entry = await crm.suite["sales"].database["audit_entries"].find_one({"record_id": sold.id, "action": "OrderFulfilled"})
    assert entry is not None
    assert entry["actor_id"] == erp.source.id
    (receipt,) = await erp.receipts()
    assert (receipt.state, receipt.webhook_id, receipt.event_type) == (State.WEBHOOK_RECEIPT_STATE_ACCEPTED, "msg_1", "order.fulfilled")
    assert (receipt.record_type, receipt.record_id, receipt.receive_count, receipt.reason) == ("Order", sold.id, 1, "")


async def test_what_comes_again_has_the_same_answer_and_no_second_effect(crm: Installation) -> None:
    erp, buyer = await sender(crm, "invoice.paid"), await customer(crm)
    body = json.dumps({"type": "invoice.paid", "data": paid(buyer)})
    answers = [await erp.post(body, "again", moment=datetime.now(UTC) + timedelta(seconds=wait)) for wait in (0, 5, 60)]
    assert {answer.content for answer in answers} == {b'{"state":"ACCEPTED","type":"invoice.paid"}'}
    assert await notes(crm, buyer) == ["发票 INV-7 已付款：CNY 1200.00（ERP）"]
    (receipt,) = await erp.receipts()
    assert receipt.receive_count == 3
    other = await erp.send("invoice.paid", paid(buyer, "INV-8"), "again")
    assert (other.status_code, other.json()["code"]) == (409, "WEBHOOK_ID_REUSED")
    assert len(await notes(crm, buyer)) == 1


async def test_of_many_at_once_one_has_an_effect(crm: Installation) -> None:
    erp, buyer = await sender(crm, "invoice.paid"), await customer(crm)
    body = json.dumps({"type": "invoice.paid", "data": paid(buyer)})
    answers = await asyncio.gather(*(erp.post(body, "at-once") for _ in range(8)))
    assert [(answer.status_code, answer.json()["state"]) for answer in answers] == [(200, "ACCEPTED")] * 8
    assert len(await notes(crm, buyer)) == 1
    (receipt,) = await erp.receipts()
    assert receipt.receive_count == 8


async def test_killed_between_effect_and_log_it_has_no_second_effect_when_it_comes_again(crm: Installation) -> None:
    erp, buyer = await sender(crm, "invoice.paid"), await customer(crm)
    body = json.dumps({"type": "invoice.paid", "data": paid(buyer)})
    assert (await erp.post(body, "killed")).status_code == 200
    rows = crm.suite["organization"].database["webhook_receipts"]
    await rows.delete_one({"webhook_source_id": erp.source.id})  # what a process leaves that ends before its commit
    assert (await erp.post(body, "killed")).json() == {"state": "ACCEPTED", "type": "invoice.paid"}
    assert len(await notes(crm, buyer)) == 1
    assert [receipt.webhook_id for receipt in await erp.receipts()] == ["killed"]


async def test_who_is_not_verified_learns_nothing_and_the_log_says_why(crm: Installation) -> None:
    erp, sold = await sender(crm), await order(crm)
    other, off, gone = await sender(crm), await sender(crm), await sender(crm)
    key = {"webhook_source_id": off.source.id, "version": 1}
    await crm.ask("UpdateWebhookSource", role="ADMINISTRATOR", update_mask=mask("enabled"), enabled=False, **key)
    await crm.ask("ArchiveWebhookSource", role="ADMINISTRATOR", webhook_source_id=gone.source.id)
    body = json.dumps({"type": "order.fulfilled", "data": {"number": sold.number}})
    unsigned, disabled = "no secret in use signed it", "the source is disabled or archived"
    tries: list[tuple[Any, Sender | None, str]] = [
        (erp.post(body, secret=other.secret), erp, unsigned),
        (erp.post(body, headers={"webhook-id": "another"}), erp, unsigned),
        (other.post(body, headers={"webhook-signature": "v1,x"}), other, unsigned),
        (other.post(body, moment=datetime.now(UTC) - timedelta(minutes=6)), other, "its timestamp is more than five minutes off; check both clocks"),
        (off.post(body), off, disabled),
        (gone.post(body), gone, disabled),
        (erp.post(body, address=to_global("WebhookSource", new_id())), None, ""),
        (erp.post(body, address=to_global("Person", erp.source.id)), None, ""),
        (erp.post(body, address="nobody"), None, ""),
    ]  # fmt: skip
    told = set()
    for trying, whose, why in tries:
        answer = await trying
        told.add((answer.status_code, answer.json()["code"], answer.json()["message"]))
        if whose:
            assert why in [receipt.reason for receipt in await whose.receipts()]
    assert told == {(401, "WEBHOOK_UNVERIFIED", model.unverified().message)}
    assert await state_of(crm, sold) == PLACED
    (receipt,) = await erp.receipts()  # one for all of a minute: nobody fills the log
    assert (receipt.state, receipt.receive_count, receipt.webhook_id) == (State.WEBHOOK_RECEIPT_STATE_REFUSED, 2, "")


async def test_after_a_rotation_both_secrets_are_good_for_a_day(crm: Installation) -> None:
    given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    erp = await sender(crm, secret=given)
    assert erp.secret == given
    assert (await erp.post(BODY)).status_code == 422
    rotated = await crm.ask("RotateWebhookSourceSecret", role="ADMINISTRATOR", webhook_source_id=erp.source.id)
    assert rotated.webhook_source.HasField("rotate_time")
    assert [(await erp.post(BODY, secret=secret)).status_code for secret in (given, rotated.secret)] == [422, 422]
    past = {"$set": {"secrets.1.until": datetime.now(UTC) - timedelta(seconds=1)}}
    await crm.suite["organization"].database["webhook_secrets"].update_one({"_id": erp.source.id}, past)
    assert [(await erp.post(BODY, secret=secret)).status_code for secret in (given, rotated.secret)] == [401, 422]


@pytest.mark.parametrize(("body", "headers", "status", "words"), [
    (BODY, {"content-type": "text/plain"}, 415, "send application/json"),
    (BODY, {"content-encoding": "gzip"}, 415, "not compressed"),
    (BODY, {"webhook-signature": ""}, 400, "the header webhook-signature is missing"),
    (BODY, {"webhook-timestamp": "yesterday"}, 400, "timestamp"),
    ("x" * 100_001, {}, 413, "exceeds the limit of 100000 bytes"),
    ("{", {}, 400, "the body is no JSON"),
    ("[1]", {}, 400, "«type» is missing"),
    ('{"type": "order.fulfilled", "data": []}', {}, 400, "«data» is no object"),
    ('{"type": "order.fulfilled", "data": {"number": 7}}', {}, 400, "«data.number» is missing or has another form; send a text like «SO-1001»"),
])  # fmt: skip
async def test_what_is_no_message_is_refused_by_name(
    crm: Installation, body: str, headers: dict[str, str], status: int, words: str
) -> None:
    erp = await sender(crm)
    answer = await erp.post(body, headers=headers)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["message"]
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


async def test_what_is_large_is_refused_before_anybody_is_asked(crm: Installation) -> None:
    erp = await sender(crm)
    await erp.post("x" * 100_001)
    assert await erp.receipts() == []
    assert (await crm.http.get(f"/webhooks/{to_global('WebhookSource', erp.source.id)}")).status_code == 405


async def test_what_a_source_does_not_take_is_ignored_until_it_does(crm: Installation) -> None:
    erp, sold = await sender(crm, "invoice.paid"), await order(crm)
    body = json.dumps({"type": "order.fulfilled", "data": {"number": sold.number}})
    ignored = {"state": "IGNORED", "type": "order.fulfilled", "reason": "the source does not take «order.fulfilled»"}
    answer = await erp.post(body, "later")
    assert (answer.status_code, answer.json()) == (200, ignored)
    assert (await erp.send("carrier.pigeon")).json()["state"] == "IGNORED"
    assert await state_of(crm, sold) == PLACED
    more = {"update_mask": mask("event_types"), "event_types": ["invoice.paid", "order.fulfilled"]}
    await crm.ask("UpdateWebhookSource", role="ADMINISTRATOR", webhook_source_id=erp.source.id, version=1, **more)
    assert (await erp.post(body, "later")).json() == {"state": "ACCEPTED", "type": "order.fulfilled"}
    assert await state_of(crm, sold) == FULFILLED


async def test_what_has_no_effect_yet_has_it_when_it_comes_again(crm: Installation) -> None:
    erp, number = await sender(crm), new_id()
    body = json.dumps({"type": "order.fulfilled", "data": {"number": number}})
    early = await erp.post(body, "early")
    assert (early.status_code, early.json()["code"]) == (422, "WEBHOOK_UNMATCHED")
    (receipt,) = await erp.receipts()
    assert receipt.reason == f"WEBHOOK_UNMATCHED: {early.json()['message']}"
    sold = await order(crm, number)
    assert (await erp.post(body, "early")).status_code == 200
    assert await state_of(crm, sold) == FULFILLED
    (receipt,) = await erp.receipts()
    assert (receipt.state, receipt.reason, receipt.receive_count) == (State.WEBHOOK_RECEIPT_STATE_ACCEPTED, "", 2)


async def test_a_source_does_no_more_than_its_roles_allow(crm: Installation) -> None:
    erp, sold = await sender(crm, role="MANAGER"), await order(crm)
    answer = await erp.send("order.fulfilled", {"number": sold.number})
    assert (answer.status_code, answer.json()["code"]) == (422, "NOT_ALLOWED")
    blind = await sender(crm, role="ADMINISTRATOR")
    assert (await blind.send("order.fulfilled", {"number": sold.number})).json()["code"] == "NOT_ALLOWED"
    assert await state_of(crm, sold) == PLACED


async def test_an_order_that_cannot_be_delivered_stays_as_it_is(crm: Installation) -> None:
    erp, sold = await sender(crm), await order(crm)
    await crm.ask("CancelOrder", role="COORDINATOR", order_id=sold.id, reason="不要了")
    answer = await erp.send("order.fulfilled", {"number": sold.number})
    assert (answer.status_code, answer.json()["code"]) == (422, "ORDER_STATE_NOT_ALLOWED")
    assert await state_of(crm, sold) == order_pb2.ORDER_STATE_CANCELLED


async def test_who_unsubscribes_gets_no_promotion_at_any_customer(crm: Installation) -> None:
    mailer, email = await sender(crm, "contact.unsubscribed"), f"{new_id()}@example.com"
    ids = []
    for _ in range(2):
        made = crm.ask("CreateContact", role="COORDINATOR", customer_id=(await customer(crm)).id, name="李娜", email=email)
        ids.append((await made).contact.id)
    assert (await mailer.send("contact.unsubscribed", {"email": email.upper()})).status_code == 200
    found = (await crm.ask("BatchGetContacts", role="COORDINATOR", ids=ids)).contacts
    assert [(one.do_not_contact, one.version) for one in found] == [(True, 2)] * 2
    assert (await mailer.send("contact.unsubscribed", {"email": email})).status_code == 200  # another message: nothing is left to do
    assert [one.version for one in (await crm.ask("BatchGetContacts", role="COORDINATOR", ids=ids)).contacts] == [2, 2]
    assert (await mailer.send("contact.unsubscribed", {"email": f"x{email}"})).json()["code"] == "WEBHOOK_UNMATCHED"


async def test_a_customer_is_known_by_its_number_in_the_other_system(crm: Installation) -> None:
    erp, key = await sender(crm, "invoice.paid"), f"erp:{new_id()}"
    await crm.ask("BatchUpsertCustomers", customers=[{"source_key": key, "name": "大客户", "kind": 1}])
    data = {"customer_source_key": key, "number": "INV-1", "amount": "8", "currency_code": "EUR"}
    assert (await erp.send("invoice.paid", data)).status_code == 200
    (buyer,) = (await crm.ask("ListCustomers", role="COORDINATOR", filter=equals("source_key", key))).customers
    assert await notes(crm, buyer) == ["发票 INV-1 已付款：EUR 8（ERP）"]
    assert (await erp.send("invoice.paid", data | {"customer_source_key": "nobody"})).json()["code"] == "WEBHOOK_UNMATCHED"
    assert (await erp.send("invoice.paid", data | {"customer_id": to_global("Order", buyer.id)})).json()["code"] == "WEBHOOK_UNMATCHED"


async def test_more_than_is_taken_in_a_minute_is_told_to_come_again(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MOST_A_MINUTE", 1)
    erp = await sender(crm)
    answers = [await erp.post(BODY) for _ in range(3)]
    assert answers[0].status_code == 422
    assert [(one.status_code, one.headers.get("retry-after")) for one in answers[1:]] == [(429, "60")] * 2
    monkeypatch.setattr(model, "MOST_UNVERIFIED_A_MINUTE", 0)
    stranger = await erp.post(BODY, secret=(await sender(crm)).secret)
    assert (stranger.status_code, stranger.json()["code"]) == (429, "WEBHOOK_THROTTLED")
    monkeypatch.setattr(model, "MOST_A_MINUTE", 600)
    assert (await erp.post(BODY)).status_code == 422  # who signs is not held up by who does not


@pytest.mark.parametrize(("seconds", "taken"), [
    ((0.0, 59.5, 60.0, 61.0, 89.0, 119.0, 119.9, 179.9), (True, True, False, False, False, True, False, True)),
    ((59.0, 59.9, 60.0, 60.1), (True, True, False, False)),  # no twice as many around the turn of a minute
    ((0.0, 0.1, 0.2, 0.3, 90.0, 90.1), (True, True, False, False, True, False)),  # who goes on is not shut out for ever
])  # fmt: skip
async def test_a_minute_is_sixty_seconds_whenever_it_begins(crm: Installation, seconds: tuple[float, ...], taken: tuple[bool, ...]) -> None:
    service = crm.suite["organization"]
    receipts = next(store for store in service.stores if isinstance(store, WebhookReceipts))
    begin, what = datetime(2026, 11, 1, 12, tzinfo=UTC), new_id()
    vault = SimpleNamespace(blind=lambda text: text)
    for second, expected in zip(seconds, taken, strict=True):
        call: Any = SimpleNamespace(now=begin + timedelta(seconds=second), vault=vault, database=service.database)
        if expected:
            await receipts.spend(call, what, 2)
        else:
            with pytest.raises(CrmError) as refusal:
                await receipts.spend(call, what, 2)
            assert refusal.value.code == "WEBHOOK_THROTTLED"


@pytest.mark.parametrize(("more", "code", "field"), [
    ({"display_name": " "}, "INVALID_ARGUMENT", "display_name"),
    ({"event_types": ["order.fulfiled"]}, "WEBHOOK_TYPE_UNKNOWN", "event_types[0]"),
    ({"event_types": []}, "INVALID_ARGUMENT", "event_types"),
    ({"roles": []}, "INVALID_ARGUMENT", "roles"),
    ({"secret": "whsec_short"}, "WEBHOOK_SECRET_REFUSED", "secret"),
    ({"home_department_id": "nowhere"}, "REFERENCE_NOT_FOUND", "home_department_id"),
])  # fmt: skip
async def test_what_cannot_be_a_source_is_refused(crm: Installation, more: dict[str, Any], code: str, field: str) -> None:
    values = {"display_name": "x", "event_types": ["order.fulfilled"], "roles": [1], **more}
    await refused(crm, SOURCES, crm.ask("CreateWebhookSource", role="ADMINISTRATOR", **values), code, field=field)


async def test_who_may_not_give_rights_makes_no_source(crm: Installation) -> None:
    permissions = [{"resource": "webhook_sources", "action": action, "scope": 5} for action in ("read", "create", "update", "archive")]
    role = (await crm.ask("CreateRoleDefinition", name=new_id(), permissions=permissions)).role_definition
    key = await crm.ask("CreateApiKey", name="x", role_definition_ids=[role.id], expire_time={"seconds": int(time.time()) + 3600})
    token = (await crm.ask("ExchangeApiKey", role="", secret=key.secret)).access_token
    await crm.until(lambda: (role.id, "webhook_sources", "create") in crm.suite["organization"].authority.directory.grants)
    values = {"display_name": "x", "event_types": ["order.fulfilled"], "roles": [1]}
    await refused(crm, SOURCES, crm.ask("CreateWebhookSource", role=token, **values), "NOT_ALLOWED")


async def test_while_a_department_is_away_the_sender_is_told_to_come_again(own_crm: Installation) -> None:
    erp, sold = await sender(own_crm), await order(own_crm)
    body = json.dumps({"type": "order.fulfilled", "data": {"number": sold.number}})
    await own_crm.suite.stop("sales")
    answer = await erp.post(body, "away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    await own_crm.suite.start(["sales"])

    async def accepted() -> bool:
        return (await erp.post(body, "away")).status_code == 200

    await own_crm.until(accepted)
    stored = await own_crm.suite["sales"].database["orders"].find_one({"_id": sold.id})  # the test's own channel may not be back yet
    assert stored is not None
    assert stored["state"] == "FULFILLED"
