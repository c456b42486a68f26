"""Webhooks: signatures as another library checks them, the schedule, the secrets of a rotation, and where nothing may be sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from chassis.kernel.addresses import networks_of
from chassis.kernel.errors import Invalid
from chassis.kernel.signatures import living, new_secret, rotated, signatures
from gateway.graph.contract import from_global, to_global
from services.organization.webhook_deliveries import model as deliveries
from services.organization.webhook_endpoints import model
from services.organization.webhook_endpoints.destinations import Destinations

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)
KNOWN = frozenset(
    ("crm.sales.v1.OpportunityWon", "crm.sales.v1.OpportunityLost", "crm.sales.v1.OrderCreated", "crm.support.v1.TicketClosed")
)
INTERNET = Destinations()


# ---- signatures


def headers(identity: str, timestamp: int, signatures: str) -> dict[str, str]:
    return {"webhook-id": identity, "webhook-timestamp": str(timestamp), "webhook-signature": signatures}


@given(st.binary(max_size=300), st.text("abcdefghjkmnpqrstvwxyz0123456789-", min_size=1, max_size=53))
def test_a_signature_is_that_of_the_reference_library(payload: bytes, identity: str) -> None:
    secret, moment = new_secret(), datetime.now(UTC)
    body = orjson.dumps({"data": payload.hex()})
    signed = signatures([secret], identity, int(moment.timestamp()), body)
    assert signed == Webhook(secret).sign(identity, moment, body.decode())
    assert Webhook(secret).verify(body, headers(identity, int(moment.timestamp()), signed)) == orjson.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers(identity, int(moment.timestamp()), signed))


def test_a_rotated_secret_signs_a_day_longer_beside_the_new_one() -> None:
    first, second = new_secret(), new_secret()
    kept = rotated([{"key": first}], {"key": second}, T0)
    assert [one["key"] for one in living(kept, T0 + timedelta(hours=23, minutes=59))] == [second, first]
    assert [one["key"] for one in living(kept, T0 + timedelta(hours=24))] == [second]
    now = datetime.now(UTC)
    signed = signatures([second, first], "msg", int(now.timestamp()), b"{}")
    for secret in (first, second):
        assert Webhook(secret).verify(b"{}", headers("msg", int(now.timestamp()), signed)) == {}


def test_of_many_rotations_the_three_newest_secrets_sign_and_none_lives_longer_by_the_next() -> None:
    kept: list[dict[str, Any]] = []
    for index in range(5):
        kept = rotated(kept, {"key": index}, T0 + timedelta(hours=index))
    assert [one["key"] for one in kept] == [4, 3, 2]
    assert [one.get("until") for one in kept] == [None, T0 + timedelta(hours=28), T0 + timedelta(hours=27)]


def test_a_secret_has_256_bits_and_no_two_are_alike() -> None:
    found = {new_secret() for _ in range(100)}
    assert len(found) == 100
    assert {len(secret) for secret in found} == {len("whsec_") + 44}


# ---- what is sent


def fact(**more: Any) -> dict[str, Any]:
    return {
        "event_id": "01ke", "event_type": "crm.sales.v1.OpportunityWon", "event_time": T0, "record_type": "crm.sales.v1.Opportunity",
        "record_id": "01ko", "record_version": 7, "customer_id": "01kc", **more,
    }  # fmt: skip


def test_a_delivery_tells_that_something_happened_and_not_what() -> None:
    row = deliveries.delivery_of(fact(), "01kp", T0)
    assert row["_id"] == "01ke-01kp"
    assert deliveries.payload(row) == {
        "type": "crm.sales.v1.OpportunityWon", "timestamp": "2026-11-24T08:00:00Z",
        "data": {"event_id": "01ke", "record_type": "Opportunity", "record_id": to_global("Opportunity", "01ko"), "record_version": 7,
                 "customer_id": to_global("Customer", "01kc")},
    }  # fmt: skip
    assert from_global(deliveries.payload(row)["data"]["record_id"], "Opportunity") == ("Opportunity", "01ko")
    assert "customer_id" not in deliveries.payload(deliveries.delivery_of(fact(customer_id=""), "01kp", T0))["data"]


# ---- when it is tried


def fail(row: dict[str, Any], moment: datetime, status: int = 500, spread: float = 0.0) -> dict[str, Any]:
    values = deliveries.after(row, deliveries.attempt(moment, status, 12, ""), spread)
    return {name: value for name, value in {**row, **values}.items() if value is not None}


def test_what_fails_is_tried_ten_times_in_three_days_and_then_no_more() -> None:
    row, moments = deliveries.delivery_of(fact(), "01kp", T0), []
    while row["state"] == "PENDING":
        moments.append(row["next_attempt_time"] - T0)
        row = fail(row, row["next_attempt_time"])
    hours = [0, 5, 305, 2105, 9305, 27305, 63305, 113705, 185705, 272105]
    assert moments == [timedelta(seconds=seconds) for seconds in hours]
    assert (row["state"], row["attempt_count"], len(row["attempts"]), "next_attempt_time" in row) == ("FAILED", 10, 10, False)
    assert row["attempts"][-1] == {
        "time": T0 + moments[-1], "status": 500, "duration_milliseconds": 12, "reason": "the receiver answered 500"
    }  # fmt: skip


def test_a_delay_grows_by_a_fifth_at_most() -> None:
    row = deliveries.delivery_of(fact(), "01kp", T0)
    assert fail(row, T0, spread=0.5)["next_attempt_time"] == T0 + timedelta(seconds=5.5)
    assert fail(row, T0, spread=1.0)["next_attempt_time"] == T0 + timedelta(seconds=6)


@pytest.mark.parametrize(("status", "state"), [
    (200, "DELIVERED"), (204, "DELIVERED"), (299, "DELIVERED"), (301, "PENDING"), (302, "PENDING"), (400, "PENDING"), (404, "PENDING"),
    (410, "FAILED"), (500, "PENDING"), (0, "PENDING"), (199, "PENDING"),
])  # fmt: skip
def test_two_hundreds_are_taken_gone_is_for_good_and_all_else_is_tried_again(status: int, state: str) -> None:
    assert fail(deliveries.delivery_of(fact(), "01kp", T0), T0, status)["state"] == state


def test_what_is_sent_again_is_tried_as_often_as_a_new_one_and_keeps_its_log_bounded() -> None:
    row = deliveries.delivery_of(fact(), "01kp", T0)
    for _ in range(3):
        while row["state"] == "PENDING":
            row = fail(row, row["next_attempt_time"])
        row = {name: value for name, value in {**row, **deliveries.again(T0)}.items() if value is not None}
    assert (row["state"], row["tries"], row["attempt_count"], len(row["attempts"]), row["next_attempt_time"]) == ("PENDING", 0, 30, 20, T0)


def test_an_endpoint_is_given_up_after_five_days_without_success() -> None:
    assert not model.is_given_up(T0, T0 + timedelta(days=5, seconds=-1))
    assert model.is_given_up(T0, T0 + timedelta(days=5))


# ---- what an endpoint may be


def endpoint(**more: Any) -> dict[str, Any]:
    return {"display_name": "ERP", "url": "https://erp.example.com/hooks", "event_types": ["crm.sales.v1.OpportunityWon"], **more}


def test_an_endpoint_is_completed() -> None:
    found = endpoint(display_name="  财务  系统 ")
    model.check(found, KNOWN, INTERNET)
    assert found["display_name"] == "财务 系统"


def test_a_fact_that_no_contract_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(Invalid) as found:
        model.check(endpoint(event_types=["crm.sales.v1.OrderCreated", "crm.sales.v1.OpportunityWin"]), KNOWN, INTERNET)
    assert (found.value.code, found.value.field) == ("EVENT_TYPE_UNKNOWN", "event_types[1]")
    assert "the nearest are crm.sales.v1.OpportunityWon, crm.sales.v1.OpportunityLost" in found.value.message


@pytest.mark.parametrize("url", [
    "http://erp.example.com/", "ftp://erp.example.com/", "erp.example.com", "https://", "https:///x", "https://user:pw@erp.example.com/",
    "https://erp.example.com/#x", "https://erp.example.com:22/", "https://erp.example.com:80/", "https://erp.example.com:0/",
    "https://erp.example.com:99999/", "https://erp.example.com/a b", "https://erp.example.com\\@10.0.0.1/", "https://例子.example/",
    "https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3:8443/", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/",
    "https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/", "https://a.0x/", "https://.example.com/", "https://[::1]x/",
    "http://127.0.0.1:9000/", "http://localhost:9000/", "https://[::1", "https://erp.example.com/\n", "",
])  # fmt: skip
def test_an_address_that_could_never_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as found:
        model.check(endpoint(url=url), KNOWN, INTERNET)
    assert (found.value.code, found.value.field) == ("WEBHOOK_URL_REFUSED", "url")


@pytest.mark.parametrize(
    "url", ["https://erp.example.com", "https://erp.example.com:8443/x?y=1", "https://8.8.8.8/", "https://[2606:4700::1]:1024/"]
)
def test_an_address_of_the_internet_is_taken(url: str) -> None:
    model.check(endpoint(url=url), KNOWN, INTERNET)


# ---- where nothing may be sent

INSIDE = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "2001:db8::1", "2001::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "100::1",
)  # fmt: skip
OUTSIDE = (
    "1.1.1.1",
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "2606:4700::1111",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
)


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_never_admitted(address: str) -> None:
    assert not INTERNET.admits(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_admitted(address: str) -> None:
    assert INTERNET.admits(address)


def test_the_operator_opens_networks_and_loopback_in_development_only() -> None:
    named = networks_of("10.20.0.0/16, 127.0.0.0/8,fd12::/16")
    office, laptop = Destinations(named), Destinations(named, development=True)
    assert [office.admits(one) for one in ("10.20.3.4", "::ffff:10.20.3.4", "fd12::1", "10.21.0.1", "127.0.0.1")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert laptop.admits("127.0.0.1")
    assert not laptop.admits("::1")
    laptop.check("http://127.0.0.1:9000/x")
    for one in (office, Destinations(development=True)):
        with pytest.raises(Invalid):
            one.check("http://127.0.0.1:9000/x")
    with pytest.raises(Invalid):
        laptop.check("http://10.20.3.4:9000/x")
