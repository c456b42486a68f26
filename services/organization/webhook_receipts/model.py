"""A webhook receipt: how what came in is read, and how it is refused. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from typing import Any

from chassis.kernel.errors import CrmError, Invalid, NotAllowed, NotFound
from chassis.kernel.ids import from_source

Document = dict[str, Any]
KEEP_DAYS = 30
MOST_A_MINUTE = 600  # of one source
MOST_UNVERIFIED_A_MINUTE = 60  # from one address
ACCEPTED, IGNORED, REFUSED = "ACCEPTED", "IGNORED", "REFUSED"
LONGEST_REASON = 500
_TYPE = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")


def identity_of(source_id: str, webhook_id: str) -> str:
    """The id of a message's receipt, and the request id of its effect."""
    return from_source("webhook_receipts", f"{source_id}\x00{webhook_id}")


def unverified_identity(source_id: str, reason: str, moment: datetime) -> str:
    """The id of the one receipt that stands for all that a source did not sign, for a reason, in a minute."""
    return from_source("webhook_receipts", f"{source_id}\x00\x00{reason}\x00{int(moment.timestamp()) // 60}")


def digest_of(body: bytes) -> str:
    """What tells one body from another."""
    return hashlib.sha256(body).hexdigest()


def parsed(body: bytes) -> tuple[str, Document]:
    """(type, data) of a message as Standard Webhooks has it. Raises Invalid."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid('the body is no JSON; send {"type": …, "timestamp": …, "data": {…}}', field="body") from None
    told = found.get("type") if isinstance(found, dict) else None
    if not isinstance(told, str) or not _TYPE.fullmatch(told):
        raise Invalid('«type» is missing or none; send {"type": "order.fulfilled", …}', field="type")
    data = found.get("data", {})
    if not isinstance(data, dict):
        raise Invalid("«data» is no object; send its values by name", field="data")
    return told, data


def text(data: Document, name: str, form: str, example: str) -> str:
    """A value of the data that has a form (a regular expression). Raises Invalid naming it."""
    value = data.get(name)
    if not isinstance(value, str) or not re.fullmatch(form, value):
        raise Invalid(f"«data.{name}» is missing or has another form; send a text like «{example}»", field=f"data.{name}")
    return value


def unverified() -> NotAllowed:
    """The one answer to everything that no source in use has signed in these minutes."""
    words = "no source in use signed this within five minutes of now; check address, secret, clock, and that the source is enabled"
    return NotAllowed(words, code="WEBHOOK_UNVERIFIED")


def throttled() -> NotAllowed:
    """For more than is taken in a minute."""
    return NotAllowed("more came in than is taken in a minute; send it again in a minute", code="WEBHOOK_THROTTLED", retryable=True)


def reused() -> Invalid:
    """For another body under an id that had its effect."""
    words = "this webhook-id came before with another body; give each message an id of its own"
    return Invalid(words, code="WEBHOOK_ID_REUSED", field="webhook_id")


def unmatched(what: str, field: str) -> NotFound:
    """For what names no record that the source may see."""
    words = f"there is no {what} with this «{field}» that this source may see; correct it, or send it again once there is one"
    return NotFound(words, code="WEBHOOK_UNMATCHED", field=field)


def refusal(error: CrmError) -> str:
    """A refusal as the log keeps it."""
    return f"{error.code}: {error.message}"[:LONGEST_REASON]
