"""Identity providers for tests: a real one from PyPI in a process of its own, and one that says whatever a test wants it to say."""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest
from joserfc import jws
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from chassis.kernel.errors import CrmError
from chassis.kernel.ids import new_id
from chassis.runtime.ops import HttpServer
from cli.engines import Child, free_port
from gateway.graph.contract import to_global
from tests.support.installation import Installation

BACK = "https://crm.example.com/signed-in"
SECRET = "a client secret that nobody must see"
Claims = dict[str, Any]


class RealProvider:
    """oidc-provider-mock as it is installed, reached over the network only."""

    child: Child

    async def start(self, folder: Path) -> RealProvider:
        """Started, and answering."""
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
        self.child = await Child.start("oidc-provider-mock", command, folder / "provider.log")
        self.http = httpx.AsyncClient()
        await Installation.until(self._answers)
        return self

    async def _answers(self) -> bool:
        try:
            return (await self.http.get(f"{self.issuer}/.well-known/openid-configuration")).status_code == 200
        except httpx.HTTPError:
            return False

    async def stop(self) -> None:
        """Ended."""
        await self.http.aclose()
        await self.child.stop()

    async def knows(self, subject: str, email: str, *groups: str, **more: Any) -> None:
        """An account there."""
        claims = {"email": email, "email_verified": True, "name": "外来人", "groups": list(groups), **more}
        (await self.http.put(f"{self.issuer}/users/{subject}", json=claims)).raise_for_status()

    async def browse(self, address: str, subject: str) -> dict[str, str]:
        """What somebody's browser brings back who consents: state and code."""
        answer = await self.http.post(address, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(BACK + "?")
        return query_of(answer.headers["location"])


def query_of(address: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@cache
def _first_key() -> RSAKey:
    """One for all forgers: to make one takes a fifth of a second of a core."""
    return RSAKey.generate_key(2048, {"kid": "first"}, private=True)


class Forger:
    """A provider whose every word can be changed. `forge` makes the token of the claims that an honest one would give."""

    def __init__(self) -> None:
        self.issuer = f"http://127.0.0.1:{free_port()}"
        self.key = _first_key()
        self.published: list[RSAKey] = [self.key]
        self.forge: Callable[[Claims], str] = self.signed
        self.more: Claims = {}
        self.metadata: Claims = {}
        self.userinfo: Claims | None = None
        self.status = 200
        self.fetched = self.asked = 0
        self.challenge = self.nonce = ""
        routes = [Route(path, answer, methods=["GET", "POST"]) for path, answer in (
            ("/.well-known/openid-configuration", self._metadata), ("/keys", self._keys), ("/token", self._token), ("/userinfo", self._userinfo),
        )]  # fmt: skip
        self.server = HttpServer(Starlette(routes=routes), self.issuer.removeprefix("http://"))

    def signed(self, claims: Claims, key: Any = None, **header: Any) -> str:
        """An honest token, or one by another key or with another header."""
        shown = {"alg": "RS256", "kid": "first", **header}
        return jws.serialize_compact(shown, orjson.dumps(claims), key or self.key, algorithms=[shown["alg"]])

    def goes(self, address: str) -> dict[str, str]:
        """Take note of an authorization request, and send the browser back."""
        asked = query_of(address)
        assert asked["code_challenge_method"] == "S256"
        self.challenge, self.nonce, self.client_id = asked["code_challenge"], asked["nonce"], asked["client_id"]
        return {"state": asked["state"], "code": "a-code"}

    async def _metadata(self, _: Request) -> Response:
        self.asked += 1
        if self.status != 200:
            return RedirectResponse(f"{self.issuer}/elsewhere", self.status)
        found = {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize", "token_endpoint": f"{self.issuer}/token"}
        return JSONResponse(found | {"jwks_uri": f"{self.issuer}/keys", "userinfo_endpoint": f"{self.issuer}/userinfo"} | self.metadata)

    async def _keys(self, _: Request) -> Response:
        self.fetched += 1
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.published]})

    async def _token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        mark = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest()).decode().rstrip("=")
        if mark != self.challenge or form["redirect_uri"] != [BACK]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.client_id, "sub": "somebody", "iat": now, "exp": now + 300, "nonce": self.nonce}
        claims = {name: value for name, value in (claims | self.more).items() if value is not None}
        return JSONResponse({"id_token": self.forge(claims), "access_token": "x", "token_type": "Bearer"})

    async def _userinfo(self, _: Request) -> Response:
        return JSONResponse(self.userinfo or {"sub": "somebody"})


async def register(crm: Installation, issuer: str, **more: Any) -> Any:
    """A provider's record."""
    values = {"display_name": new_id(), "issuer": issuer, "client_id": "crm", "client_secret": SECRET, "redirect_uris": [BACK], **more}
    return (await crm.ask("CreateIdentityProvider", role="ADMINISTRATOR", **values)).identity_provider


async def begin(crm: Installation, record: Any) -> Any:
    """A sign-in, begun."""
    return await crm.ask("BeginProviderSignIn", role="", identity_provider_id=record.id, redirect_uri=BACK)


async def complete(crm: Installation, brought: dict[str, str]) -> Any:
    """A sign-in, completed with what the browser brought back."""
    return await crm.ask("CompleteProviderSignIn", role="", state=brought["state"], code=brought["code"])


async def somebody(crm: Installation, *roles: int) -> Any:
    """A new person of sales, a representative where no role is said."""
    made = await crm.ask(
        "CreatePerson", name="新人", email=f"{new_id()}@example.com", roles=roles or [1], home_department_id=crm.units["sales"]
    )
    return made.person


async def code_of(action: Any) -> str:
    """The code of a refusal."""
    with pytest.raises(CrmError) as found:
        await action
    return found.value.code


async def through(crm: Installation, real: RealProvider, record: Any, subject: str) -> Any:
    """A sign-in from its beginning to its end."""
    return await complete(crm, await real.browse((await begin(crm, record)).authorization_url, subject))


async def history(crm: Installation, noun: str, identity: str) -> list[dict[str, Any]]:
    """What became of a record, as an administrator reads it."""
    query = "query($id: ID!) { recordHistory(id: $id) { nodes { action actorId reason changes { field before after } } } }"
    return list((await crm.data(query, "ADMINISTRATOR", id=to_global(noun, identity)))["recordHistory"]["nodes"])
