"""The one way out to addresses that people write into records: resolved once, judged, connected to exactly the address that was judged.
No redirect is followed, no proxy asked, and no connection kept, for two names may share an address."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import httpx

from services.organization.webhook_endpoints.destinations import Destinations

# Names are resolved in threads of their own: slow name servers of others must not hold up our own connections.
_RESOLVERS = 8
Resolve = Callable[[str, int], Awaitable[list[str]]]


class NotReached(Exception):
    """Nothing left; the text says why in a few words."""


class Names:
    """Resolves names by the system, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, "names-of-others")

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Outgoing:
    """Asks and sends. `resolve` gives the addresses of a host; `trust` says which certificates are good, where those of the web are not."""

    def __init__(
        self, destinations: Destinations, seconds: float, resolve: Resolve | None = None, trust: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.destinations = destinations
        self._names = Names()
        self._resolve = resolve or self._names
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            follow_redirects=False, trust_env=False, timeout=seconds, limits=limits, verify=trust or True, headers=dict(headers or {})
        )  # fmt: skip

    @asynccontextmanager
    async def stream(
        self, method: str, address: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> AsyncIterator[httpx.Response]:
        """The answer, its body not yet read. Raises NotReached, httpx.HTTPError, httpx.InvalidURL, OSError."""
        url = httpx.URL(address)
        judged = await self._address(url.host, url.port or (443 if url.scheme == "https" else 80))
        # The name stays in the Host header and in what the certificate is checked against; the connection goes to the judged address.
        request = self._client.build_request(
            method, url.copy_with(host=judged), headers={**(headers or {}), "host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host}, **{name: value for name, value in more.items() if name != "auth"},
        )  # fmt: skip
        answer = await self._client.send(request, stream=True, auth=more.get("auth"))
        try:
            yield answer
        finally:
            await answer.aclose()

    async def _address(self, host: str, port: int) -> str:
        """The address to connect to. One that may not be reached among many refuses all: whoever answers so means no good."""
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise NotReached("the host's name is not known") from None
        if not found:
            raise NotReached("the host's name is not known")
        if not all(self.destinations.admits(address) for address in found):
            raise NotReached("the host's address is none of the internet")
        return min(found, key=lambda address: ip_address(address.partition("%")[0]).version)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._names.close()
