"""Answers as they are sent: no more bytes for one request than the operator lets out, and a precise error in place of more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_DONE = "what it asked to be done is done; ask for smaller pages (first) or fewer fields"
_NOT_RUN = "this operation was not run, for those before it had an answer that was too large; send it in another request"


class Written:
    """The answers to one request, or the one answer to a message of a socket, as JSON."""

    def __init__(self, most: int) -> None:
        self.most, self.sent, self.full = most, 0, False

    def text(self, body: Mapping[str, Any]) -> bytes:
        """An answer; where it is too large with those before it, the error that says so."""
        text = orjson.dumps(body, default=str)
        self.sent += len(text)
        if self.sent <= self.most:
            return text
        self.full = True
        return self._refusal(self.sent, _DONE)

    def not_run(self) -> bytes:
        """The answer to an operation behind one whose answer was too large."""
        return self._refusal(self.sent, _NOT_RUN)

    def _refusal(self, found: int, mend: str) -> bytes:
        words = f"the answer has {found} bytes, and {self.most} are sent for one request at most (limit: answer); {mend}"
        extensions = {"code": "ANSWER_TOO_LARGE", "limit": "answer", "found": found, "most": self.most}
        return orjson.dumps({"data": None, "errors": [{"message": words, "extensions": extensions}]})
