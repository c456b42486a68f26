"""What can be done with a message: notice that its contact opened it, clicked, wants no more, or reported it."""

from __future__ import annotations

from typing import Any

from chassis.rpc.call import Call
from services.marketing.messages import model
from services.marketing.messages.store import Messages

Document = dict[str, Any]


async def notice(
    messages: Messages, event: Any, state: str, call: Call, *, campaign_message_id: str, version: int | None = None
) -> Document:
    """The contact opened, clicked, unsubscribed or complained; told twice, it counts once."""
    before = await messages.get(call, campaign_message_id, "record")
    messages.checked_version(before, version)
    changes = model.noticed(before, state, call.now)
    return messages.change(call, before, changes, event, action="record") if changes else before
