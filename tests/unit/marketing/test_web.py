"""The public page of unsubscribing: a look changes nothing, a click does, and only who got the mail gets there."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from chassis.kernel.errors import CrmError, WrongState
from chassis.rpc.errors import Unavailable
from services.marketing.messages.unsubscribing import WayOut
from services.marketing.settings import Settings, SettingsError
from services.marketing.web.app import build_app
from services.marketing.web.words import WORDS

OURS = WayOut("http://localhost", "secret")
PATH = OURS.address("m1").removeprefix("http://localhost")


class Department:
    """Notes what it is asked, and fails when told so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked = error, list[tuple[str, str]]()

    def ask(self, method: str, request: Any) -> Message | None:
        self.asked.append((method, request.campaign_message_id))
        if self.error:
            raise self.error
        return None


def test_a_look_changes_nothing_and_a_click_unsubscribes_as_often_as_it_comes() -> None:
    department = Department()
    client = build_app(department, OURS).test_client(use_cookies=False)
    page = client.get(PATH + "?lang=en")
    assert (page.status_code, department.asked) == (200, [])
    assert '<form method="post" action="?lang=en"><button' in page.text
    assert client.head(PATH).status_code == 200
    assert department.asked == []
    for data in ({"List-Unsubscribe": "One-Click"}, {}):  # a mail program's, without cookie and page before; and the button's
        answer = client.post(PATH, data=data, headers={"Accept-Language": "en"})
        assert (answer.status_code, WORDS["en"]["done"] in answer.text) == (200, True)
        assert "Set-Cookie" not in answer.headers
    assert department.asked == [("UnsubscribeMessage", "m1")] * 2


@pytest.mark.parametrize("path", [PATH[:-1], PATH + "x", PATH.replace("/m1/", "/m2/"), "/unsubscribe/m1/é", "/unsubscribe/m1/", "/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_guesses_gets_nowhere(path: str, method: str) -> None:
    department = Department()
    answer = getattr(build_app(department, OURS).test_client(), method)(path)
    assert (answer.status_code, department.asked) == (404, [])


@pytest.mark.parametrize("error", [
    Unavailable("marketing", timeout=True), TimeoutError(), WrongState("it was not sent", code="MESSAGE_NOT_SENT"), CrmError("x"), RuntimeError("x"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_whoever_cannot_be_served_now_is_told_to_come_again(error: Exception) -> None:
    app = build_app(Department(error), OURS)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = app.test_client().post(PATH + "?lang=en")
    assert (answer.status_code, WORDS["en"]["away"] in answer.text, answer.headers["Retry-After"]) == (503, True, "5")
    assert "Traceback" not in answer.text


def test_the_page_speaks_both_languages_and_tells_nobody_where_its_reader_was() -> None:
    client = build_app(Department(), OURS).test_client()
    assert WORDS["zh"].keys() == WORDS["en"].keys()
    assert '<html lang="zh-CN">' in client.get(PATH, headers={"Accept-Language": "fr"}).text
    page = client.get(PATH, headers={"Accept-Language": "en-GB"})
    assert '<html lang="en">' in page.text
    assert (page.headers["Referrer-Policy"], page.headers["X-Robots-Tag"]) == ("no-referrer", "noindex")
    assert "script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert client.get("/static/unsubscribe.css").status_code == 200


NEEDED = {
    "CRM_GRPC_ADDRESS": "127.0.0.1:0", "CRM_MONGO_URI": "x", "CRM_NATS_URL": "x", "CRM_SERVICE_SECRET": "x", "CRM_MASTER_KEYS": "A" * 43,
    "CRM_CUSTOMER_ADDRESS": "a:1", "CRM_SALES_ADDRESS": "a:1", "CRM_SUPPORT_ADDRESS": "a:1", "CRM_ORGANIZATION_ADDRESS": "a:1",
}  # fmt: skip


@pytest.mark.parametrize(("environment", "url", "good"), [
    ("development", "http://127.0.0.1:8411", True), ("production", "https://news.example.com", True), ("production", "http://news.example.com", False),
    ("production", "", False), ("development", "news.example.com", False), ("development", "ftp://x", False), ("development", "https://", False),
])  # fmt: skip
def test_the_way_out_is_one_that_mail_programs_take(environment: str, url: str, good: bool) -> None:
    values = NEEDED | {"CRM_ENVIRONMENT": environment, "CRM_UNSUBSCRIBE_URL": url}
    if good:
        assert Settings.from_env(values).unsubscribe_url == url
    else:
        with pytest.raises(SettingsError, match="CRM_UNSUBSCRIBE_URL"):
            Settings.from_env(values)
