"""Campaigns and their messages: states, money, what a contact did, counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.kernel.errors import Invalid, WrongState
from services.marketing.campaigns import model as campaigns
from services.marketing.campaigns import template
from services.marketing.messages import model as messages
from services.marketing.messages.mail import Mail, PutOff, Refused, ServerAway, judged
from services.marketing.messages.unsubscribing import WayOut

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
def test_what_nothing_sends_is_not_launched(channel: str) -> None:
    whole = {"state": "DRAFT", "channel": channel, "segment_id": "s", "subject": "t", "body": "b"}
    later = NOW + timedelta(1)
    for action in (
        lambda: campaigns.launched(whole), lambda: campaigns.scheduled(whole, later, NOW),
        *(lambda state=state: campaigns.check({**whole, "state": state}) for state in campaigns.ACTIVE),
    ):  # fmt: skip
        with pytest.raises(Invalid) as refused:
            action()
        assert (refused.value.code, refused.value.field) == ("CHANNEL_WITHOUT_SENDER", "channel")
        assert channel.lower() in refused.value.message
    for state in ("DRAFT", "COMPLETED", "CANCELLED"):  # planned and recorded it can be
        campaigns.check({**whole, "state": state})


@pytest.mark.parametrize(("text", "why"), [
    ("Dear {firstName}", "no variable «{firstName}»; known are {name}"), ("{Name}", "no variable «{Name}»"), ("{}", "no variable «{}»"),
    ("{unsubscribe_url}", "no variable"), ("{name", "stands alone"), ("name}", "stands alone"), ("{{a}", "stands alone"),
    ("{{name}}", "write {name}"), ("｛name｝", "write {name}"), ("{{ name }}", "write {name}"), ("{na{name}me}", "stands alone"),
])  # fmt: skip
def test_a_text_that_would_not_be_sent_as_it_is_meant_is_refused_at_launch(text: str, why: str) -> None:
    whole = {"state": "DRAFT", "channel": "EMAIL", "segment_id": "s", "subject": "t", "body": "b"}
    with pytest.raises(Invalid, match=re.escape(why)) as refused:
        campaigns.launched({**whole, "subject": text})
    assert (refused.value.code, refused.value.field) == ("CAMPAIGN_TEXT_INVALID", "subject")
    if text != "{unsubscribe_url}":
        with pytest.raises(Invalid, match=re.escape(why.partition(";")[0])) as refused:
            campaigns.launched({**whole, "body": text})
        assert refused.value.field == "body"


def test_a_text_with_known_variables_and_doubled_braces_is_launched() -> None:
    whole = {"state": "DRAFT", "channel": "EMAIL", "segment_id": "s"}
    texts = {"subject": "{name} { name } {{x}} ｛x｝", "body": "{name} {unsubscribe_url} {{}} {{{name}}}"}
    assert campaigns.launched({**whole, **texts}) == {"state": "PREPARING"}


@given(st.text(alphabet="{}an ", max_size=12))
def test_what_passes_the_check_leaves_no_brace_that_was_not_doubled(text: str) -> None:
    if not template.fault(text, ("a",)):
        escaped = text.count("{{") + text.count("}}")
        out = template.rendered(text, {"a": "X"})
        assert out.count("{") + out.count("}") <= escaped


@given(st.text(max_size=40))
def test_every_text_can_be_written_by_doubling_its_braces(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert template.rendered(doubled, {"name": "X"}) == text


@pytest.mark.parametrize(("state", "channel", "body", "wanted"), [
    ("RUNNING", "SMS", "b", "COMPLETED"), ("PAUSED", "EVENT", "b", "COMPLETED"), ("PREPARING", "SOCIAL", "b", "COMPLETED"),
    ("SCHEDULED", "SMS", "b", "DRAFT"), ("SCHEDULED", "EMAIL", "{x}", "DRAFT"), ("SCHEDULED", "EMAIL", "b", None), ("RUNNING", "EMAIL", "{x}", None),
])  # fmt: skip
def test_what_an_earlier_build_let_run_in_vain_is_ended_with_its_reason(state: str, channel: str, body: str, wanted: str | None) -> None:
    found = campaigns.withdrawn({"state": state, "channel": channel, "segment_id": "s", "subject": "t", "body": body})
    assert (found or {}).get("state") == wanted
    assert found is None or found["state_reason"]


def test_cost_adds_up_within_the_budget() -> None:
    assert campaigns.with_cost({"budget": money(100), "cost": money(40)}, money(60)) == {"cost": money(100)}
    assert campaigns.with_cost({}, money(60)) == {"cost": money(60)}
    assert campaigns.with_cost({"budget": money(100), "cost": money(60)}, money(-20)) == {"cost": money(40)}
    assert campaigns.with_cost({"cost": money(60)}, money(-60)) == {"cost": money(0)}
    # What was spent beyond a budget that is smaller now can be taken back all the same.
    assert campaigns.with_cost({"budget": money(10), "cost": money(60)}, money(-20)) == {"cost": money(40)}
    for campaign, amount, code in (
        ({"budget": money(100), "cost": money(40)}, money(61), "BUDGET_EXCEEDED"),
        ({"budget": money(100)}, money(1, "EUR"), "CURRENCY_MIXED"),
        ({"cost": money(1)}, money(1, "EUR"), "CURRENCY_MIXED"),
        ({}, money(0), "INVALID_ARGUMENT"),
        ({}, money(-5), "COST_BELOW_ZERO"),
        ({"cost": money(4)}, money(-5), "COST_BELOW_ZERO"),
        ({"cost": money(4)}, money(-4, "EUR"), "CURRENCY_MIXED"),
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


def test_variables_of_subject_and_text_are_replaced_and_the_way_out_stands_in_every_mail() -> None:
    message = {"contact_name": "李 {x} {name}"}
    campaign = {"subject": "{name}\n您好 {{1}}", "body": "你好 {name}, {other} {0} {{x}} {"}
    assert messages.subject_of(campaign, message) == "李 {x} {name} 您好 {1}"
    text = messages.text_of(campaign, message, "https://out")
    assert text == "你好 李 {x} {name}, {other} {0} {x} {\n\n-- \n退订 / Unsubscribe: https://out\n"
    assert messages.text_of({"body": "Hi {name}! {unsubscribe_url}"}, {}, "https://out") == "Hi ! https://out"
    assert "https://out" in messages.text_of({"body": "{{unsubscribe_url}}"}, {}, "https://out")


@pytest.mark.parametrize(("one", "other"), [
    ("Li@Example.com", "li@example.COM"), ("ｌｉ＠ｅｘａｍｐｌｅ．ｃｏｍ", "li@example.com"), ("li@bücher.example", "LI@xn--bcher-kva.example"),
    (" li@example.com ", "li@example.com"), ("STRASSE@x.example", "strasse@X.example"), ("li@例子.中国", "li@xn--fsqu00a.xn--fiqs8s"),
])  # fmt: skip
def test_spellings_of_one_address_are_one(one: str, other: str) -> None:
    assert messages.address_key(one) == messages.address_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("li@a.example", "li@b.example"), ("li+1@a.example", "li@a.example"), ("l.i@a.example", "li@a.example")]
)
def test_different_mailboxes_are_different(one: str, other: str) -> None:
    assert messages.address_key(one) != messages.address_key(other)


@given(st.text(max_size=30))
def test_the_key_of_a_key_is_itself(text: str) -> None:
    key = messages.address_key(text)
    louder = "".join(sign.upper() if sign.isascii() else sign for sign in key)  # beyond ASCII a capital may have two small letters: ı, i
    assert messages.address_key(key) == messages.address_key(louder) == key


CONTACT, CUSTOMER = {"email": "a@b.example"}, {"lifecycle": "ACTIVE"}


@pytest.mark.parametrize(("contact", "customer", "inside", "complaint", "reason"), [
    (CONTACT, CUSTOMER, True, False, None), (CONTACT | {"preferred_channel": "EMAIL"}, CUSTOMER, True, False, None),
    (CONTACT | {"preferred_channel": "WECHAT"}, CUSTOMER, True, False, "OTHER_CHANNEL"), (None, CUSTOMER, True, False, "CONTACT_ARCHIVED"),
    (CONTACT | {"archive_time": NOW}, CUSTOMER, True, False, "CONTACT_ARCHIVED"), (CONTACT | {"do_not_contact": True}, CUSTOMER, True, False, "DO_NOT_CONTACT"),
    ({}, CUSTOMER, True, False, "NO_ADDRESS"), (CONTACT, None, True, False, "CUSTOMER_ARCHIVED"),
    (CONTACT, CUSTOMER | {"archive_time": NOW}, True, False, "CUSTOMER_ARCHIVED"), (CONTACT, CUSTOMER, False, False, "NOT_IN_SEGMENT"),
    (CONTACT, {"erase_time": NOW, "archive_time": NOW}, True, False, "CUSTOMER_ERASED"), (CONTACT, {"lifecycle": "CHURN"}, True, False, "CUSTOMER_CHURNED"),
    (CONTACT, CUSTOMER, True, True, "OPEN_COMPLAINT"),
])  # fmt: skip
def test_who_is_not_to_be_told_any_more_is_dropped_with_the_reason(
    contact: dict[str, Any] | None, customer: dict[str, Any] | None, inside: bool, complaint: bool, reason: str | None
) -> None:
    campaign = {"channel": "EMAIL", "segment_id": "s"}
    found = messages.unwanted(campaign, contact, customer, inside=inside, complaint=complaint)
    assert (found[0] if found else None) == reason
    assert found is None or (found[1] and "{" not in found[1] and "None" not in found[1])
    if found:
        assert messages.dropped({}, *found) == {"state": "DROPPED", "drop_reason": reason, "drop_text": found[1], "due_time": None}


def test_a_campaign_without_segment_asks_for_no_membership() -> None:
    assert messages.unwanted({"channel": "EMAIL"}, CONTACT, CUSTOMER, inside=False, complaint=False) is None


def test_what_is_put_off_waits_longer_each_time_and_is_given_up_after_two_days_with_the_servers_words() -> None:
    message: dict[str, Any] = {"state": "PLANNED"}
    pauses = []
    while message["state"] == "PLANNED":
        message |= messages.put_off(message, f"450 try {len(pauses)}", NOW)
        if message["due_time"]:
            pauses.append((message["due_time"] - NOW).total_seconds())
    assert pauses == sorted(pauses)
    assert pauses[:4] == [60, 300, 1800, 7200]
    assert 1.5 * 86400 < sum(pauses) < 3 * 86400
    assert (message["state"], message["attempts"], message["failure"]) == ("FAILED", len(pauses) + 1, f"450 try {len(pauses)}")


@pytest.mark.parametrize(("code", "words", "of_recipient", "kind", "bounced"), [
    (450, "4.2.0 greylisted", True, PutOff, None), (451, "local error", True, PutOff, None), (452, "4.2.2 mailbox full", True, PutOff, None),
    (450, "later", False, PutOff, None), (421, "4.3.2 closing", True, ServerAway, None), (421, "closing", False, ServerAway, None),
    (550, "5.1.1 no such user", True, Refused, True), (550, "5.1.1 no such user", False, Refused, True), (550, "no such user", True, Refused, True),
    (551, "not local", True, Refused, True), (553, "5.1.3 bad syntax", True, Refused, True), (550, "5.2.1 mailbox disabled", True, Refused, True),
    (550, "5.7.1 blocked by policy", True, Refused, False), (554, "5.7.1 spam", False, Refused, False), (550, "content rejected", False, Refused, False),
    (552, "5.2.2 mailbox full", True, Refused, False), (554, "transaction failed", True, Refused, False), (552, "too large", False, Refused, False),
    (550, "5.1.10 null mx", True, Refused, True), (550, "5.1.12 something", True, Refused, False),
])  # fmt: skip
def test_an_answer_of_a_mail_server_is_understood(code: int, words: str, of_recipient: bool, kind: type, bounced: bool | None) -> None:
    found = judged(code, words, of_recipient=of_recipient)
    assert type(found) is kind
    assert f"{code} {words}" in str(found)
    assert bounced is None or (isinstance(found, Refused) and found.bounced == bounced)


def test_a_mail_is_lawful_mail() -> None:
    way_out = WayOut("https://news.example.com/", "secret").address("m" * 26)
    raw = Mail("m1", "li@example.com", "新品 " * 60, "你好", way_out, NOW).written("协同 <news@crm.example>")
    mail = message_from_bytes(raw, policy=default)
    assert mail["Message-ID"] == "<m1@crm.example>"
    assert mail["Date"].datetime == NOW
    assert (mail["From"], mail["To"], mail["MIME-Version"]) == ("协同 <news@crm.example>", "li@example.com", "1.0")
    assert mail["Subject"].split() == ["新品"] * 60
    assert (mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"]) == (f"<{way_out}>", "List-Unsubscribe=One-Click")
    assert f"List-Unsubscribe: <{way_out}>\r\n".encode() in raw, "no program reads an address that is encoded or folded"
    assert mail.get_content().strip() == "你好"
    assert max(map(len, raw.split(b"\r\n"))) < 998
    assert raw.isascii()


@given(st.text(max_size=200))
def test_a_subject_arrives_as_it_was_written(text: str) -> None:
    subject = " ".join(text.replace("\0", "").encode("utf-8", "ignore").decode().split())
    raw = Mail("m1", "li@example.com", subject, "t", "https://x/y", NOW).written("news@crm.example")
    assert str(make_header(decode_header(message_from_bytes(raw)["Subject"]))) == subject


@pytest.mark.parametrize("bad", ["a@b.example\nBcc: x@y.example", "é@b.example"])
def test_an_address_that_cannot_stand_in_a_header_does_not_get_there(bad: str) -> None:
    try:
        raw = Mail("m1", bad, "s", "t", "https://x/y", NOW).written("news@crm.example")
    except ValueError:
        return
    assert b"\r\nBcc:" not in raw


def test_nobody_finds_the_way_out_of_anothers_mail() -> None:
    ours = WayOut("https://news.example.com", "secret")
    token = ours.address("m1").rpartition("/")[2]
    assert WayOut("https://elsewhere", "secret").is_known("m1", token), "it holds after a start and under another host"
    assert len(token) >= 22
    for identity, given_ in (("m2", token), ("m1", ""), ("m1", token[:-1]), ("m1", token + "x"), ("m1", "é"), ("m1", token.swapcase())):
        assert not ours.is_known(identity, given_)
    assert not WayOut("https://news.example.com", "other").is_known("m1", token)


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
    assert sums == {
        "planned_count": 1, "waiting_count": 0, "failed_count": 0, "dropped_count": 0, "sent_count": 1, "opened_count": 1, "clicked_count": 1,
        "unsubscribed_count": 1,
    }  # fmt: skip


def test_who_reports_a_mail_as_spam_wants_no_more() -> None:
    message: dict[str, Any] = {"state": "OPENED", "sent_time": NOW, "opened_time": NOW}
    after = {**message, **messages.noticed(message, "COMPLAINED", NOW)}
    assert (after["state"], after["complained_time"], after["unsubscribed_time"]) == ("UNSUBSCRIBED", NOW, NOW)
    assert (messages.suppresses(message, after), messages.suppresses(after, after)) == ("COMPLAINT", "")
    assert messages.noticed(after, "COMPLAINED", NOW + timedelta(1)) == {}
    assert messages.suppresses(None, {"state": "UNSUBSCRIBED", "unsubscribed_time": NOW}) == "UNSUBSCRIBED", "an imported one too"
    for bounced, wanted in ((True, "HARD_BOUNCE"), (False, "")):
        assert messages.suppresses(message, {**message, **messages.failed(message, "550", bounced=bounced)}) == wanted


def test_the_number_of_those_that_wait_follows_the_messages() -> None:
    life: list[dict[str, Any]] = [{"state": "PLANNED"}]
    life.append({**life[-1], **messages.put_off(life[-1], "450", NOW)})
    assert [messages.steps(before, after)["waiting_count"] for before, after in zip([None, *life], life, strict=False)] == [1, 0]
    for end, count in ((messages.failed({}, "x"), "failed_count"), (messages.dropped({}, "CAMPAIGN_OVER", "x"), "dropped_count")):
        found = messages.steps(life[-1], {**life[-1], **end})
        assert (found["waiting_count"], found[count]) == (-1, 1)


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
    whole: dict[str, Any] = {
        "state": "DRAFT",
        "channel": "EMAIL",
        "segment_id": "s",
        "subject": "t",
        "body": "b",
        "end_time": NOW + timedelta(2),
    }
    assert campaigns.scheduled(whole, NOW + timedelta(1), NOW) == {"state": "SCHEDULED", "start_time": NOW + timedelta(1)}
    for campaign, start, code in (
        (whole, NOW, "TIME_IN_PAST"),
        (whole, NOW + timedelta(3), "CAMPAIGN_TIMES_REVERSED"),
        ({**whole, "body": ""}, NOW + timedelta(1), "CAMPAIGN_INCOMPLETE"),
        ({**whole, "body": "{x}"}, NOW + timedelta(1), "CAMPAIGN_TEXT_INVALID"),
    ):
        with pytest.raises(Invalid) as refused:
            campaigns.scheduled(campaign, start, NOW)
        assert refused.value.code == code
    with pytest.raises(Invalid) as refused:
        campaigns.check({**whole, "state": "SCHEDULED"})
    assert (refused.value.code, refused.value.field) == ("CAMPAIGN_INCOMPLETE", "start_time")
