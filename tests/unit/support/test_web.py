"""What a reader of the public FAQ is told when the department refuses, fails or is silent."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from crm.support.v1 import article_pb2, article_service_pb2
from google.protobuf.message import Message

from chassis.kernel.errors import Conflict, CrmError, Invalid, NotAllowed, NotFound, WrongState
from chassis.rpc.errors import Unavailable
from services.support.web.app import MOST_SEARCHES, build_app
from services.support.web.readers import Readers


class Failing:
    """A department of which every question ends like this."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def ask(self, method: str, request: Message) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (NotFound("gone"), 404, "no such article"),
        (Invalid("too long"), 400, "wrong with the request"),
        (WrongState("it is a draft"), 400, "wrong with the request"),
        (Unavailable("support", timeout=False), 503, "away for a moment"),
        (Unavailable("support", timeout=True), 503, "away for a moment"),
        (TimeoutError(), 503, "away for a moment"),
        (NotAllowed("the token of the edge has expired", code="UNAUTHENTICATED"), 503, "away for a moment"),
        (Conflict("too many at once", code="BUSY", retryable=True), 503, "away for a moment"),
        (CrmError("the department failed", code="INTERNAL"), 503, "away for a moment"),
        (RuntimeError("a fault of ours"), 500, "away for a moment"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_reader_is_told_what_they_can_do(error: Exception, status: int, words: str) -> None:
    answer = build_app(Failing(error), "secret").test_client().get("/faq?lang=en")
    assert (answer.status_code, words in answer.text) == (status, True)
    assert "Content-Security-Policy" in answer.headers
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert "Traceback" not in answer.text


def test_who_has_no_cookie_of_ours_is_the_one_reader_of_the_address_and_the_day() -> None:
    readers, day = Readers("secret"), 86400.0
    today = readers.of("", "192.0.2.1", day)
    for cookie in ("", "forged", "forged.forged", f"{today}.x", f".{today}", Readers("other").cookie("r")):
        assert readers.of(cookie, "192.0.2.1", day) == today
    assert readers.of("", "2001:db8:1:2::1", day) == readers.of("", "2001:db8:1:2:ffff::1", day)
    others = {readers.of("", "192.0.2.2", day), readers.of("", "192.0.2.1", 2 * day), readers.of("", "2001:db8:1:3::1", day)}
    assert len({today, *others}) == 4
    assert readers.of(readers.cookie(today), "192.0.2.99", 5 * day) == today


class Articles:
    """A department that has one article, and counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Message] = []

    def ask(self, method: str, request: Message) -> Any:
        self.asked.append(request)
        article = article_pb2.Article(id="one", title="t", body="b", category="c", state=2, language=1)
        if method in ("GetArticle", "VoteArticle"):
            return SimpleNamespace(article=article)
        return SimpleNamespace(articles=[article], next_page_token="")


def test_sixty_fresh_cookies_of_one_address_are_one_reader() -> None:
    department = Articles()
    app = build_app(department, "secret")
    for _ in range(25):
        client = app.test_client()
        token = re.findall(r'name="token" value="(\w+)"', client.get("/faq/one").text)[0]
        assert client.post("/faq/one/vote", data={"token": token, "helpful": "yes"}).status_code == 303
    readers = {request.reader_key for request in department.asked if isinstance(request, article_service_pb2.VoteArticleRequest)}
    assert len(readers) == 1


def test_an_address_that_searches_too_often_is_told_to_wait_and_no_other_is() -> None:
    department = Articles()
    client = build_app(department, "secret").test_client()
    codes = [client.get("/faq?q=a", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code for _ in range(MOST_SEARCHES + 2)]
    if codes[-1] == 200:  # a minute began meanwhile
        codes = [client.get("/faq?q=a", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code for _ in range(MOST_SEARCHES + 2)]
    assert set(codes) == {200, 429}
    refused = client.get("/faq?q=a&lang=en", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert (refused.headers["Retry-After"], "too often" in refused.text) == ("60", True)
    assert client.get("/faq?q=a", environ_base={"REMOTE_ADDR": "192.0.2.2"}).status_code == 200
    assert client.get("/faq", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200
