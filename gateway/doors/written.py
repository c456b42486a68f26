"""Answers as they are sent: no more bytes for one request than the operator lets out, and a precise error in place of more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.departments.errors import translated
from gateway.departments.language import spoken

_DONE = "what it asked to be done is done; ask for smaller pages (first) or fewer fields"


class Written:
    """The answers to one request, or the one answer to a message of a socket, as JSON. `accepts` is the client's Accept-Language."""

    def __init__(self, most: int, accepts: str = "") -> None:
        self.most, self.accepts, self.sent = most, accepts, 0

    def text(self, body: Mapping[str, Any]) -> bytes:
        """An answer; where it is too large with those that were ready before it, the error that says so."""
        text = orjson.dumps(body, default=str)
        self.sent += len(text)
        if self.sent <= self.most:
            return text
        return self._refusal(self.sent)

    def _refusal(self, found: int) -> bytes:
        words = f"the answer has {found} bytes, and {self.most} are sent for one request at most (limit: answer); {_DONE}"
        extensions = {"code": "ANSWER_TOO_LARGE", "limit": "answer", "found": found, "most": self.most}
        return orjson.dumps({"data": None, "errors": [translated({"message": words, "extensions": extensions}, spoken(self.accepts))]})
