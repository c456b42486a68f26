"""The way out of a mail: an address that only who got the mail knows, and by which nobody finds another's. Pure."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass


@dataclass(frozen=True)
class WayOut:
    """Makes the addresses below `url`, and knows its own again. `secret` is the service's: the same in every replica and after every start."""

    url: str
    secret: str

    def address(self, message_id: str) -> str:
        """Where who got this message says that they want no more."""
        return f"{self.url.rstrip('/')}/unsubscribe/{message_id}/{self._token(message_id)}"

    def is_known(self, message_id: str, token: str) -> bool:
        """Whether the address is one of ours."""
        return hmac.compare_digest(self._token(message_id).encode(), token.encode())

    def _token(self, message_id: str) -> str:
        key = hmac.digest(self.secret.encode(), b"unsubscribe", "sha256")
        return base64.urlsafe_b64encode(hmac.digest(key, message_id.encode(), "sha256")[:24]).decode()
