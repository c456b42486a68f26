"""The web edge's way to its own department: over gRPC like everybody else, from Flask's threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from crm.support.v1 import article_service_pb2
from google.protobuf.message import Message

from chassis.access.identity import Identity
from chassis.access.link import OrganizationLink
from chassis.rpc.channels import Channel

_ARTICLES = article_service_pb2.DESCRIPTOR.services_by_name["ArticleService"]
SECONDS = 3.0


class OwnDepartment:
    """Asks the ArticleService with the department's own token. `loop` and `address` are set when the department starts."""

    def __init__(self, link: OrganizationLink, identity: Identity | None = None) -> None:
        self.link, self.identity = link, identity
        self.loop: asyncio.AbstractEventLoop | None = None
        self.address: Callable[[], str] = lambda: ""
        self._channel: Channel | None = None

    def ask(self, method: str, request: Message) -> Any:
        """The answer; raises the department's refusals. Called from a thread."""
        if self.loop is None:
            raise RuntimeError("the department has not started")
        return asyncio.run_coroutine_threadsafe(self._ask(method, request), self.loop).result(SECONDS + 1)

    async def _ask(self, method: str, request: Message) -> Any:
        if self._channel is None:
            self._channel = Channel("support", self.address(), self.identity)
        return await self._channel.call(_ARTICLES, method, request, token=await self.link.token(), seconds=SECONDS)

    async def close(self) -> None:
        """Close the channel."""
        if self._channel:
            await self._channel.close()
