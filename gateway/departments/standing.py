"""How a department stands, as this gateway knows it without asking: by its connection, whose other end says over it whether it is healthy,
and by whether the calls of others were answered in time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal

import grpc

from chassis.kernel.tasks import settle
from chassis.rpc.channels import Channel

State = Literal["UP", "SLOW", "AWAY"]
# Calls that were not answered in time tell of a department for so long, seconds; after that nobody knows, and the connection counts alone.
TELLING_SECONDS = 30.0
# Who has answered nothing for so long, though asked, is away: paused, or cut off without the connection noticing yet.
SILENT_SECONDS = 2.0


def judged(channel: Any, now: float) -> tuple[State, float]:
    """(state, since when in time.time() seconds) of a department whose connection stands. `channel` has `heard`, `silent`, `last_silent`."""
    if not channel.silent or now - channel.last_silent > TELLING_SECONDS:
        return "UP", channel.heard
    return ("AWAY" if channel.last_silent - channel.silent >= SILENT_SECONDS else "SLOW"), channel.silent


class Standing:
    """One department's state and since when. `since` is no earlier than this gateway's start."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._connected = False
        self._state: State = "AWAY"
        self._since = time.time()
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and look at the connection from now on."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        await settle([self._watching] if self._watching else [])

    async def _watch(self) -> None:
        line = self.channel.channel
        while True:
            state = line.get_state(try_to_connect=True)
            connected = state is grpc.ChannelConnectivity.READY
            if connected and not self._connected:
                self.channel.silent = 0.0  # what went unanswered was asked of the process before
            self._connected = connected
            self.look()
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                return
            await line.wait_for_state_change(state)

    def look(self) -> tuple[State, float]:
        """(state, since when in time.time() seconds)."""
        now = time.time()
        state, since = judged(self.channel, now) if self._connected else ("AWAY", now)
        if state != self._state:
            # A department is up again since now or since it answered, whichever was first after it was not.
            self._state, self._since = state, since if self._since < since <= now else now
        return self._state, self._since
