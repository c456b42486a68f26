"""How a delivery leaves: by the one way out to addresses of others, bounded in time and size; of the answer only the status is kept."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from services.organization.outgoing import NotReached, Outgoing, Resolve
from services.organization.webhook_endpoints.destinations import Destinations

ANSWER_SECONDS = 10.0
MOST_BYTES = 16 * 1024


@dataclass(frozen=True)
class Answer:
    """The status of an answer, 0 and a reason where there was none, and how long it took."""

    status: int
    milliseconds: int
    reason: str = ""


class WebhookLink:
    """Sends. `resolve` gives the addresses of a host; `trust` says which certificates are good, where those of the web are not."""

    def __init__(self, destinations: Destinations, resolve: Resolve | None = None, trust: ssl.SSLContext | None = None) -> None:
        self._way = Outgoing(destinations, ANSWER_SECONDS, resolve, trust)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One attempt; whatever happens is an answer."""
        begun = time.monotonic()
        status, reason = 0, ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._way.stream("POST", url, headers=headers, content=body) as answer:
                size = 0
                async for part in answer.aiter_raw():
                    size += len(part)
                    if size > MOST_BYTES:
                        break
                status = answer.status_code
        except (TimeoutError, httpx.TimeoutException):
            reason = f"no answer within {ANSWER_SECONDS:.0f} s"
        except NotReached as refusal:
            reason = str(refusal)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = _why(error)
        return Answer(status, int((time.monotonic() - begun) * 1000), reason)

    async def close(self) -> None:
        """Close the connections."""
        await self._way.close()


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
