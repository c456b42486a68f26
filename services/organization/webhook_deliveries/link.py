"""How a delivery leaves: resolved once, judged, sent to exactly the address that was judged. Bounded in time and size; no redirect is followed,
no proxy asked, and of the answer only the status is kept."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from services.organization.webhook_endpoints.destinations import Destinations

ANSWER_SECONDS = 10.0
MOST_BYTES = 16 * 1024
# Names are resolved in threads of their own: slow name servers of receivers must not hold up our own connections.
_RESOLVERS = 8
Resolve = Callable[[str, int], Awaitable[list[str]]]


class NotSent(Exception):
    """Nothing left; the text says why in a few words."""


@dataclass(frozen=True)
class Answer:
    """The status of an answer, 0 and a reason where there was none, and how long it took."""

    status: int
    milliseconds: int
    reason: str = ""


class Names:
    """Resolves names by the system, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, "webhook-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class WebhookLink:
    """Sends. `resolve` gives the addresses of a host; `trust` says which certificates are good, where those of the web are not."""

    def __init__(self, destinations: Destinations, resolve: Resolve | None = None, trust: ssl.SSLContext | None = None) -> None:
        self.destinations = destinations
        self._names = Names()
        self._resolve = resolve or self._names
        # A kept connection belongs to an address, and two receivers may share one: each delivery has its own.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            follow_redirects=False, trust_env=False, timeout=ANSWER_SECONDS, limits=limits, verify=trust or True
        )  # fmt: skip

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One attempt; whatever happens is an answer."""
        begun = time.monotonic()
        status, reason = 0, ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._post(httpx.URL(url), headers, body)
        except (TimeoutError, httpx.TimeoutException):
            reason = f"no answer within {ANSWER_SECONDS:.0f} s"
        except NotSent as refusal:
            reason = str(refusal)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = _why(error)
        return Answer(status, int((time.monotonic() - begun) * 1000), reason)

    async def _post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> int:
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._address(url.host, port)
        # The name stays in the Host header and in what the certificate is checked against; the connection goes to the judged address.
        request = self._client.build_request(
            "POST", url.copy_with(host=address), content=body, headers={**headers, "host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host},
        )  # fmt: skip
        answer = await self._client.send(request, stream=True)
        try:
            size = 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > MOST_BYTES:
                    break
        finally:
            await answer.aclose()
        return answer.status_code

    async def _address(self, host: str, port: int) -> str:
        """The address to connect to. One that may not be reached among many refuses all: whoever answers so means no good."""
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise NotSent("the host's name is not known") from None
        if not found:
            raise NotSent("the host's name is not known")
        if not all(self.destinations.admits(address) for address in found):
            raise NotSent("the host's address is none of the internet")
        return min(found, key=lambda address: ip_address(address.partition("%")[0]).version)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._names.close()


def _why(error: Exception) -> str:
    """In a few words of our own: what others write into errors is not for the log."""
    if isinstance(error, httpx.InvalidURL):
        return "the address cannot be used"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the host's certificate is not trusted"
        cause = cause.__cause__ or cause.__context__
    return "no connection" if isinstance(error, httpx.ConnectError | OSError) else "the answer broke off"
