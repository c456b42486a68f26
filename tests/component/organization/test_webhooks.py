"""Webhooks against a receiver on this machine: what is told, what becomes of what fails, what an endpoint lives through."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crm.organization.v1 import webhook_endpoint_pb2
from standardwebhooks import WebhookVerificationError

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from gateway.graph.contract import to_global
from services.organization.webhook_endpoints import model
from tests.support.checks import mask, refused
from tests.support.installation import Installation
from tests.support.receivers import Receiver, become, deliveries, due, endpoint

ENDPOINTS = "organization.webhook_endpoints"
Reason = webhook_endpoint_pb2.WebhookEndpointDisableReason


async def product(crm: Installation) -> Any:
    code = new_id()
    return (await crm.ask("CreateProduct", role="COORDINATOR", code=code, name=f"秘密 {code}")).product


async def read(crm: Installation, record: Any) -> Any:
    return (await crm.ask("GetWebhookEndpoint", role="ADMINISTRATOR", webhook_endpoint_id=record.id)).webhook_endpoint


async def end(crm: Installation, record: Any) -> None:
    await crm.ask("ArchiveWebhookEndpoint", role="ADMINISTRATOR", webhook_endpoint_id=record.id)


async def test_an_endpoint_lives_through_every_verb(crm: Installation) -> None:
    async with Receiver() as receiver:
        made, secret = await endpoint(crm, receiver, display_name=" ERP  系统 ")
        assert (made.display_name, made.version, made.enabled, made.url) == ("ERP 系统", 1, True, receiver.url)
        assert secret.startswith("whsec_")
        key = {"webhook_endpoint_id": made.id}
        changed = await crm.ask("UpdateWebhookEndpoint", role="ADMINISTRATOR", version=1, update_mask=mask("enabled", "event_types"),
                                enabled=False, event_types=["crm.sales.v1.OrderCreated"], **key)  # fmt: skip
        assert (changed.webhook_endpoint.enabled, list(changed.webhook_endpoint.event_types)) == (False, ["crm.sales.v1.OrderCreated"])
        assert await read(crm, made) == changed.webhook_endpoint
        found = await crm.ask("ListWebhookEndpoints", role="ADMINISTRATOR", page_size=100)
        assert made.id in [one.id for one in found.webhook_endpoints]
        assert (await crm.ask("ArchiveWebhookEndpoint", role="ADMINISTRATOR", **key)).webhook_endpoint.HasField("archive_time")
        again = crm.ask("UpdateWebhookEndpoint", version=3, update_mask=mask("enabled"), enabled=True, **key)
        await refused(crm, ENDPOINTS, again, "ARCHIVED", record_id=made.id)
        await refused(crm, ENDPOINTS, crm.ask("SendWebhookEndpointTest", **key), "ARCHIVED", record_id=made.id)
        assert not (await crm.ask("RestoreWebhookEndpoint", role="ADMINISTRATOR", **key)).webhook_endpoint.HasField("archive_time")
        test = crm.ask("SendWebhookEndpointTest", role="ADMINISTRATOR", **key)
        await refused(crm, ENDPOINTS, test, "WEBHOOK_DISABLED", record_id=made.id)
        await end(crm, made)
        entries = await crm.suite["organization"].database["audit_entries"].find({"record_id": made.id}).sort("version", 1).to_list()
        done = ("Created", "Updated", "Archived", "Restored", "Archived")
        assert [entry["action"] for entry in entries] == [f"WebhookEndpoint{one}" for one in done]


@pytest.mark.parametrize(("more", "code", "field"), [
    ({"display_name": " "}, "INVALID_ARGUMENT", "display_name"),
    ({"url": "http://erp.example.com/"}, "WEBHOOK_URL_REFUSED", "url"),
    ({"url": "https://10.0.0.1/"}, "WEBHOOK_URL_REFUSED", "url"),
    ({"url": ""}, "INVALID_ARGUMENT", "url"),
    ({"event_types": []}, "INVALID_ARGUMENT", "event_types"),
    ({"event_types": ["crm.sales.v1.OpportunityWin"]}, "EVENT_TYPE_UNKNOWN", "event_types[0]"),
    ({"event_types": ["crm.sales.v1.Order"]}, "EVENT_TYPE_UNKNOWN", "event_types[0]"),
])  # fmt: skip
async def test_what_cannot_be_an_endpoint_is_refused(crm: Installation, more: dict[str, Any], code: str, field: str) -> None:
    values = {"display_name": "x", "url": "https://erp.example.com/", "event_types": ["crm.sales.v1.OrderCreated"], **more}
    await refused(crm, ENDPOINTS, crm.ask("CreateWebhookEndpoint", role="ADMINISTRATOR", **values), code, field=field)


async def test_who_may_not_give_rights_makes_no_endpoint(crm: Installation) -> None:
    permissions = [{"resource": "webhook_endpoints", "action": action, "scope": 5} for action in ("read", "create", "update", "archive")]
    role = (await crm.ask("CreateRoleDefinition", name=new_id(), permissions=permissions)).role_definition
    key = await crm.ask("CreateApiKey", name="x", role_definition_ids=[role.id], expire_time={"seconds": int(time.time()) + 3600})
    token = (await crm.ask("ExchangeApiKey", role="", secret=key.secret)).access_token
    await crm.until(lambda: (role.id, "webhook_endpoints", "create") in crm.suite["organization"].authority.directory.grants)
    values = {"display_name": "x", "url": "https://erp.example.com/", "event_types": ["crm.sales.v1.OrderCreated"]}
    await refused(crm, ENDPOINTS, crm.ask("CreateWebhookEndpoint", role=token, **values), "NOT_ALLOWED")


async def test_a_fact_is_told_signed_and_thin(crm: Installation) -> None:
    async with Receiver() as receiver:
        made, secret = await endpoint(crm, receiver)
        sold = await product(crm)
        (row,) = await become(crm, made, "DELIVERED")
        (got,) = receiver.got
        assert got.is_from(secret)
        assert got.identity == row.id == f"{row.event_id}-{made.id}"
        assert got.told["type"] == row.event_type == "crm.sales.v1.ProductCreated"
        assert got.told["data"] == {
            "event_id": row.event_id, "record_type": "Product", "record_id": to_global("Product", sold.id), "record_version": 1
        }  # fmt: skip
        assert "秘密" not in got.body.decode()
        assert sold.code not in got.body.decode()
        (attempt,) = row.attempts
        assert (attempt.status, attempt.reason, row.attempt_count, row.record_id) == (204, "", 1, sold.id)
        assert row.HasField("deliver_time")
        await end(crm, made)
        await product(crm)
        await crm.settled()
        assert len(await deliveries(crm, made)) == 1


async def test_what_concerns_a_customer_names_it_and_what_was_before_the_endpoint_is_not_told(crm: Installation) -> None:
    before = (await crm.ask("CreateCustomer", role="COORDINATOR", name="从前", kind=1)).customer
    async with Receiver() as receiver:
        made, _ = await endpoint(crm, receiver, "crm.customer.v1.CustomerCreated", "crm.customer.v1.CustomerUpdated")
        since = (await crm.ask("CreateCustomer", role="COORDINATOR", name="后来", kind=1)).customer
        await crm.ask("UpdateCustomer", role="COORDINATOR", customer_id=before.id, version=1, update_mask=mask("name"), name="改名")
        await crm.settled()
        told = {(one.event_type.rpartition(".")[2], one.customer_id) for one in await become(crm, made, "DELIVERED", "DELIVERED")}
        assert told == {("CustomerCreated", since.id), ("CustomerUpdated", before.id)}
        assert {one.told["data"]["customer_id"] for one in receiver.got} == {to_global("Customer", one.id) for one in (before, since)}
        await end(crm, made)


async def test_what_fails_is_tried_again_under_the_same_id(crm: Installation) -> None:
    async with Receiver() as receiver:
        receiver.status, receiver.body = 500, b"an inner secret of the receiver"
        made, secret = await endpoint(crm, receiver)
        begun = datetime.now(UTC)
        await product(crm)
        await receiver.receives(1)

        async def noted() -> bool:
            return bool((await deliveries(crm, made))[0].attempt_count)

        await crm.until(noted)
        (row,) = await become(crm, made, "PENDING")
        assert (row.attempts[0].status, row.attempts[0].reason) == (500, "the receiver answered 500")
        delay = row.next_attempt_time.ToDatetime(UTC) - row.attempts[0].time.ToDatetime(UTC)
        assert timedelta(seconds=5) <= delay <= timedelta(seconds=6.001)
        assert (await read(crm, made)).failing_since_time.ToDatetime(UTC) >= begun - timedelta(seconds=1)
        stored = await crm.suite["organization"].database["webhook_deliveries"].find_one({"_id": row.id})
        assert "inner secret" not in str(stored)
        receiver.status = 200
        await due(crm.suite["organization"].database, made)
        (row,) = await become(crm, made, "DELIVERED")
        assert receiver.times == {row.id: 2}
        assert all(one.is_from(secret) for one in receiver.got)
        assert not (await read(crm, made)).HasField("failing_since_time")
        await end(crm, made)


async def test_a_redirection_is_not_followed(crm: Installation) -> None:
    async with Receiver() as elsewhere, Receiver() as receiver:
        receiver.status, receiver.location = 307, elsewhere.url
        made, _ = await endpoint(crm, receiver)
        await crm.ask("SendWebhookEndpointTest", role="ADMINISTRATOR", webhook_endpoint_id=made.id)
        await receiver.receives(1)
        (row,) = await become(crm, made, "PENDING")
        assert elsewhere.got == []
        assert row.event_type == "webhook.test"
        await end(crm, made)


async def test_who_is_gone_is_told_nothing_more(crm: Installation) -> None:
    async with Receiver() as receiver:
        receiver.status = 410
        made, _ = await endpoint(crm, receiver)
        await product(crm)
        await become(crm, made, "FAILED")

        async def disabled() -> bool:
            return not (await read(crm, made)).enabled

        await crm.until(disabled)
        assert (await read(crm, made)).disable_reason == Reason.WEBHOOK_ENDPOINT_DISABLE_REASON_GONE
        facts = crm.suite["organization"].database["outbox"]
        assert await facts.find_one({"headers.ce-subject": made.id, "headers.ce-type": "crm.organization.v1.WebhookEndpointDisabled"})
        await product(crm)
        await crm.settled()
        assert len(await deliveries(crm, made)) == 1
        receiver.status = 200
        enabled = await crm.ask("UpdateWebhookEndpoint", role="ADMINISTRATOR", webhook_endpoint_id=made.id, version=2,
                                update_mask=mask("enabled"), enabled=True)  # fmt: skip
        assert enabled.webhook_endpoint.disable_reason == Reason.WEBHOOK_ENDPOINT_DISABLE_REASON_UNSPECIFIED
        assert not enabled.webhook_endpoint.HasField("failing_since_time")
        replayed = await crm.ask("ReplayWebhookEndpoint", role="ADMINISTRATOR", webhook_endpoint_id=made.id)
        assert replayed.replayed == 1
        await become(crm, made, "DELIVERED")
        await end(crm, made)


async def test_an_endpoint_through_which_nothing_gets_for_five_days_is_disabled(crm: Installation) -> None:
    async with Receiver() as receiver:
        receiver.status = 503
        made, _ = await endpoint(crm, receiver)
        rows = crm.suite["organization"].database["webhook_endpoints"]
        await rows.update_one({"_id": made.id}, {"$set": {"failing_since_time": datetime.now(UTC) - timedelta(days=5)}})
        await product(crm)

        async def disabled() -> bool:
            return not (await read(crm, made)).enabled

        await crm.until(disabled)
        found = await read(crm, made)
        assert (found.disable_reason, found.version) == (Reason.WEBHOOK_ENDPOINT_DISABLE_REASON_FAILING, 2)
        await become(crm, made, "PENDING")  # what waits is sent once the endpoint is enabled again
        await end(crm, made)


async def test_a_rotated_secret_signs_beside_the_new_one_until_its_end(crm: Installation) -> None:
    async with Receiver() as receiver:
        made, first = await endpoint(crm, receiver)
        rotated = await crm.ask("RotateWebhookEndpointSecret", role="ADMINISTRATOR", webhook_endpoint_id=made.id)
        assert rotated.webhook_endpoint.HasField("rotate_time")
        await product(crm)
        await receiver.receives(1)
        assert receiver.got[0].is_from(first)
        assert receiver.got[0].is_from(rotated.secret)
        secrets = crm.suite["organization"].database["webhook_secrets"]
        await secrets.update_one({"_id": made.id}, {"$set": {"secrets.1.until": datetime.now(UTC) - timedelta(seconds=1)}})
        await product(crm)
        await receiver.receives(2)
        assert receiver.got[1].is_from(rotated.secret)
        with pytest.raises(WebhookVerificationError):
            receiver.got[1].is_from(first)
        await end(crm, made)
    database = crm.suite["organization"].database
    for name in await database.list_collection_names():
        async for row in database[name].find():
            assert first not in str(row), name
            assert rotated.secret not in str(row), name


async def test_one_delivery_or_all_that_failed_since_a_time_is_sent_again(crm: Installation) -> None:
    async with Receiver() as receiver:
        made, _ = await endpoint(crm, receiver)
        await product(crm)
        (row,) = await become(crm, made, "DELIVERED")
        again = await crm.ask("ReplayWebhookDelivery", role="ADMINISTRATOR", webhook_delivery_id=row.id)
        assert not again.webhook_delivery.HasField("deliver_time")
        await receiver.receives(2)
        (row,) = await become(crm, made, "DELIVERED")
        assert (receiver.times, row.attempt_count) == ({row.id: 2}, 2)
        for _ in range(3):
            await product(crm)
        await become(crm, made, *["DELIVERED"] * 4)
        newest = (await deliveries(crm, made))[:3]
        rows = crm.suite["organization"].database["webhook_deliveries"]
        await rows.update_many({"_id": {"$in": [one.id for one in newest]}}, {"$set": {"state": "FAILED"}})
        key = {"webhook_endpoint_id": made.id}
        since = max(one.event_time.ToDatetime(UTC) for one in newest)
        first = await crm.ask("ReplayWebhookEndpoint", role="ADMINISTRATOR", since_time=since, **key)
        rest = await crm.ask("ReplayWebhookEndpoint", role="ADMINISTRATOR", **key)
        assert (first.replayed, rest.replayed) == (1, 2)
        await receiver.receives(8)
        await become(crm, made, *["DELIVERED"] * 4)
        assert sorted(receiver.times.values()) == [2, 2, 2, 2]
        entries = crm.suite["organization"].database["audit_entries"]
        assert await entries.count_documents({"record_id": row.id, "action": "WebhookDeliveryReplayed"}) == 1
        await end(crm, made)


async def test_a_slow_endpoint_holds_up_no_other(crm: Installation) -> None:
    async with Receiver() as slow, Receiver() as quick:
        slow.pause = 4
        (first, _), (second, _) = await endpoint(crm, slow), await endpoint(crm, quick)
        for _ in range(6):
            await product(crm)
        begun = time.monotonic()
        await become(crm, second, *["DELIVERED"] * 6)
        assert time.monotonic() - begun < 3
        assert len(slow.got) == 4  # beside each other, and no more
        slow.pause = 0
        await end(crm, first)
        await end(crm, second)


async def test_there_are_fifty_endpoints_at_most(crm: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as receiver:
        made, _ = await endpoint(crm, receiver)
        monkeypatch.setattr(model, "MOST_ENDPOINTS", 1)
        with pytest.raises(CrmError) as found:
            await endpoint(crm, receiver)
        assert found.value.code == "WEBHOOK_ENDPOINTS_FULL"
        await end(crm, made)


async def test_an_administrator_works_with_webhooks_in_the_graph(crm: Installation) -> None:
    async with Receiver() as receiver:
        create = """mutation($input: WebhookEndpointCreateInput!) { webhookEndpointCreate(input: $input) {
            webhookEndpoint { id enabled eventTypes } secret errors { code path } } }"""
        values = {"displayName": "ERP", "url": receiver.url, "eventTypes": ["crm.sales.v1.ProductCreated"]}
        made = (await crm.data(create, "ADMINISTRATOR", input=values))["webhookEndpointCreate"]
        assert made["errors"] == []
        key = made["webhookEndpoint"]["id"]
        send = "mutation($id: ID!) { webhookEndpointSendTest(input: {webhookEndpointId: $id}) { webhookDelivery { id state } errors { code } } }"
        sent = (await crm.data(send, "ADMINISTRATOR", id=key))["webhookEndpointSendTest"]
        assert sent["webhookDelivery"]["state"] == "PENDING"
        await receiver.receives(1)
        assert receiver.got[0].is_from(made["secret"])
        await product(crm)
        await receiver.receives(2)
        log = """query($id: ID!) { webhookDeliveries(first: 1, filter: {webhookEndpointId: {eq: $id}}) {
            nodes { eventType } pageInfo { hasNextPage } } }"""
        page = (await crm.data(log, "ADMINISTRATOR", id=key))["webhookDeliveries"]
        assert page["nodes"] == [{"eventType": "crm.sales.v1.ProductCreated"}]
        assert page["pageInfo"]["hasNextPage"]
        assert (await crm.graph(log, "COORDINATOR", id=key))["errors"][0]["extensions"]["code"] == "NOT_ALLOWED"
        replay = (
            "mutation($id: ID!) { webhookDeliveryReplay(input: {webhookDeliveryId: $id}) { webhookDelivery { state } errors { code } } }"
        )
        again = (await crm.data(replay, "ADMINISTRATOR", id=sent["webhookDelivery"]["id"]))["webhookDeliveryReplay"]
        assert (again["webhookDelivery"], again["errors"]) == ({"state": "PENDING"}, [])
        await receiver.receives(3)
        archive = "mutation($id: ID!) { webhookEndpointArchive(input: {webhookEndpointId: $id}) { errors { code } } }"
        assert (await crm.data(archive, "ADMINISTRATOR", id=key))["webhookEndpointArchive"]["errors"] == []
