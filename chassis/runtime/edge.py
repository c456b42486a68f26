"""A department's public pages (Flask): they ask their own department over gRPC like everybody else, and each names by whose policy it is
judged, or the department does not start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from chassis.access.identity import Identity
from chassis.access.link import OrganizationLink
from chassis.rpc.channels import Channel
from chassis.rpc.service import policy_of

if TYPE_CHECKING:  # only departments with public pages have it
    from flask import Flask

SECONDS = 3.0
RETRY_SECONDS = "5"  # as the webhook door says
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, max-age=0",
}
_JUDGED = "judged_by"
View = Callable[..., Any]


class Asks(Protocol):
    """Whoever can ask the service of a department that its pages are made of."""

    def ask(self, method: str, request: Message) -> Any:
        """The answer of a method."""


class OwnDepartment:
    """Asks one service of the own department with the department's own token, from Flask's threads. `open` when the department starts."""

    def __init__(self, name: str, service: ServiceDescriptor, link: OrganizationLink, identity: Identity | None = None) -> None:
        self.name, self.service, self.link, self.identity = name, service, link, identity
        self.loop: asyncio.AbstractEventLoop | None = None
        self.address: Callable[[], str] = lambda: ""
        self._channel: Channel | None = None

    def open(self, grpc_address: str, port: Callable[[], int]) -> None:
        """From the department's own loop: where it listens, once it does."""
        self.loop = asyncio.get_running_loop()
        host = grpc_address.rpartition(":")[0]
        self.address = lambda: f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port()}"  # noqa: S104 - one that listens everywhere

    def ask(self, method: str, request: Message) -> Any:
        """The answer; raises the department's refusals. Called from a thread."""
        if self.loop is None:
            raise RuntimeError("the department has not started")
        return asyncio.run_coroutine_threadsafe(self._ask(method, request), self.loop).result(SECONDS + 1)

    async def _ask(self, method: str, request: Message) -> Any:
        if self._channel is None:
            self._channel = Channel(self.name, self.address(), self.identity)
        return await self._channel.call(self.service, method, request, token=await self.link.token(), seconds=SECONDS)

    async def close(self) -> None:
        """Close the channel."""
        if self._channel:
            await self._channel.close()


def judged_by(*methods: str) -> Callable[[View], View]:
    """Declare the methods that a page sends; none for one that asks nothing."""

    def declare(view: View) -> View:
        setattr(view, _JUDGED, methods)
        return view

    return declare


def check(app: Flask, service: ServiceDescriptor) -> None:
    """Refuse a route that declares nothing, and a method without a policy. Raises RuntimeError with the route."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.endpoint == "static":  # files of the page's own, the same for everybody
            continue
        methods = getattr(view, _JUDGED, None)
        if methods is None:
            raise RuntimeError(f"the page {rule.rule} declares no RPC by whose policy it is judged; give it @judged_by(…)")
        for name in methods:
            policy_of(service.methods_by_name[name])
