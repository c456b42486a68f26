"""What a reader of the public FAQ is told when the department refuses, fails or is silent."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from chassis.kernel.errors import Conflict, CrmError, Invalid, NotAllowed, NotFound, WrongState
from chassis.rpc.errors import Unavailable
from services.support.web.app import build_app


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
