"""Campaigns and their messages: states, money, what a contact did, counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.kernel.errors import Invalid, WrongState
from services.marketing.campaigns import model as campaigns
from services.marketing.messages import model as messages

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
STATES = ("DRAFT", "SCHEDULED", "PREPARING", "RUNNING", "PAUSED", "COMPLETED", "CANCELLED")
ALLOWED = {
    ("DRAFT", "PREPARING"), ("PREPARING", "RUNNING"), ("PAUSED", "RUNNING"), ("RUNNING", "PAUSED"), ("RUNNING", "COMPLETED"),
    ("PAUSED", "COMPLETED"), ("DRAFT", "CANCELLED"), ("DRAFT", "SCHEDULED"), ("SCHEDULED", "SCHEDULED"), ("SCHEDULED", "DRAFT"),
    ("SCHEDULED", "PREPARING"), ("SCHEDULED", "CANCELLED"), ("PREPARING", "CANCELLED"), ("RUNNING", "CANCELLED"), ("PAUSED", "CANCELLED"),
}  # fmt: skip


def money(micros: int, currency: str = "CNY") -> dict[str, Any]:
    return {"currency_code": currency, "amount_micros": micros}


@pytest.mark.parametrize(("present", "following"), list(product(STATES, STATES)))
def test_a_campaign_goes_the_allowed_ways_only(present: str, following: str) -> None:
    if (present, following) in ALLOWED:
        assert campaigns.moved({"state": present}, following, "r") == {"state": following, "state_reason": "r"}
        assert campaigns.moved({"state": present}, following) == {"state": following}
    else:
        with pytest.raises(WrongState) as refused:
            campaigns.moved({"state": present}, following)
        assert refused.value.code == "CAMPAIGN_STATE_NOT_ALLOWED"


@pytest.mark.parametrize("state", STATES)
def test_only_a_draft_is_edited_and_only_a_paused_one_resumed(state: str) -> None:
    for rule, wanted in ((campaigns.must_be_draft, "DRAFT"), (campaigns.resumed, "PAUSED")):
        if state == wanted:
            assert rule({"state": state}) in (None, {"state": "RUNNING"})
        else:
            with pytest.raises(WrongState) as refused:
                rule({"state": state})
            assert refused.value.code == "CAMPAIGN_STATE_NOT_ALLOWED"


def test_times_and_money_must_make_sense() -> None:
    found: dict[str, Any] = {"start_time": NOW, "end_time": NOW, "budget": money(0)}
    campaigns.check(found)
    assert found["state"] == "DRAFT"
    for values, code, field in (
        ({"start_time": NOW, "end_time": NOW - timedelta(1)}, "CAMPAIGN_TIMES_REVERSED", "end_time"),
        ({"budget": money(-1)}, "INVALID_ARGUMENT", "budget"),
        ({"cost": money(-1)}, "INVALID_ARGUMENT", "cost"),
        ({"budget": money(1), "cost": money(1, "EUR")}, "CURRENCY_MIXED", "budget"),
    ):
        with pytest.raises(Invalid) as refused:
            campaigns.check(values)
        assert (refused.value.code, refused.value.field) == (code, field)


def test_a_mail_campaign_needs_audience_and_text_before_launch() -> None:
    complete = {"state": "DRAFT", "channel": "EMAIL", "segment_id": "s", "subject": "t", "body": "b"}
    assert campaigns.launched(complete) == {"state": "PREPARING"}
    for name in ("segment_id", "subject", "body"):
        with pytest.raises(Invalid) as refused:
            campaigns.launched({**complete, name: ""})
        assert refused.value.code == "CAMPAIGN_INCOMPLETE"


@pytest.mark.parametrize("channel", ["EVENT", "SMS", "SOCIAL"])
def test_what_is_no_mail_only_goes_on_record(channel: str) -> None:
    assert campaigns.launched({"state": "DRAFT", "channel": channel}) == {"state": "RUNNING"}
    # With a segment it must not be handed to the mail workers: it has neither subject nor text.
    assert campaigns.launched({"state": "DRAFT", "channel": channel, "segment_id": "s"}) == {"state": "RUNNING"}


def test_cost_adds_up_within_the_budget() -> None:
    assert campaigns.with_cost({"budget": money(100), "cost": money(40)}, money(60)) == {"cost": money(100)}
    assert campaigns.with_cost({}, money(60)) == {"cost": money(60)}
    for campaign, amount, code in (
        ({"budget": money(100), "cost": money(40)}, money(61), "BUDGET_EXCEEDED"),
        ({"budget": money(100)}, money(1, "EUR"), "CURRENCY_MIXED"),
        ({"cost": money(1)}, money(1, "EUR"), "CURRENCY_MIXED"),
        ({}, money(0), "INVALID_ARGUMENT"),
        ({}, money(-5), "INVALID_ARGUMENT"),
    ):
        with pytest.raises(Invalid) as refused:
            campaigns.with_cost(campaign, amount)
        assert refused.value.code == code


def test_a_planned_message_carries_what_the_contact_is() -> None:
    contact = SimpleNamespace(id="k1", customer_id="c1", email="li@example.com", name="李雷")
    assert messages.planned({"_id": "m1", "name": "春季"}, contact, NOW) == {
        "campaign_id": "m1", "customer_id": "c1", "contact_id": "k1", "address": "li@example.com", "contact_name": "李雷", "state": "PLANNED",
        "planned_time": NOW, "subject": "春季",
    }  # fmt: skip


def test_only_the_name_is_replaced_in_the_text() -> None:
    assert messages.text_of({"body": "你好 {name}, {other} {0} {"}, {"contact_name": "李雷"}) == "你好 李雷, {other} {0} {"
    assert messages.text_of({"body": "Hi {name}!"}, {}) == "Hi !"


@pytest.mark.parametrize("state", ["PLANNED", "FAILED", "DROPPED"])
@pytest.mark.parametrize("step", ["OPENED", "CLICKED", "UNSUBSCRIBED"])
def test_nothing_is_noticed_of_what_was_not_sent(state: str, step: str) -> None:
    with pytest.raises(WrongState) as refused:
        messages.noticed({"state": state}, step, NOW)
    assert refused.value.code == "MESSAGE_NOT_SENT"


def test_a_click_implies_an_open_and_nothing_goes_back_or_counts_twice() -> None:
    message: dict[str, Any] = {"state": "SENT", "sent_time": NOW}
    assert messages.noticed(message, "CLICKED", NOW) == {"opened_time": NOW, "clicked_time": NOW, "state": "CLICKED"}
    message |= messages.noticed(message, "UNSUBSCRIBED", NOW)
    assert message["state"] == "UNSUBSCRIBED"
    assert messages.noticed(message, "OPENED", NOW + timedelta(1)) == {"opened_time": NOW + timedelta(1)}
    assert messages.noticed(message, "UNSUBSCRIBED", NOW + timedelta(1)) == {}


def test_counts_follow_a_message_through_its_life_once_each() -> None:
    sums: dict[str, int] = {}
    life: list[dict[str, Any]] = [{"state": "PLANNED"}]
    life.append({**life[-1], **messages.sent(life[-1], NOW)})
    for step in ("OPENED", "OPENED", "CLICKED", "UNSUBSCRIBED", "CLICKED"):
        life.append({**life[-1], **messages.noticed(life[-1], step, NOW)})
    for before, after in zip([None, *life], life, strict=False):
        for name, value in messages.steps(before, after).items():
            sums[name] = sums.get(name, 0) + value
    assert sums == {"planned_count": 1, "failed_count": 0, "sent_count": 1, "opened_count": 1, "clicked_count": 1, "unsubscribed_count": 1}


def test_a_failure_is_counted_once_and_cut() -> None:
    failed = {"state": "PLANNED", **messages.failed({}, "x" * 900)}
    assert (failed["state"], len(failed["failure"])) == ("FAILED", 500)
    assert messages.steps({"state": "PLANNED"}, failed)["failed_count"] == 1
    assert messages.steps(failed, failed)["failed_count"] == 0


def test_an_imported_message_must_not_contradict_itself() -> None:
    found: dict[str, Any] = {}
    messages.check(found)
    assert found == {"state": "PLANNED"}
    for values, field in (
        ({"state": "SENT"}, "sent_time"),
        ({"state": "CLICKED", "clicked_time": NOW}, "sent_time"),
        ({"state": "OPENED", "sent_time": NOW, "opened_time": NOW - timedelta(1)}, "opened_time"),
    ):
        with pytest.raises(Invalid) as refused:
            messages.check(dict(values))
        assert refused.value.field == field


def test_a_campaign_is_scheduled_for_a_time_to_come_and_complete() -> None:
    draft: dict[str, Any] = {"state": "DRAFT", "channel": "EVENT", "end_time": NOW + timedelta(days=2)}
    assert campaigns.scheduled(draft, NOW + timedelta(1), NOW) == {"state": "SCHEDULED", "start_time": NOW + timedelta(1)}
    mail = {**draft, "channel": "EMAIL"}
    for campaign, start, code in (
        (draft, NOW, "TIME_IN_PAST"),
        (draft, NOW + timedelta(3), "CAMPAIGN_TIMES_REVERSED"),
        (mail, NOW + timedelta(1), "CAMPAIGN_INCOMPLETE"),
    ):
        with pytest.raises(Invalid) as refused:
            campaigns.scheduled(campaign, start, NOW)
        assert refused.value.code == code
    with pytest.raises(Invalid) as refused:
        campaigns.check({"state": "SCHEDULED", "channel": "EVENT"})
    assert (refused.value.code, refused.value.field) == ("CAMPAIGN_INCOMPLETE", "start_time")
