"""Who asks over HTTP where proxies stand in front: their word is taken from the operator's proxies only, and from nobody by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.kernel.addresses import Address, Network, address_of, client_of, trusts

_SECURE = {"http": {"https": "https"}, "websocket": {"https": "wss", "wss": "wss"}}


class BehindProxies:
    """An app that sees the client's address and scheme in place of the proxy's."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self.app, self.trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection."""
        if self.trusted and scope["type"] in _SECURE and scope.get("client"):
            peer = address_of(scope["client"][0])
            if peer is not None and trusts(peer, self.trusted):
                scope = told(scope, peer, self.trusted)
        await self.app(scope, receive, send)


def told(scope: Scope, peer: Address, trusted: Sequence[Network]) -> dict[str, Any]:
    """The scope as a trusted proxy tells it, by X-Forwarded-For and -Proto or by Forwarded (RFC 7239). Where it says two things of the client, as a proxy
    does that writes one header and lets the client's own other one through, it is believed neither."""
    headers = Headers(scope=dict(scope))
    lists = [_entries(headers, "x-forwarded-for"), _parts(headers, "for")]
    clients = {client_of(peer, entries, trusted) for entries in lists if entries}
    client = clients.pop() if len(clients) == 1 else peer
    schemes = {entries[-1].lower() for entries in (_entries(headers, "x-forwarded-proto"), _parts(headers, "proto")) if entries}
    scheme = _SECURE[scope["type"]].get(schemes.pop()) if len(schemes) == 1 else None
    return {**scope, "client": (str(client), 0), "scheme": scheme or scope.get("scheme", "http")}


def _entries(headers: Headers, name: str) -> list[str]:
    """The entries of a header that is a list, over all its lines."""
    return [part.strip() for line in headers.getlist(name) for part in line.split(",") if part.strip()]


def _parts(headers: Headers, wanted: str) -> list[str]:
    """One parameter of each element of Forwarded; "" for an element without it, which tells nothing."""
    found = []
    for element in _entries(headers, "forwarded"):
        pairs = [pair.partition("=") for pair in element.split(";")]
        found.append(next((value.strip().strip('"') for name, _, value in pairs if name.strip().lower() == wanted), ""))
    return found if any(found) else []
