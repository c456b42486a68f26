"""Identity providers as they are reached: what they publish about themselves, their keys, and the exchange of a code.

Every answer is bounded in time and size; every address, also those that a provider names, is gone to by the one way out (outgoing.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from services.organization.identity_providers import id_tokens, model
from services.organization.identity_providers.id_tokens import Claims, NotTrusted
from services.organization.outgoing import NotReached, Outgoing, Resolve
from services.organization.webhook_endpoints.destinations import Destinations

log = logging.getLogger("crm.organization")
ANSWER_SECONDS = 5.0
MOST_BYTES = 256 * 1024
KEPT_SECONDS = 600.0
UNKNOWN_KEY_SECONDS = 60.0
_MOST_KEPT, _MOST_KEYS = 200, 100


@dataclass(frozen=True)
class Endpoints:
    """What a provider publishes about itself. `by_post` says that it takes the client's secret in the body only."""

    issuer: str
    authorization: str
    token: str
    keys: str
    userinfo: str
    by_post: bool


class ProviderLink:
    """Asks providers; keeps what they publish for ten minutes. `clock` gives seconds that only grow; without `destinations` it is on a laptop."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, destinations: Destinations | None = None, resolve: Resolve | None = None
    ) -> None:
        self.destinations = (destinations or Destinations(development=True)).and_this_machine
        self._way = Outgoing(self.destinations, ANSWER_SECONDS, resolve, headers={"accept-encoding": "identity"})
        self._clock = clock
        self._endpoints: dict[str, tuple[float, Endpoints]] = {}
        self._keys: dict[str, tuple[float, list[Claims]]] = {}

    async def endpoints(self, issuer: str) -> Endpoints:
        """Where to send people, codes and questions. Raises PROVIDER_UNREACHABLE."""
        asked, found = self._endpoints.get(issuer, (0.0, None))
        if found is None or self._clock() - asked > KEPT_SECONDS:
            found = self._endpoints_of(issuer, await self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
            _keep(self._endpoints, issuer, (self._clock(), found))
        return found

    async def claims(self, endpoints: Endpoints, token: object) -> Claims:
        """The claims of a token that the provider signed; who it is for is not judged here. Raises NotTrusted, PROVIDER_UNREACHABLE."""
        header = id_tokens.header_of(token)
        asked, keys = self._keys.get(endpoints.keys, (0.0, []))
        age = self._clock() - asked
        if not keys or age > KEPT_SECONDS or (age > UNKNOWN_KEY_SECONDS and not id_tokens.fitting(header, keys)):
            keys = _keys(await self._json("GET", endpoints.keys))
            _keep(self._keys, endpoints.keys, (self._clock(), keys))
        return id_tokens.signed_by(str(token), header["alg"], id_tokens.fitting(header, keys))

    async def exchange(self, endpoints: Endpoints, client: tuple[str, str], given: Mapping[str, str]) -> Claims:
        """The tokens for a code; `client` is our name there and its secret. Raises NotTrusted when the provider refuses the code."""
        name, secret = client
        form = {"grant_type": "authorization_code", **given}
        more: dict[str, Any] = {"auth": httpx.BasicAuth(quote(name, safe=""), quote(secret, safe=""))}
        if endpoints.by_post:
            form, more = form | {"client_id": name, "client_secret": secret}, {}
        status, body = await self._ask("POST", endpoints.token, data=form, **more)
        if 400 <= status < 500:
            raise NotTrusted(f"the token endpoint answers {status}")
        return _object(endpoints.token, status, body)

    async def userinfo(self, endpoints: Endpoints, access_token: object) -> Claims:
        """What the provider says of a person beside the ID token. Raises PROVIDER_UNREACHABLE."""
        if not isinstance(access_token, str) or not access_token.isascii() or not access_token.isprintable():
            raise NotTrusted("no access token for userinfo")
        return await self._json("GET", endpoints.userinfo, headers={"authorization": f"Bearer {access_token}"})

    def _endpoints_of(self, issuer: str, found: Claims) -> Endpoints:
        """What a provider publishes. Where the browser goes is the browser's; all else must be an address that we go to."""
        if found.get("issuer") != issuer:  # another one must not speak in its name
            raise _unlike(issuer, f"names itself {str(found.get('issuer'))[:200]!r}")
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        authorization, token, keys, userinfo = (found.get(name, "") for name in names)
        for name, address in zip(names, (authorization, token, keys, userinfo), strict=True):
            if address == "" and name == "userinfo_endpoint":
                continue
            if not isinstance(address, str) or not model.is_safe(address):
                raise _unlike(issuer, f"{name} is no safe address")
            if name != "authorization_endpoint" and (words := self.destinations.flaw(address)):
                raise _unlike(issuer, f"{name}: {words}")
        methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        by_post = "client_secret_basic" not in methods and "client_secret_post" in methods
        return Endpoints(issuer, authorization, token, keys, userinfo, by_post)

    async def close(self) -> None:
        """Close the connections."""
        await self._way.close()

    async def _json(self, method: str, address: str, **more: Any) -> Claims:
        status, body = await self._ask(method, address, **more)
        return _object(address, status, body)

    async def _ask(self, method: str, address: str, **more: Any) -> tuple[int, bytes]:
        """Status and body. Raises PROVIDER_UNREACHABLE."""
        body = b""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._way.stream(method, address, **more) as answer:
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > MOST_BYTES:
                        raise _unlike(address, "the answer is too long")
        except NotReached as refusal:
            raise _unlike(address, str(refusal)) from refusal
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise _unlike(address, type(error).__name__) from error
        return answer.status_code, body


def _keep(kept: dict[str, Any], name: str, value: Any) -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[name] = value


def _unlike(address: str, reason: str) -> Exception:
    log.warning("identity provider answers unlike one", extra={"address": address[:200], "reason": reason})
    return model.unreachable()


def _object(address: str, status: int, body: bytes) -> Claims:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if status != 200 or not isinstance(found, dict):
        raise _unlike(address, f"status {status}, {type(found).__name__}")
    return found


def _keys(found: Claims) -> list[Claims]:
    keys = found.get("keys")
    return [key for key in keys if isinstance(key, dict)][:_MOST_KEYS] if isinstance(keys, list) else []
