"""Addresses of downloads: signed by the department, for one file and one person, for a short time. Nothing is stored of them."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.kernel.errors import NotAllowed

PATH = "/files/"
_PARTS = 4
_SMALL = "s"  # behind the time of an address of a preview
Sign = Callable[[str], str]


@dataclass(frozen=True)
class Address:
    """Which file, or preview of one, somebody may fetch, until when. `attachment_id` begins with the department."""

    attachment_id: str
    person_id: str
    expire_time: datetime
    preview: bool = False

    def token(self, sign: Sign) -> str:
        """The address as a text of letters, digits, points, - and _."""
        said = self._said()
        return f"{said}.{sign(f'download:{said}')}"

    def _said(self) -> str:
        return f"{self.attachment_id}.{self.person_id}.{int(self.expire_time.timestamp())}{_SMALL if self.preview else ''}"


def said_in(token: str) -> Address:
    """What an address says, not verified: to know whom to ask. Raises NotAllowed for what is none."""
    parts = token.split(".")
    expires = parts[2].removesuffix(_SMALL) if len(parts) == _PARTS and all(parts) else ""
    if not (expires.isdigit() and expires.isascii() and len(expires) <= 11):
        raise not_valid()
    return Address(parts[0], parts[1], datetime.fromtimestamp(int(expires), UTC), expires != parts[2])


def verified(token: str, sign: Sign, now: datetime) -> Address:
    """What an address says, when it is one of ours and in its time. Raises NotAllowed DOWNLOAD_NOT_VALID."""
    found = said_in(token)
    if not hmac.compare_digest(found.token(sign).encode(), token.encode("utf-8", "replace")) or now >= found.expire_time:
        raise not_valid()
    return found


def not_valid() -> NotAllowed:
    """The refusal of an address."""
    return NotAllowed(
        "this address is no longer good, or was made for somebody else; ask for a new one (attachmentDownload)", code="DOWNLOAD_NOT_VALID"
    )
