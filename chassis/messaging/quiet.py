"""Waiting for the first message of a consumer of which nothing comes, at next to no cost: one request for half a minute, which the server
keeps alive by heartbeats, where fetches would ask twice in two seconds."""

from __future__ import annotations

import json
import time

from nats.aio.msg import Msg
from nats.js import JetStreamContext

ASK_SECONDS = 30.0
# The server tells so often that it is still there; silent for longer it is given up. Others take four seconds at least to elect one in its
# place, so nothing comes later for it.
BEAT_SECONDS, SILENT_SECONDS = 2.5, 3.0
_BEAT, _OVER = "100", ("404", "408")


async def first(subscription: JetStreamContext.PullSubscription) -> Msg | None:
    """The next message; None after half a minute without any, or when the server went silent: then another one is to be asked."""
    request = {"batch": 1, "expires": int(ASK_SECONDS * 1e9), "idle_heartbeat": int(BEAT_SECONDS * 1e9)}
    await subscription._nc.publish(subscription._nms, json.dumps(request).encode(), subscription._deliver)
    end = time.monotonic() + ASK_SECONDS - BEAT_SECONDS
    while True:
        try:
            message = await subscription._sub.next_msg(timeout=SILENT_SECONDS)
        except TimeoutError:
            return None
        status = (message.headers or {}).get("Status")
        if not status:
            return message
        # The end of a fetch may be told when nobody waits for it any more.
        if status != _BEAT and not (status in _OVER and time.monotonic() < end):
            return None
